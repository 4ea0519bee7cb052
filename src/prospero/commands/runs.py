"""`runs`: every run of a folder of outputs as a row of a table, for people or, as JSON, for scripts."""

import json
import math
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.errors import ConfigError, suggest

if TYPE_CHECKING:
    from prospero.runs.overview import RunRow

EXAMPLES = [
    ("prospero runs", "the newest runs: how each stands and what it has reached"),
    ("prospero runs sort=bits_per_byte limit=5", "the five best"),
    ("prospero runs 'where=[state=done,model=lstm,optimizer.lr<=0.01]'", "only those"),
    ("prospero runs limit=null json=true | jq -r '.[].folder'", "for scripts"),
]
COLUMNS = ("name", "state", "age", "model", "parameters", "steps", "loss", "bits_per_byte", "seconds", "sweep")
"""What a row has besides settings and numbers; sort= and where= take these names too."""
_CONDITION = re.compile(r"(?P<name>[^=<>!]+)(?P<sign>=|!=|<=|>=|<|>)(?P<value>.*)", re.DOTALL)
_HEADS = ("run", "state", "age", "model", "steps", "loss", "bits/byte", "time", "sweep", "what is wrong")
_RIGHT = frozenset({"age", "steps", "loss", "bits/byte", "time"})


@dataclass(kw_only=True, slots=True)
class RunsConfig:
    """Which runs, in which order."""

    sort: str = "age"
    """name, state, age, model, parameters, steps, loss, bits_per_byte, seconds or sweep, or any setting or number of
    a run (val/accuracy); the least first, with a - before it the largest; a run without one comes last."""
    where: list[str] = field(default_factory=list)
    """Only runs for which all of these hold: name=text (with * and ?) or name=number, also with != < <= > >=; the
    names are those of sort, age in seconds."""
    limit: int | None = 20
    """Rows, at most; null shows all."""
    json: bool = False
    """Print a list of JSON objects, with all settings and numbers, instead of the table."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("sort", "outputs_dir"):
            if not getattr(self, name).strip("- "):
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} shows nothing; give 1 or more, or null for all")
        for text in self.where:
            if _CONDITION.fullmatch(text) is None:
                raise ConfigError(f"where: '{text}' is no condition; write where=[state=done,optimizer.lr<=0.01]")


def runs(config: RunsConfig) -> int:
    """Read the runs and print them; the exit code is 0 also where there are none."""
    import sys

    from prospero import log as logging_setup
    from prospero.log import log
    from prospero.runs.overview import read_rows

    logging_setup.configure()
    outputs = Path(config.outputs_dir)
    if outputs.exists() and not outputs.is_dir():
        raise ConfigError(f"outputs_dir={config.outputs_dir} is a file; give the folder that holds the runs")
    if not outputs.exists() and config.outputs_dir != RunsConfig().outputs_dir:  # named, so there should be one
        raise ConfigError(f"outputs_dir={config.outputs_dir} does not exist; give the folder that holds the runs")
    rows = read_rows(outputs)
    _check_names(config, rows)
    found = _sorted([row for row in rows if all(_holds(row, text) for text in config.where)], config.sort)
    shown = found if config.limit is None else found[: config.limit]
    if config.json:
        print(json.dumps([_as_json(row) for row in shown], indent=1, allow_nan=False))
    elif shown:
        print(table(shown, colour=sys.stdout.isatty()))
    if len(shown) < len(found):
        log.info("%d of %d runs; limit=null shows all", len(shown), len(found))
    elif not rows:
        log.info("There is no run in %s yet; train one with: python train.py", outputs)
    elif not found:
        log.info("None of the %d runs in %s is such a one", len(rows), outputs)
    return 0


def value_of(row: "RunRow", name: str) -> Any:
    """Return a column, a setting or a number of a run by its name; None where it has none."""
    columns: dict[str, Callable[[], Any]] = {
        "name": lambda: row.name,
        "state": lambda: row.state.value,
        "age": lambda: None if row.begun is None else -row.begun,
        "parameters": lambda: row.parameters,
        "steps": lambda: row.steps,
        "loss": lambda: row.numbers.get("val/loss", row.numbers.get("train/loss")),
        "bits_per_byte": lambda: row.numbers.get("val/bits_per_byte"),
        "seconds": lambda: row.seconds,
        "sweep": lambda: row.sweep,
    }
    if name in columns:
        return columns[name]()
    return row.settings.get(name, row.numbers.get(name))


def _check_names(config: RunsConfig, rows: "list[RunRow]") -> None:
    """Raise ConfigError for a name that no run knows: it would silently leave out all, or sort nothing."""
    if not rows:
        return
    asked = [("sort", config.sort.removeprefix("-"))]
    asked += [("where", match["name"].strip()) for text in config.where if (match := _CONDITION.fullmatch(text))]
    known = {*COLUMNS, *(name for row in rows for name in (*row.settings, *row.numbers))}
    for setting, name in asked:
        if name not in known:
            raise ConfigError(
                f"{setting}: none of the {len(rows)} runs in {config.outputs_dir} has a '{name}'."
                f"{suggest(name, sorted(known))} Give a setting, a number (val/loss) or one of {', '.join(COLUMNS)}."
            )


def _holds(row: "RunRow", condition: str) -> bool:
    match = _CONDITION.fullmatch(condition)
    assert match is not None
    value, sign, wanted = value_of(row, match["name"].strip()), match["sign"], match["value"].strip()
    if match["name"].strip() == "age" and value is not None:
        import time

        value = time.time() + value
    try:
        number = float(wanted)
    except ValueError:
        if sign not in ("=", "!="):
            raise ConfigError(f"where: {condition} compares with '{wanted}', which is no number") from None
        return fnmatchcase(_text(value), wanted) is (sign == "=")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if sign in ("=", "!="):
        same = value == number if is_number else _text(value) == wanted
        return same is (sign == "=")
    compared = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[sign]
    return (
        isinstance(value, int | float) and is_number and compared(value, number)
    )  # NaN is neither more nor less than anything


def _sorted(rows: "list[RunRow]", sort: str) -> "list[RunRow]":
    """Sort by a value; numbers before text, what is missing or NaN last, in either direction."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    known: list[tuple[Any, RunRow]] = []
    rest = []
    for row in rows:
        value = value_of(row, name)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            rest.append(row)
        else:
            known.append((value, row))
    numbers = [pair for pair in known if isinstance(pair[0], int | float)]
    texts = [pair for pair in known if not isinstance(pair[0], int | float)]
    numbers.sort(key=lambda pair: pair[0], reverse=down)
    texts.sort(key=lambda pair: _text(pair[0]), reverse=down)
    return [row for _, row in (*numbers, *texts)] + rest


