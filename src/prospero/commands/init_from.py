"""`init_from`: which source a run begins from, and what of the run's settings comes from there.

Joins the rooms: a folder of ours is taken as it is, one of Hugging Face's is imported first. Whatever contradicts the
source is refused before anything is written.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prospero import registry
from prospero.errors import ConfigError, DataError
from prospero.plain import flat, from_plain, plain
from prospero.processes import ranks
from prospero.runs import find as find_run
from prospero.runs.folder import RunFolder
from prospero.training.settings import TrainConfig

if TYPE_CHECKING:
    from prospero.checkpoints.source import Source
    from prospero.data.tokenizer.tokenizer import Tokenizer

Settings = TypeVar("Settings", bound=TrainConfig)
MAY_DIFFER = (
    "*dropout", "attention", "document_attention", "activation_checkpointing", "prefix.frozen", "prefix.blind",
)  # fmt: skip
"""Settings of a model that its weights do not depend on."""


def begin_from(config: Settings) -> "tuple[Settings, Source | None]":
    """Return the settings of the run with what its source brings, and the source; None where it starts at random.

    Raises ConfigError or DataError, in one line, for a setting that contradicts the source, and for what is no source.
    """
    if config.init_from is None:
        if config.init.required:
            raise ConfigError(
                "this preset goes on from a model, and init_from= is not given: init_from=last takes the newest run's "
                "(python train.py makes one), init_from=<run, model folder or name on the hub> any other; "
                "init.required=false begins with random weights"
            )
        return config, None
    from prospero.checkpoints.source import Source

    source = _of_the_run(config)
    if source is None:
        place = resolve_source(config.init_from, config.outputs_dir)
        source = Source.open(config.init_from, place, verify=ranks.is_rank_zero())
    if config.seq_len > source.max_seq_len:
        raise ConfigError(
            f"seq_len={config.seq_len} is more than the {source.max_seq_len} tokens that {source.given} reads at once; "
            f"give seq_len={source.max_seq_len} or less"
        )
    return replace(config, model=_model(config, source), tokenizer=_tokenizer(config, source)), source


def resolve_source(given: str, outputs_dir: str, setting: str = "init_from") -> Path:
    """Return the folder of ours that `setting`=`given` stands for: a folder, a run by its name, or one imported first.

    Raises ConfigError or DataError when there is none.
    """
    from prospero.checkpoints.source import is_source
    from prospero.interop.hub import fetched
    from prospero.interop.import_folder import is_foreign

    path = Path(given)
    if os.path.isfile(path):
        raise ConfigError(f"{setting}={given} is a file; give the folder of a run, a model or a checkpoint")
    for place in (path, Path(outputs_dir, "models", given)):
        if os.path.isdir(place) and is_source(place):
            return place
    if os.path.isdir(path):
        if not is_foreign(path):
            raise DataError(f"{setting}={given} holds no model: neither one of Prospero's nor one of Hugging Face's")
        return _imported(path, given, outputs_dir)
    try:
        return find_run.find(given, outputs_dir)
    except ConfigError as error:
        if given == "last" or given.startswith((".", "/", "~")):
            raise
        try:
            return _imported(fetched(given, "main"), given, outputs_dir)
        except DataError as unreachable:
            raise ConfigError(f"{setting}={given}: {error} And as a name on the hub: {unreachable}") from unreachable


def _imported(folder: Path, given: str, outputs_dir: str) -> Path:
    """Return the model folder that a Hugging Face folder becomes; made once, as long as its files are the same."""
    from prospero.interop.import_folder import import_folder
    from prospero.log import log
    from prospero.processes.locks import locked
    from prospero.runs.find import imported_models

    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.iterdir())]
    name = f"{Path(given).name}-{hashlib.sha256(repr((str(folder.resolve()), files)).encode()).hexdigest()[:12]}"
    out = imported_models(outputs_dir) / name
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.with_name(f".{name}.lock"), lambda: log.info("another process imports %s; waiting for it", given)):
        if not out.is_dir():
            import_folder(folder, out, source=given)
            log.info("%s is imported as %s", given, out)
    return out


def _of_the_run(config: TrainConfig) -> "Source | None":
    """Return the source as the run that goes on remembers it: it need not be there any more."""
    file = next((file for file in (run.init_from for run in runs_gone_on_with(config)) if file.is_file()), None)
    return None if file is None else remembered(file, config.init_from, "init_from")


def runs_gone_on_with(config: TrainConfig) -> list[RunFolder]:
    """Return where the run that goes on may have left what it began with; none for one that begins."""
    if config.resume is None:
        return []
    resumed = Path(config.resume)  # a checkpoint, or a run
    runs = [resumed.parent.parent, resumed] if os.path.isdir(resumed) else []
    return [RunFolder(run) for run in ([Path(config.run_dir), *runs] if config.run_dir is not None else runs)]


def remembered(file: Path, given: str | None, setting: str) -> "Source":
    """Return the source that a run has written into `file`; ConfigError where `setting` names another one now."""
    from prospero.checkpoints.source import Source

    try:
        source = Source.from_plain(json.loads(file.read_text(encoding="utf-8")), file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error})") from error
    if source.given != given:
        raise ConfigError(
            f"the run in {file.parent} began with {setting}={source.given}, not {given}; go on with that, "
            "or start a new run in another run_dir"
        )
    return source


def _model(config: TrainConfig, source: "Source") -> Any:
    """Return the model's settings: the source's, with what was set beside it and does not touch the weights."""
    from prospero.checkpoints.model_folder import model_settings
    from prospero.model.adapters.lora import LoRAConfig
    from prospero.model.size import PICTURE

    theirs = model_settings(source.model)
    if isinstance(config.model, Mapping):
        try:
            ours = from_plain(type(theirs), _over(plain(theirs), plain(config.model)))
        except DataError as error:
            raise ConfigError(f"model of init_from={source.given}: {error}") from error
    else:
        ours = config.model
    if type(ours) is not type(theirs):
        names = [registry.name_of("model", type(model)) for model in (ours, theirs)]
        raise ConfigError(f"model is a {names[0]}, and init_from={source.given} holds a {names[1]}; leave model= out")
    before, after = flat(plain(theirs)), flat(plain(ours))
    adds_picture = before.get("prefix.kind") == "none" and after["prefix.kind"] != "none"
    if adds_picture and isinstance(config.adapter, LoRAConfig):
        raise ConfigError(
            f"adapter=lora trains the text model's matrices alone, and the picture's part is new to init_from="
            f"{source.given}; use adapter=none, or adapter=freeze adapter.train=[prefix]"
        )
    for name, value in after.items():
        if adds_picture and name.startswith(PICTURE):
            continue
        if value != before.get(name) and not any(fnmatchcase(name, pattern) for pattern in MAY_DIFFER):
            raise ConfigError(
                f"model.{name}={value} contradicts init_from={source.given}, whose weights have "
                f"{name}={before.get(name)}; leave it out"
            )
    return ours


def _over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with those of `changes` in their place, one by one within groups."""
    inner = {name: _over(values[name], change) for name, change in changes.items() if _groups(values.get(name), change)}
    return {**values, **changes, **inner}


