"""What a run that goes on may change: it is compared with its checkpoint before anything of it is written.

A short list of settings may change, each said with its value then and now. Everything else is another run and refused.
Text is compared by what came of it, the tokens, not by where it lay: a folder that has moved is no other data.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from prospero import registry
from prospero.checkpoints.run_checkpoints import Checkpoint, readable_damage
from prospero.data.mixture.mixing import Mixing
from prospero.errors import ConfigError
from prospero.log import log
from prospero.plain import flat, plain
from prospero.training import compilation
from prospero.training.state import RunState

if TYPE_CHECKING:
    from prospero.data.prepare import PreparedData
    from prospero.training.settings import TrainConfig

MAY_CHANGE = (
    # how long, and how often is looked
    "max_steps", "max_tokens", "max_flops", "max_minutes",
    "trainer.val_every_steps", "trainer.val_sequences", "trainer.test_sequences", "trainer.log_every_steps",
    "callbacks*", "logger*", "metrics*", "tasks*", "analyses*", "monitor", "sampling.*",
    "trainer.guards.*", "trainer.watchdog_minutes",
    # how far each step goes
    "optimizer.*", "schedule", "schedule.*", "trainer.max_grad_norm", "regularizers*", "*.dropout", "loss.*.weight",
    # which machine computes it, and how
    "micro_batch_size", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy",
    "trainer.tensor_parallel", "trainer.replicas", "trainer.cpu_offload", "trainer.precision",
    "trainer.matmul_precision", "trainer.compile", "trainer.num_threads", "trainer.deterministic",
    "trainer.lightning*", "model.attention", "model.activation_checkpointing", "loss.*.chunk_tokens",
    "name", "tags*", "rollouts.rows",
)  # fmt: skip
"""Patterns of settings that a run may go on with, changed; the change takes effect and is said."""
NOT_COMPARED = ("run_dir", "resume", "outputs_dir", "buffer_mb", "plugins*", "traceback", "price_per_hour")
"""Settings that change nothing of what is trained."""
JUDGED_BY_TOKENS = ("data", "cleaning", "dedup", "split", "tokenizer")
"""Groups that decide the prepared data; the fingerprints say whether they differ."""
SPELT_BEFORE: dict[str, Mapping[Any, Any]] = {"trainer.compile": compilation.EARLIER}
"""Settings with older words for some of their values: setting -> value of before -> value of now."""
_NOTHING = "none"


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that is another one than the checkpoint's."""

    name: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name} {_shown(self.then)} -> {_shown(self.now)}"

    @property
    def allowed(self) -> bool:
        """Whether a run may go on with it."""
        return any(fnmatchcase(self.name, pattern) for pattern in MAY_CHANGE)


def part_names(config: "TrainConfig") -> dict[str, str]:
    """Return the name in the table of every part that `config` holds: `optimizer` -> `adamw`, `loss.x` -> `focal`."""
    found: dict[str, str] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        members = value.items() if isinstance(value, Mapping) else [(None, value)]
        for key, part in members:
            if is_dataclass(part):
                kind = type(part)
                name = registry.name_of(field.name, kind) or f"{kind.__module__}:{kind.__qualname__}"
                found[field.name if key is None else f"{field.name}.{key}"] = name
    return found


def check_settings(checkpoint: Checkpoint, config: "TrainConfig", settings: Mapping[str, Any]) -> None:
    """Say each change of a setting since `checkpoint`; ConfigError names those that make it another run.

    `settings` are those of `config` as plain values without secrets, as a checkpoint holds them.
    """
    memory = checkpoint.memory
    with readable_damage(checkpoint.path):
        RunState().restore(memory)  # what the run will do with it later, tried before anything is written
    found = changes(memory.get("config"), memory.get("parts") or {}, config, settings)
    refused = [change for change in found if not change.allowed]
    if refused:
        raise ConfigError(
            f"{checkpoint.path} was trained with other settings: {', '.join(map(str, refused))}; go on with those of "
            "then, or start a new run in another run_dir"
        )
    for change in found:
        log.info("changed since the checkpoint, from here on: %s", change)


def changes(
    then: Any, parts_then: Mapping[str, str], config: "TrainConfig", settings: Mapping[str, Any]
) -> list[Change]:
    """Return what differs between the settings of a checkpoint and those of now, prepared data left out.

    A setting that the checkpoint does not know had its default then; one that is gone is not compared.
    """
    if not isinstance(then, Mapping):
        return []
    parts_now = part_names(config)
    found = [Change(name, parts_then[name], parts_now.get(name, _NOTHING)) for name in parts_then]
    found = [change for change in found if change.then != change.now]
    others = {change.name for change in found}
    before, after = flat(_completed(config, _with_named_losses(then, settings))), flat(settings)
    for name in [*before, *(name for name in after if name not in before)]:
        if any(name == other or name.startswith(f"{other}.") for other in others):
            continue
        change = Change(name, _as_now(name, before), _as_now(name, after))
        if change.then != change.now and not (_empty(change.then) and _empty(change.now)):
            found.append(change)
    return [change for change in found if _is_compared(change.name)]