def _text(value: Any) -> str:
    """Return a value as it is typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(_text, value))}]" if isinstance(value, list) else str(value)


def _as_json(row: "RunRow") -> dict[str, Any]:
    known = {name: value_of(row, name) for name in COLUMNS if name != "age"}
    times = {"folder": str(row.folder), "begun": row.begun, "problem": row.problem or None}
    return _finite(known | {"model": row.model or None} | times | {"numbers": row.numbers, "settings": row.settings})


def _finite(value: Any) -> Any:
    """Return plain values with null for what JSON has no number for, and text for what it has no type for."""
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def table(rows: "list[RunRow]", *, colour: bool = False) -> str:
    """Return the rows as lines whose columns stand below each other; a column that is empty in all is left out."""
    cells = [_cells(row) for row in rows]
    kept = [place for place, head in enumerate(_HEADS) if place < 4 or any(row[place] for row in cells)]
    widths = [max(_width(text) for text in (_HEADS[place], *(row[place] for row in cells))) for place in kept]
    lines = [_line(_HEADS, kept, widths)]
    for row, line in zip(rows, cells):
        text = _line(line, kept, widths)
        lines.append(
            f"\x1b[{_COLOURS[row.state.name]}m{text}\x1b[0m" if colour and row.state.name in _COLOURS else text
        )
    return "\n".join(lines)


_COLOURS = {"running": "32", "damaged": "31", "diverged": "31", "broken_off": "33"}
"""States that are seen at a glance: escape codes of the terminal."""


def _line(cells: Iterable[str], kept: list[int], widths: list[int]) -> str:
    row = list(cells)
    padded = []
    for place, width in zip(kept, widths):
        space = " " * (width - _width(row[place]))
        padded.append(space + row[place] if _HEADS[place] in _RIGHT else row[place] + space)
    return "  ".join(padded).rstrip()


def _cells(row: "RunRow") -> list[str]:
    from prospero.printable import printable
    from prospero.runs.overview import shown_age, shown_count, shown_time

    loss, bits = value_of(row, "loss"), value_of(row, "bits_per_byte")
    model = f"{row.model} {shown_count(row.parameters)}".strip()
    cells = [row.name, row.state.value, shown_age(row.begun), model, "" if row.steps is None else f"{row.steps:,}"]
    cells += ["" if number is None else f"{number:.4g}" for number in (loss, bits)]
    return [printable(cell) for cell in (*cells, shown_time(row.seconds), row.sweep or "", row.problem)]


def _width(text: str) -> int:
    """Columns of the terminal that a text takes: two for wide letters, none for marks over others."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )
