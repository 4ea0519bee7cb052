"""dynamics.html: the course of one run or of several on one page, pictures inside it, no network."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prospero.analysis.dynamics.alike import SHUFFLED, Alike
from prospero.analysis.dynamics.study import RunStudy
from prospero.analysis.dynamics.words import Trajectory, best_known, earliest, forgotten, latest, never, worst_known
from prospero.paths import write_text
from prospero.printable import printable
from prospero.runs.page import lines, number, page, panel, tiles
from prospero.secret_values import scrub

LISTED = 15
"""Words of each list on the page; the tables have all."""
_STYLE = """
main { max-width: 1280px; }
img { width: 100%; height: auto; }
.lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 12px 28px; }
.lists h3 { font-size: 14px; margin: 8px 0; }
.lists td, .lists td:first-child, .lists td:last-child { font-family: inherit; width: auto; white-space: nowrap; }
.lists td { font-variant-numeric: tabular-nums; color: #24292f; }
.lists td:first-child { font-family: ui-monospace, monospace; }
th { text-align: left; font-weight: 500; color: #656d76; padding: 3px 8px 3px 0; }
"""
CAVEATS = [
    "Weights are those that were validated (an average, where the run keeps one), an adapter folded in; gains and "
    "biases are left out.",
    "The effective rank (Roy and Vetterli 2007) is exp of the entropy of the singular values. A random matrix has a "
    "high one; a fall says that training has written into fewer directions, not that this is good.",
    "Update to weight is |W - W before| / |W before| between the checkpoints that are there: as the crow flies, not "
    "the sum of the steps between, and it grows with their distance.",
    "QK circuits leave out what stands between the two products: rotary positions and norms of queries and keys.",
    "CKA (Kornblith et al. 2019) is decided by the directions of largest variance; a few huge activations can make it "
    "1 whatever the rest does. The unbiased estimate corrects for the number of tokens, the plain one does not.",
    "PWCCA (Morcos et al. 2018) needs many more tokens than dimensions; what chance gives is shown as shuffled.",
    "A word is learned half of the way from chance to its lowest loss (Chang and Bergen 2022). Frequent ones are early "
    "for their frequency alone, and of the time before the first checkpoint nothing is known.",
    "Forgotten: its loss has risen by more than 0.1 nats a token and three standard errors since its lowest. Of "
    "thousands of words a few do so by chance; look at the curve.",
]
"""What the numbers cannot say."""


@dataclass(slots=True, kw_only=True)
class Section:
    """What the page shows of one run."""

    study: RunStudy
    words: Sequence[Trajectory] = ()
    tokens: Sequence[Trajectory] = ()
    pictures: Mapping[str, Path] = field(default_factory=dict)
    """Title -> PNG file."""


def write_page(
    path: Path, sections: Sequence[Section], common: Mapping[str, Path], found: Sequence[Alike], notes: Sequence[str]
) -> None:
    """Write the page; `common` are pictures of all runs together."""
    title = "Dynamics of " + ", ".join(section.study.label for section in sections[:4])
    title += f" and {len(sections) - 4} more" if len(sections) > 4 else ""
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [panel(name, _picture(file)) for name, file in common.items()]
    for section in sections:
        body += _of_run(section, found, alone=len(sections) == 1)
    body += [panel("Notes", lines(notes)), panel("What these numbers are, and cannot say", lines(CAVEATS))]
    write_text(path, scrub(page(title, body, style=_STYLE)))


def _of_run(section: Section, found: Sequence[Alike], *, alone: bool) -> list[str]:
    study = section.study
    cells = [(str(len(study.steps)), "checkpoints"), (_range(study.steps), "steps")]
    if study.losses:
        cells.append((number(study.losses[-1]), "loss of the last, nats per token"))
    if study.text is not None:
        cells.append((f"{len(study.text.targets):,}", "tokens of validation text read"))
    for one in found:
        if one.over == SHUFFLED and one.a.run == study.label:
            floor = f"{one.cka:.2f} / {one.unbiased_cka:.2f} / {one.pwcca or 0:.2f}"
            cells.append((floor, "CKA / unbiased / PWCCA of shuffled tokens: chance"))
    body = [] if alone else [f"<h1>{html.escape(study.label)}</h1>"]
    body += [tiles(cells), _losses(study)]
    body += [panel(name, _picture(file)) for name, file in section.pictures.items()]
    for name, some in (("Words", section.words), ("Tokens", section.tokens)):
        body.append(panel(f"{name} learned when", _lists(some, study)) if some else "")
    return body


def _range(steps: Sequence[int]) -> str:
    return f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"


def _losses(study: RunStudy) -> str:
    if not study.losses:
        return ""
    rows = [["step", "tokens", "loss here", "val/loss of the run"]]
    for step, tokens, loss, own in zip(study.steps, study.tokens, study.losses, study.own_losses, strict=True):
        rows.append([f"{step:,}", f"{tokens:,}", f"{loss:.4f}", "-" if own is None else f"{own:.4f}"])
    read = "" if study.text is None else f"{study.text.n_sequences:,} of {study.text.of_sequences:,} sequences"
    note = f"<p class=quiet>here: cross-entropy in float32 over {read} of the validation split</p>"
    return panel("Loss", f"<div class=lists>{_table(rows)}</div>{note}")


def lists_of(found: Sequence[Trajectory], study: RunStudy, n: int) -> dict[str, list[Trajectory]]:
    """Return the lists of words by their titles, `n` in each; with one checkpoint there is no course to tell."""
    if len(study.steps) == 1:
        return {"known best": best_known(found, n), "known worst": worst_known(found, n)}
    return {
        "learned first": earliest(found, n),
        "learned last": latest(found, n),
        "forgotten": forgotten(found, n),
        "never better than chance by a tenth": never(found, n),
    }


def _lists(found: Sequence[Trajectory], study: RunStudy) -> str:
    chosen = lists_of(found, study, LISTED).items()
    return f"<div class=lists>{''.join(f'<div><h3>{n}</h3>{_words(some)}</div>' for n, some in chosen)}</div>"


def _words(found: Sequence[Trajectory]) -> str:
    if not found:
        return "<p class=quiet>none</p>"
    rows = [["", "times", "at step", "nats at first", "lowest", "at last"]]
    for one in found:
        step = "-" if one.learned_at is None else f"{one.learned_at:,.0f}"
        step = f"≤ {step}" if one.learned_by_first else step
        losses = (one.losses[0], min(one.losses), one.losses[-1])
        rows.append([shown(one.name), f"{one.count:,}", step, *(f"{loss:.2f}" for loss in losses)])
    return _table(rows)


def shown(name: str) -> str:
    """Return a word as it is, one with white space or nothing in it as Python writes it; never long."""
    text = printable(name) if name.strip() == name and name else repr(name)
    return text if len(text) <= 32 else text[:31] + "…"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table><tr>{head}</tr>{body}</table>"


def _picture(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{content}">'