def check_data(checkpoint: Checkpoint, prepared: "PreparedData", *, own_folder: bool) -> None:
    """Raise ConfigError where the tokenizer, or in the checkpoint's `own_folder` the text, is another than then.

    A run that branches off into a folder of its own may read other text with the same tokenizer, which is said.
    """
    memory = checkpoint.memory
    if memory.get("tokenizer_fingerprint", prepared.tokenizer.fingerprint()) != prepared.tokenizer.fingerprint():
        raise ConfigError(
            f"{checkpoint.path} was trained with another tokenizer{_what_decided(memory, prepared)}: its tokens mean "
            "other text; go on with the data and the tokenizer of then, or start a new run in another run_dir"
        )
    if same_data(memory, prepared):
        return
    fingerprints = f"{str(memory.get('data_fingerprint'))[:12]} -> {prepared.fingerprint[:12]}"
    what = f"other data of the same tokenizer (fingerprint {fingerprints}{_what_decided(memory, prepared)})"
    if own_folder:
        raise ConfigError(
            f"{checkpoint.path} was trained on {what}, and losses of two corpora cannot be compared; go on with the "
            f"data of then, or branch off into a new folder: run_dir=<new folder> resume={checkpoint.path}"
        )
    log.warning("training goes on with %s; the best of before does not count any more", what)


def check_mixture(checkpoint: Checkpoint, mixing: Mixing | None, *, own_folder: bool) -> None:
    """Raise ConfigError where a mixture would be read in other shares than the checkpoint's; ask before preparing.

    What has been read of each part follows from the shares and the step alone; with others it would be another text.
    """
    then, now = checkpoint.memory.get("mixture"), None if mixing is None else mixing.plain()
    if then is None or now is None or then == now:  # one corpus or several: the tokens differ, which is told by them
        return
    before, after = flat(then), flat(now)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    changed = ", ".join(
        str(Change(f"data {name}", before.get(name, _NOTHING), after.get(name, _NOTHING))) for name in names
    )
    if own_folder:
        raise ConfigError(
            f"{checkpoint.path} was trained on another mixture: {changed}; go on with the shares of then, or "
            f"branch off: run_dir=<new folder> resume={checkpoint.path}"
        )
    log.warning("training goes on with another mixture, as if it had been read in these shares before: %s", changed)


def same_data(memory: Mapping[str, Any], prepared: "PreparedData") -> bool:
    """Whether a checkpoint was trained on the tokens of `prepared`, whatever way they came about."""
    known = memory.get("data_digests")
    return memory.get("data_fingerprint", prepared.fingerprint) == prepared.fingerprint or known == digests(prepared)


def digests(prepared: "PreparedData") -> dict[str, str]:
    """Return split -> hash of its tokens."""
    return {name: row["digest"] for name, row in prepared.receipt["splits"].items()}


def fingerprints(prepared: "PreparedData") -> dict[str, Any]:
    """Return what a checkpoint keeps to know its data and its tokenizer by."""
    return {
        "data_fingerprint": prepared.fingerprint,
        "data_digests": digests(prepared),
        "tokenizer_fingerprint": prepared.tokenizer.fingerprint(),
        **({} if prepared.mixture is None else {"mixture": prepared.mixture.plain()}),
    }


def _what_decided(memory: Mapping[str, Any], prepared: "PreparedData") -> str:
    """Name the settings of the data that differ, in brackets' words; empty when only the text itself does."""
    then, now = memory.get("config") or {}, prepared.receipt["settings"]
    then = {"source": then.get("data"), "cleaning": list((then.get("cleaning") or {}).items())} | {
        name: then.get(name) for name in ("dedup", "split", "tokenizer")
    }
    before, after = flat(plain(then)), flat(now)
    shared = [name for name in after if name in before and before[name] != after[name] and name != "cleaning"]
    said = [f"{name.replace('source', 'data', 1)} {_shown(before[name])} -> {_shown(after[name])}" for name in shared]
    return f"; {', '.join(said)}" if said else ""


def _is_compared(name: str) -> bool:
    group = name.partition(".")[0]
    return group not in JUDGED_BY_TOKENS and not any(fnmatchcase(name, pattern) for pattern in NOT_COMPARED)


def _with_named_losses(then: Mapping[str, Any], now: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take for granted the loss of a run of before there could be several, which stood there without its name."""
    named = all(isinstance(loss, Mapping) for loss in (then.get("loss") or {}).values())
    return then if named else {**then, "loss": now["loss"]}


def _completed(now: Any, then: Any) -> Any:
    """Return `then` with the defaults of the settings that came later, without those that are gone."""
    if is_dataclass(now) and isinstance(then, Mapping):
        known = {}
        for field in fields(now):
            if field.name in then:
                known[field.name] = _completed(getattr(now, field.name), then[field.name])
            elif field.default is not MISSING:
                known[field.name] = plain(field.default)
            elif field.default_factory is not MISSING:
                known[field.name] = plain(field.default_factory())
        return known
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        return {key: _completed(now[key], item) if key in now else item for key, item in then.items()}
    return then


def _as_now(name: str, settings: Mapping[str, Any]) -> Any:
    """Return a setting in the words of now: what means the same is no change, however it was spelt."""
    value = settings.get(name, _NOTHING)
    return next((now for before, now in SPELT_BEFORE.get(name, {}).items() if value == before), value)


def _empty(value: Any) -> bool:
    return value is None or value == _NOTHING or value in ({}, [])


def _shown(value: Any) -> str:
    return "null" if value is None else "true" if value is True else "false" if value is False else str(value)
