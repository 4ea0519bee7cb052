"""A comparison as text for the screen, as compare.csv and as compare.html."""

import csv
import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prospero.paths import atomic_path, write_text
from prospero.runs.comparison.comparison import Comparison, Contest
from prospero.runs.comparison.curves import draw_by_position, draw_curves, drawn_metric, svg_drawing
from prospero.runs.comparison.runs import shown
from prospero.runs.comparison.verdicts import Measurements, Verdict, decimals
from prospero.runs.page import lines, page, panel
from prospero.secret_values import scrub

HTML_FILE, CSV_FILE, PICTURE_FILE = "compare.html", "compare.csv", "compare.png"
ON_SCREEN = 12
"""Settings that differ, at most, on the screen; the page shows all."""
STYLE = """
.wide svg { width: 100%; height: auto; }
.grid td, .grid td:first-child { font-family: inherit; width: auto; color: inherit; }
.grid td { font-variant-numeric: tabular-nums; }
.grid tr:first-child td { color: #656d76; }
.verdict { margin: 8px 0 0; }
"""


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines whose columns stand below each other."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def standing_cells(standings: Sequence[Measurements]) -> list[list[str]]:
    """Return (mean, ± 95 %, seeds) of each, in as many digits as the narrowest interval bears."""
    widths = [high - low for low, high in (one.interval for one in standings) if high > low]
    digits = max(4, decimals(min(widths, default=math.nan)))
    cells = []
    for one in standings:
        low, high = one.interval
        half = f"{(high - low) / 2:.{digits}f}" if math.isfinite(high - low) else "-"
        cells.append([f"{one.mean:.{digits}f}", half, str(len(one.values))])
    return cells


def screen(comparison: Comparison) -> str:
    """Return what differs, and for each number the standings and the verdicts."""
    blocks = []
    differing = comparison.differing
    if differing:
        names = [group.name for group in comparison.groups]
        rows = [["setting", *names], *([name, *map(_cell, values)] for name, values in differing.items())]
        more = len(rows) - 1 - ON_SCREEN
        text = aligned(rows[: ON_SCREEN + 1]) + (f"\n... and {more} more, on the page" if more > 0 else "")
        blocks.append("settings that differ:\n" + text)
    for contest in comparison.contests:
        blocks.append(_contest_text(contest))
    return "\n\n".join([*blocks, *(["\n".join(comparison.notes)] if comparison.notes else [])])


def _contest_text(contest: Contest) -> str:
    rows = [["", f"mean {contest.metric}", "± 95 %", "seeds"]]
    cells = standing_cells(contest.standings)
    rows += [[one.name, *cell] for one, cell in zip(contest.standings, cells)]
    title = f"{contest.metric}, {_direction(contest)}" + (f", {contest.budget}" if contest.budget else "")
    return "\n".join([f"{title}:", aligned(rows), *verdict_lines(contest.verdicts)])


def verdict_lines(verdicts: Sequence[Verdict], budgets: int = 1) -> list[str]:
    """Return the verdicts, best against the others, and what was done to their p values where there are several."""
    said = [verdict.text for verdict in verdicts]
    tested = sum(math.isfinite(verdict.p) for verdict in verdicts)
    of_each = " of a budget" if budgets > 1 else ""
    return [*said, f"(p by Holm's correction over all pairs{of_each})"] if tested > budgets else said


def _direction(contest: Contest) -> str:
    return "higher is better" if contest.higher_is_better else "lower is better"


def _cell(value: Any) -> str:
    return "-" if value is None else shown(value)


def write_csv(path: Path, comparison: Comparison) -> None:
    """Write a row for each number of each group, the best first, and how it stands to the best."""
    differing = comparison.differing
    places = {group.name: place for place, group in enumerate(comparison.groups)}
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        header = ["metric", "budget", "higher_is_better", "rank", "group", "mean", "low", "high", "seeds", "values"]
        writer.writerow([*header, "test", "better_by", "better_low", "better_high", "p", "verdict", *differing])
        for contest in comparison.contests:
            for rank, one in enumerate(contest.standings):
                row = [contest.metric, contest.budget, str(contest.higher_is_better).lower(), rank + 1, one.name]
                row += [one.mean, *map(_number, one.interval), len(one.values), " ".join(map(repr, one.values))]
                if rank:
                    found = contest.verdicts[rank - 1]
                    numbers = [_number(n) for n in (found.value, found.low, found.high, found.p)]
                    row += [found.test, *numbers, found.text]
                else:
                    row += [""] * 6
                row += [_cell(values[places[one.name]]) for values in differing.values()]
                writer.writerow([scrub(cell) if isinstance(cell, str) else cell for cell in row])
        temporary.chmod(0o644)


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else ""


def write_page(path: Path, comparison: Comparison) -> None:
    """Write the page: curves, loss by position, standings and verdicts, the settings that differ; needs no network."""
    groups, metric = comparison.groups, drawn_metric(comparison.groups, comparison.objective)
    missing: list[str] = []
    curves = svg_drawing(12.0, 4.0, lambda figure: missing.extend(draw_curves(figure, groups, metric)))
    by_position = svg_drawing(9.0, 3.6, lambda figure: draw_by_position(figure, groups))
    runs = sum(len(group.runs) for group in groups)
    rows = [["setting", *(group.name for group in groups)]]
    rows += [[name, *map(_cell, values)] for name, values in comparison.differing.items()]
    members = [[group.name, str(run.folder.path), str(run.seed)] for group in groups for run in group.runs]
    sections = [
        f"<h1>Comparison</h1><p class=quiet>{runs} runs of {len(groups)} settings</p>",
        panel("Curves", f"<div class=wide>{curves}</div>"),
        panel("Loss by position in the context", f"<div class=wide>{by_position}</div>" if by_position else ""),
        *(_contest_section(contest) for contest in comparison.contests),
        panel("Settings that differ", _grid(rows) if len(rows) > 1 else "<p>none but the seed</p>"),
        panel("Notes", lines([*comparison.notes, *missing])),
        panel("Runs", _grid([["group", "run", "seed"], *members])),
    ]
    write_text(path, scrub(page("Comparison", sections, style=STYLE)))


def _contest_section(contest: Contest) -> str:
    title = f"{contest.metric} ({_direction(contest)})" + (f", {contest.budget}" if contest.budget else "")
    rows = [["", "mean", "± 95 %", "seeds"]]
    rows += [[one.name, *cells] for one, cells in zip(contest.standings, standing_cells(contest.standings))]
    said = "".join(f"<p class=verdict>{html.escape(line)}</p>" for line in verdict_lines(contest.verdicts))
    return panel(title, _grid(rows) + said)


def _grid(rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table class=grid>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
