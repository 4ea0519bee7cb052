"""`show`: one run on a page of the terminal: what it is, what it has reached, where its files are, how to go on."""

import inspect
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.errors import ConfigError

if TYPE_CHECKING:
    from prospero.runs.folder import RunFolder
    from prospero.runs.overview import RunRow

EXAMPLES = [
    ("prospero show run=last", "the newest run"),
    ("prospero show first", "a run by its name; run= may be left out"),
    ("prospero show run=outputs/sweeps/2026-01-31_12-00-00/3", "a job of a sweep, by its folder"),
]
_SAID_ELSEWHERE = frozenset({"run_dir", "outputs_dir", "resume", "traceback"})
_SHOWN = ("loss", "perplexity", "bits_per_byte", "accuracy")
"""Numbers of a split that come first."""


@dataclass(kw_only=True, slots=True)
class ShowConfig:
    """Which run."""

    run: str = "last"
    """The run: last, a name or a folder; stands as the first word too."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "outputs_dir"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")


def show(config: ShowConfig) -> int:
    """Print what the files of a run say; the exit code is 0 also for a run that is damaged, which is said."""
    from prospero import log as logging_setup
    from prospero.printable import printable_lines
    from prospero.runs.find import find
    from prospero.runs.folder import RunFolder
    from prospero.runs.overview import read_row

    logging_setup.configure()
    run = RunFolder(find(config.run, config.outputs_dir))
    if not any(file.exists() for file in (run.config, run.metrics, run.result, run.log, run.model, run.checkpoints)):
        raise ConfigError(f"{run.path} holds no run: there is no {run.config.name} in it; see prospero runs")
    row = read_row(run.path, Path(config.outputs_dir))
    for place, (title, lines) in enumerate(_page(run, row)):
        found = list(lines)
        if found or place == 0:
            print(printable_lines("\n".join([title, *(f"  {line}" for line in found), ""])))
    return 0


def _page(run: "RunFolder", row: "RunRow") -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the sections: a title and its lines."""
    yield f"{run.path.resolve().name}: {_standing(row)}", _what_it_is(run, row)
    if row.settings:
        yield "settings that differ from the defaults of `python train.py`", _changed(row)
    yield "numbers", _numbers(run, row)
    yield "files", _files(run)
    yield "go on", _go_on(run, row)


def _standing(row: "RunRow") -> str:
    from prospero.runs.overview import State, shown_age, shown_time

    words = [row.state.value]
    words += [f"{row.steps:,} steps"] if row.steps is not None else []
    words += [f"{shown_time(row.seconds)} of training"] if row.seconds is not None else []
    age = shown_age(row.begun)
    words += [f"began {age} ago" if row.state is not State.damaged else f"changed {age} ago"] if age else []
    return ", ".join(words) + (f": {row.problem}" if row.problem else "")


def _what_it_is(run: "RunFolder", row: "RunRow") -> Iterator[str]:
    from prospero.data.describe import receipt_lines

    environment, receipt, beginning = (_table(file) for file in (run.environment, run.receipt, run.init_from))
    if row.model:
        count = "" if row.parameters is None else f", {row.parameters:,} parameters"
        yield from _entry("model", [f"{row.model}{count}"])
    yield from _entry("weights", [f"begun from {_text(row.settings.get('init_from'))}"] if beginning else [])
    try:
        yield from _entry("data", receipt_lines(receipt) if receipt else [])
    except (LookupError, TypeError, ValueError):
        yield from _entry("data", [f"{run.receipt.name} is damaged, or of another version"])
    words = environment.get("command_line")
    yield from _entry("command", [shlex.join(["python", *map(str, words)])] if isinstance(words, list) else [])
    git = environment.get("git")
    if isinstance(git, dict) and git.get("commit"):
        changes = f", with changes ({run.code_diff.name})" if git.get("changed") else ""
        yield from _entry("code", [f"commit {str(git['commit'])[:12]}{changes}"])
    packages = environment.get("packages")
    torch = packages.get("torch") if isinstance(packages, dict) else None
    gpus = environment.get("gpus")
    machine = [str(gpus[0] if isinstance(gpus, list) and gpus else environment.get("cpu", ""))]
    machine += [f"torch {torch}"] if torch else []
    yield from _entry("machine", [", ".join(word for word in machine if word)] if environment else [])
    yield from _entry("sweep", [row.sweep] if row.sweep else [])


def _changed(row: "RunRow") -> Iterator[str]:
    from prospero.configuration.default_settings import default_settings

    lines = [
        (name, _text(mine), _text(other)) for name, mine, other in changes(row.settings, default_settings("train"))
    ]
    width = max((len(name) + len(mine) + 1 for name, mine, _ in lines), default=0)
    for name, mine, other in lines:
        yield f"{f'{name}={mine}':<{min(width, 60)}}  ({other})"
    if not lines:
        yield "none"


