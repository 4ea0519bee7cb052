"""Settings for notebooks, scripts and verbs that start others, as the command line would compose them."""

from pathlib import Path
from typing import Any

from prospero.configuration import composition, plugins, rewording, words


def compose(verb: str, settings: list[str] | None = None) -> Any:
    """Return the typed configuration of `verb` with `settings` as on the command line, for notebooks and scripts.

        config = compose("train", ["model=tiny", "max_steps=20"])

    Raises ConfigError with the same one line that the command line would print.
    """
    given = words.spelt_out(verb, list(settings or []))
    composition.register()
    with rewording.worded(verb, given):
        loaded = plugins.load_named(verb, given)
    readable = words.for_hydra(verb, given)
    with rewording.worded(verb, readable):
        return composition.with_plugins(composition.typed_job(verb, readable), loaded)


def compose_file(path: Path) -> Any:
    """Return the typed configuration that a run has left in its config.yaml, the modules named in it imported.

    Raises ConfigError with one line, such as for a setting that this version does not know.
    """
    options = ["--config-dir", str(path.parent), "--config-name", path.stem]
    composition.register()
    with rewording.worded(path.stem, options):
        loaded = plugins.load_named(path.stem, options)
        return composition.with_plugins(composition.typed_job(path.stem, []), loaded)
