"""From the settings of a mixture to its corpora, prepared each by itself with one tokenizer and joined in one folder.

The joined folder is found again by the sources and settings of all parts, without opening any of them. The parts' own
folders stay, as they serve runs on one part alone and mixtures with others.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from prospero.data.cache import locked, publish, readable_errors
from prospero.data.mixture.joining import join
from prospero.data.mixture.settings import MixtureConfig
from prospero.data.mixture.shares import shares_of
from prospero.data.mixture.tokenizer import SharedTokenizerConfig, shared_texts
from prospero.data.prepare import PreparedData, found_prepared, open_prepared, what_decides
from prospero.data.prepare import prepare as prepare_source
from prospero.data.receipt import FORMAT, digest, plain
from prospero.data.settings import PrepareConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, ProsperoError
from prospero.log import log

Made = TypeVar("Made")


def prepare(config: PrepareConfig, progress: bool | None = None) -> PreparedData:
    """Return the prepared corpus of one source or of a mixture, made now unless it lies ready in the cache.

    `progress` shows bars (None: when standard error is a terminal). Raises `DataError` for text, files and disks that
    cannot be used, ConfigError for parts that do not go together.
    """
    if isinstance(config.data, MixtureConfig):
        return _mixture(config, config.data, progress)
    return prepare_source(config, progress)


def _mixture(config: PrepareConfig, mixture: MixtureConfig, progress: bool | None) -> PreparedData:
    """Return the joined corpora of `mixture`, which is `config.data`, made now unless they lie ready in the cache."""
    if not mixture.parts:
        raise ConfigError("data=mixture needs parts: give data.parts=[{data: stdlib, weight: 1}, ...]")
    parts = {part.called: _part(config, part.settings) for part in mixture.parts}
    name = f"mixture-{digest(plain([FORMAT, *_what_decides(config, mixture, parts)]))[:16]}"
    found = found_prepared(config.data_dir / name)
    if found is None:
        with readable_errors(config.data_dir), locked(config.data_dir, name):
            found = found_prepared(config.data_dir / name)  # made by the process that held the lock
            if found is None:
                directory = publish(
                    config.data_dir, name, lambda folder: _fill(folder, config, mixture, parts, progress)
                )
                found = open_prepared(directory)
    return replace(found, mixture=mixture.mixing())


def _part(config: PrepareConfig, source: Any) -> PrepareConfig:
    """Return the settings that prepare one part: those of all, and its own source."""
    values = {item.name: getattr(config, item.name) for item in fields(PrepareConfig)}
    return PrepareConfig(**(values | {"data": source}))


def _what_decides(config: PrepareConfig, mixture: MixtureConfig, parts: dict[str, PrepareConfig]) -> list[Any]:
    found: list[Any] = []
    for name, part in parts.items():
        rendering = None if part.rendering is None else part.rendering.build()
        of_rendering = None if rendering is None else rendering.identity()
        found.append([name, _named(name, part.data.build).identity(), what_decides(part), of_rendering])
    if config.tokenizer.needs_texts():  # which shares it was learnt by
        mixing = mixture.mixing()
        return [*found, mixing.stages, mixing.temperature]
    return [*found, config.tokenizer.build(lambda: iter(())).fingerprint()]


def _fill(
    folder: Path, config: PrepareConfig, mixture: MixtureConfig, parts: dict[str, PrepareConfig], progress: bool | None
) -> None:
    """Prepare all parts and join them in `folder`."""
    tokenizer, shares = config.tokenizer, None
    if tokenizer.needs_texts():
        learnt, shares = _learn(folder, config, mixture, parts, progress)
        tokenizer = SharedTokenizerConfig.of(learnt)
    prepared = {}
    for name, part in parts.items():
        log.info("Part '%s' of the mixture:", name)
        prepared[name] = _named(name, lambda part=part: prepare_source(replace(part, tokenizer=tokenizer), progress))
    settings = what_decides(_part(config, next(iter(parts.values())).data))
    settings["tokenizer"] = plain(config.tokenizer)
    settings["source"] = {
        "class": "MixtureConfig",
        "parts": {name: what_decides(part)["source"] for name, part in parts.items()},
    }
    settings |= {} if shares is None else {"tokenizer_shares": dict(zip(parts, map(float, shares)))}
    log.info("Joining the %d parts of the mixture.", len(parts))
    join(folder, prepared, settings)


def _learn(
    folder: Path, config: PrepareConfig, mixture: MixtureConfig, parts: dict[str, PrepareConfig], progress: bool | None
) -> tuple[Tokenizer, tuple[Fraction, ...]]:
    """Return a tokenizer learnt on the parts' training text by their shares, and these shares."""
    log.info("The tokenizer is learnt on the text of all %d parts, which is prepared as bytes for it.", len(parts))
    as_bytes, scratch = ByteTokenizerConfig(), folder / "bytes"
    found = [
        _named(
            name,
            lambda part=part: prepare_source(replace(part, outputs_dir=str(scratch), tokenizer=as_bytes), progress),
        )
        for name, part in parts.items()
    ]
    texts = [corpus.splits["train"] for corpus in found]
    shares = _mean_shares(mixture, [part.n_bytes for part in texts])
    learnt = config.tokenizer.build(lambda: shared_texts(texts, shares))
    shutil.rmtree(scratch)
    return learnt, shares


def _mean_shares(mixture: MixtureConfig, sizes: Sequence[int]) -> tuple[Fraction, ...]:
    """Return the shares of the text, the mean over the entries of the schedule."""
    stages = [
        shares_of(weights, sizes, [1.0] * len(sizes), mixture.temperature) for _, weights in mixture.mixing().stages
    ]
    return tuple(sum(column, Fraction(0)) / len(stages) for column in zip(*stages))


def _named(name: str, make: Callable[[], Made]) -> Made:
    """Return what `make` returns; whose part an error is about is said."""
    try:
        return make()
    except ProsperoError as error:
        raise type(error)(f"data.parts, '{name}': {error}") from error
