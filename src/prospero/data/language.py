"""Which language a text is in: py3langid, a naive Bayes classifier over runs of bytes (Lui and Baldwin 2012).

It looks for no words, so that scripts without spaces are told like others. It is the extra `language`.
"""

import copy
import importlib.util
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from prospero.errors import ConfigError, suggest

PIECES = 3
"""How many pieces of a long text are looked at: of its beginning, its middle and its end."""


def language_probabilities(text: str, among: tuple[str, ...] = ()) -> dict[str, float]:
    """Return code -> probability, the likeliest first; of all languages that are known, or of those `among` them.

    The codes are those of ISO 639, of two letters where there are such; zxx is text in no language.
    """
    return dict(_identifier(among).rank(text))


def known_languages() -> list[str]:
    """Return the codes of the languages that are told apart."""
    return sorted(_identifier(()).labels)


def package_version() -> str:
    """Return name and version of the classifier, which decide what it says; ConfigError where it is missing."""
    if importlib.util.find_spec("py3langid") is None:
        raise ConfigError(
            "cleaning=[language] needs the package py3langid, which is not installed: pip install 'prospero[language]'"
        )
    return f"py3langid {version('py3langid')}"


def check_languages(name: str, codes: Sequence[str]) -> None:
    """Raise `ConfigError` for a code that is not known; `name` is the setting's."""
    for code in codes:
        if code not in (known := known_languages()):
            raise ConfigError(f"{name}: no language '{code}'; known: {', '.join(known)}.{suggest(code, known)}")


def sample(text: str, characters: int) -> str:
    """Return up to about `characters` of a text: all of it, or a piece of its beginning, of its middle and its end."""
    if len(text) <= characters:
        return text
    size = -(-characters // PIECES)
    starts = [(len(text) - size) * number // (PIECES - 1) for number in range(PIECES)]
    return "\n".join(text[start : start + size] for start in starts)


@cache
def _identifier(among: tuple[str, ...]) -> Any:
    """Return the classifier; the model is read once in a process, which takes about a second."""
    if among:
        fewer = copy.copy(_identifier(()))
        fewer.set_languages(among)
        return fewer
    package_version()
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