def changes(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (name, value, default) of the settings that differ, groups first.

    The settings of a part that the defaults do not choose are compared with what they are by themselves.
    """
    from prospero import registry
    from prospero.configuration.default_settings import part_settings

    groups = [group for group in registry.PARTS if settings.get(group) or defaults.get(group)]
    found = [(g, settings.get(g), defaults.get(g)) for g in groups if settings.get(g) != defaults.get(g)]
    expected = dict(defaults)
    for group in groups:
        several = group in registry.MULTIPLE
        usual = str(defaults.get(group) or "").split(",")
        for name in str(settings.get(group) or "").split(","):
            if name and name not in usual:
                prefix = f"{group}.{name}" if several else group
                expected |= {f"{prefix}.{key}": value for key, value in part_settings(group, name).items()}
    for name, value in settings.items():
        if name in groups or name in _SAID_ELSEWHERE:
            continue
        if name not in expected:
            found += [(name, value, "no setting of this version")] if value not in (None, [], "") else []
        elif value != expected[name]:
            found.append((name, value, expected[name]))
    return found


def _numbers(run: "RunFolder", row: "RunRow") -> Iterator[str]:
    from prospero.runs.result import read_result

    result = read_result(run.path)
    for split in ("train", "val", "test"):
        of_split = {n.partition("/")[2]: v for n, v in row.numbers.items() if n.partition("/")[0] == split}
        order = [name for name in _SHOWN if name in of_split] + [name for name in of_split if name not in _SHOWN]
        line = "  ".join(f"{name.replace('_', ' ')} {_short(of_split[name])}" for name in order)
        yield from _entry(split, [line] if line else [])
    if "bigram_bits_per_byte" in row.numbers:
        said = f"bits per byte {_short(row.numbers['bigram_bits_per_byte'])}, of a bigram model of the same tokens"
        yield from _entry("bigram", [said])
    if row.numbers.get("tokens"):
        yield from _entry("tokens", [f"{int(row.numbers['tokens']):,} trained on"])
    reason = result.get("stop_reason")
    yield from _entry("ended by", [str(reason)] if reason else [])
    said = _table(run.diagnosis).get("reason")
    yield from _entry("gave up", [str(said)] if said else [])


def _files(run: "RunFolder") -> Iterator[str]:
    """Yield what there is, with what RunFolder says of it."""
    from prospero.runs.folder import RunFolder

    known = [name for name, kind in vars(RunFolder).items() if isinstance(kind, property) and name != "lock"]
    found = []
    for name in known:
        place = getattr(run, name)
        if isinstance(place, Path) and place.exists() and place.parent == run.path:
            doc = (inspect.getdoc(vars(RunFolder)[name]) or "").splitlines()[0].partition(" (see `")[0]
            found.append((place.name + ("/" if place.is_dir() else ""), doc))
    width = max((len(name) for name, _ in found), default=0)
    for name, doc in found:
        yield f"{name:<{width}}  {doc}"


def _go_on(run: "RunFolder", row: "RunRow") -> Iterator[str]:
    from prospero.runs.overview import State

    def command(*words: str) -> str:
        return shlex.join(words)

    place = str(run.path)
    again = ["python", "train.py", "--config-dir", place, "--config-name", "config"]
    lines = []
    if run.report.exists():
        lines.append((str(run.report), "all of it on one page, in a browser"))
    if row.state is State.running:
        lines.append((command("touch", str(run.stop)), "let it save and leave"))
    elif run.config.exists() and row.state is not State.damaged:
        if run.checkpoints.is_dir() and row.state in (State.stopped, State.broken_off, State.diverged):
            lines.append((command(*again, f"run_dir={place}", "resume=auto"), "go on from its last checkpoint"))
        lines.append((command(*again, "run_dir=outputs/again"), "run it again"))
    if run.holds_weights:
        lines.append((command("python", "generate.py", f"run={place}", "prompt=The "), "let it write"))
        lines.append((command("python", "evaluate.py", f"run={place}"), "measure it"))
        if row.state is not State.running:
            lines.append((command("python", "train.py", f"init_from={place}"), "train on from its weights"))
    if row.settings and row.state is not State.running:
        lines.append((command("prospero", "doctor", f"run={place}"), "what is wrong with it"))
    for words, comment in lines:
        yield words
        yield f"    {comment}"


def _entry(name: str, lines: list[str]) -> Iterator[str]:
    """Yield lines beside a name."""
    for place, line in enumerate(lines):
        yield f"{name if place == 0 else '':<9} {line}"


def _short(number: float) -> str:
    return f"{number:.4g}" if abs(number) < 1e4 or not math.isfinite(number) else f"{number:,.0f}"


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