def _groups(value: Any, change: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(change, Mapping)


def _tokenizer(config: TrainConfig, source: "Source") -> Any:
    """Return the tokenizer's settings: the source's own, kept in outputs_dir, or the one given where it fits."""
    given: Any = config.tokenizer
    if isinstance(given, Mapping):
        if given:
            name = next(iter(given))
            raise ConfigError(
                f"tokenizer.{name}={given[name]} contradicts init_from={source.given}, which brings its own tokenizer; "
                "leave it out"
            )
        from prospero.data.tokenizer.pretrained import PretrainedTokenizerConfig

        return PretrainedTokenizerConfig(path=str(_kept_tokenizer(config, source)))
    name = registry.name_of("tokenizer", type(given))
    if given.needs_texts():
        raise ConfigError(
            f"tokenizer={name} would be trained anew, and the weights of init_from={source.given} belong to the tokens "
            "of its own; leave tokenizer= out"
        )
    built = given.build(lambda: iter(()))
    if built.fingerprint() == source.tokenizer:
        return given
    if not config.init.resize_vocab:
        raise ConfigError(
            f"tokenizer={name} is another one than that of init_from={source.given}; leave tokenizer= out, or, where "
            "it only adds tokens to that, give init.resize_vocab=true"
        )
    _check_only_adds(built, source, _kept_tokenizer(config, source))
    return given


def _check_only_adds(tokenizer: "Tokenizer", source: "Source", kept: Path) -> None:
    from prospero.data.tokenizer.tokenizer import load_tokenizer

    for token, number in load_tokenizer(kept).inner.get_vocab(with_added_tokens=True).items():
        found = tokenizer.inner.token_to_id(token)
        if found != number:
            raise ConfigError(
                f"init.resize_vocab=true adds tokens, and the tokenizer given has {token!r} as {found}, where "
                f"init_from={source.given} has it as {number}; add tokens at the end of the source's own tokenizer.json"
            )


def _kept_tokenizer(config: TrainConfig, source: "Source") -> Path:
    """Return the folder below outputs_dir that keeps the source's tokenizer, under a name that its content gives.

    Prepared data are found again by that path, and the run goes on when the source is gone.
    """
    from prospero.checkpoints.model_folder import TOKENIZER_FILE
    from prospero.data.tokenizer.tokenizer import load_tokenizer
    from prospero.processes.locks import locked

    folder = Path(config.outputs_dir, "tokenizers", source.tokenizer[:16])
    file = folder / TOKENIZER_FILE
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", lambda: None):
            if not file.is_file():
                load_tokenizer(source.tokenizer_file()).save(file)
    return folder
