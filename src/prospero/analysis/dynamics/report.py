"""From studies to the files of a folder: tables, pictures, the page; and what the screen says."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prospero.analysis.dynamics import files, pictures
from prospero.analysis.dynamics.alike import SHUFFLED, STEPS, Alike, over_layers, over_runs, over_steps
from prospero.analysis.dynamics.page import Section, lists_of, shown, write_page
from prospero.analysis.dynamics.study import ACTIVATION, GRADIENT, OV, QK, WEIGHT, RunStudy
from prospero.analysis.dynamics.words import (
    Occurrences,
    Trajectory,
    forgotten,
    tokens_of,
    trajectories,
    with_letters,
    words_of,
)
from prospero.runs.figures import save
from prospero.runs.folder import DynamicsFolder

ON_SCREEN = 6
"""Words of each list on the screen."""


def write_report(folder: DynamicsFolder, studies: Sequence[RunStudy], *, min_count: int, notes: list[str]) -> str:
    """Compare, write all files and return what to print. `notes` are added to, and shown on the page and the screen."""
    notes += [note for study in studies for note in study.notes]
    alike = [one for study in studies for one in (*over_steps(study), *over_layers(study))]
    alike += over_runs(studies, notes.append)
    words, tokens = _learned(studies, min_count)
    steps = {study.label: study.steps for study in studies}
    folder.path.mkdir(parents=True, exist_ok=True)
    files.write_losses(folder.losses, studies)
    files.write_matrices(folder.matrices, studies)
    if alike:
        files.write_similarity(folder.similarity, alike)
    if words:
        files.write_trajectories(folder.words, words, steps)
        files.write_trajectories(folder.tokens, tokens, steps)
    sections = [
        Section(
            study=study,
            words=words.get(study.label, []),
            tokens=tokens.get(study.label, []),
            pictures=_pictures_of(folder, study, alike, words.get(study.label, []), alone=len(studies) == 1),
        )
        for study in studies
    ]
    common = _drawn(folder, {"Runs": ("runs", pictures.draw_runs(studies, alike))})
    write_page(folder.page, sections, common, alike, notes)
    files.write_summary(folder.summary, _summary(sections, alike, notes))
    return "\n\n".join([*(_screen(section, alike) for section in sections), *(["\n".join(notes)] if notes else [])])


def _learned(
    studies: Sequence[RunStudy], min_count: int
) -> tuple[dict[str, list[Trajectory]], dict[str, list[Trajectory]]]:
    """Return (words, tokens) of each run that has read a text."""
    words: dict[str, list[Trajectory]] = {}
    tokens: dict[str, list[Trajectory]] = {}
    for study in studies:
        if study.text is not None:
            labels, tokenizer = study.text.targets, study.text.tokenizer
            found = words_of(labels, study.text.follows, tokenizer)
            words[study.label] = with_letters(_of(study, found, min_count))
            tokens[study.label] = _of(study, tokens_of(labels, tokenizer), min_count)
    return words, tokens


def _of(study: RunStudy, found: Occurrences, min_count: int) -> list[Trajectory]:
    assert study.nats is not None
    return trajectories(study.nats, study.steps, found, vocab_size=study.vocab_size, min_count=min_count)


def _pictures_of(
    folder: DynamicsFolder, study: RunStudy, alike: Sequence[Alike], words: Sequence[Trajectory], *, alone: bool
) -> dict[str, Path]:
    drawn = {
        "Words": ("words", pictures.draw_words(study, words)),
        "Weights, by kind of matrix (mean over layers)": ("weights", pictures.draw_rows(study, [WEIGHT])),
        "Gradients": ("gradients", pictures.draw_rows(study, [GRADIENT])),
        "Circuits of the heads (mean over heads)": ("circuits", pictures.draw_rows(study, [OV, QK])),
        "Heads": ("heads", pictures.draw_heads(study)),
        "Activations, centred": ("activations", pictures.draw_rows(study, [ACTIVATION])),
        "Similarity": ("similarity", pictures.draw_similarity(study, alike)),
    }
    return _drawn(folder, drawn, "" if alone else re.sub(r"[^\w.=-]+", "_", study.label) + "_")


def _drawn(folder: DynamicsFolder, drawn: Mapping[str, tuple[str, Any]], prefix: str = "") -> dict[str, Path]:
    """Save the figures that there are, title -> (name, figure or None); return title -> file."""
    saved = {}
    for title, (name, figure) in drawn.items():
        path = folder.picture(prefix + name)
        path.unlink(missing_ok=True)  # of an earlier call, which may have seen other things
        if figure is not None:
            save(figure, path)
            saved[title] = path
    return saved


def _summary(sections: Sequence[Section], alike: Sequence[Alike], notes: Sequence[str]) -> dict[str, Any]:
    runs = {}
    for section in sections:
        study = section.study
        runs[study.label] = {
            "steps": study.steps,
            "tokens": study.tokens,
            "loss": study.losses,
            "val_loss": study.own_losses,
            "points": study.points,
            "text_tokens": 0 if study.text is None else len(study.text.targets),
            "effective_rank_share": [_rank_share(study, step) for step in study.steps],
            "shuffled": next(
                ({"cka": one.cka, "unbiased_cka": one.unbiased_cka, "pwcca": one.pwcca} for one in alike
                 if one.over == SHUFFLED and one.a.run == study.label), None
            ),
            "words": len(section.words),
            "forgotten_words": [one.name for one in forgotten(section.words, 100)],
        }  # fmt: skip
    return {"runs": runs, "notes": list(notes)}


def _rank_share(study: RunStudy, step: int) -> float:
    """Return the mean over the matrices of the weights: effective rank / the most it can be."""
    rows = [row for row in study.rows if row.of == WEIGHT and row.step == step]
    return sum(row.numbers.effective_rank / row.most_rank for row in rows) / max(1, len(rows))


def _screen(section: Section, alike: Sequence[Alike]) -> str:
    study = section.study
    point = study.points[-1] if study.points else ""
    to_last = {
        one.a.step: one.unbiased_cka
        for one in alike
        if one.over == STEPS and one.a.run == study.label and one.a.point == point and one.b.step == study.steps[-1]
    }
    header = ["step", "loss", "val/loss", "effective rank", *([f"CKA of {point} with the last"] if to_last else [])]
    rows = [header]
    for place, step in enumerate(study.steps):
        loss = f"{study.losses[place]:.4f}" if study.losses else "-"
        own = study.own_losses[place]
        cells = [f"{step:,}", loss, "-" if own is None else f"{own:.4f}", f"{_rank_share(study, step):.3f}"]
        rows.append([*cells, *([f"{to_last.get(step, 1.0):.3f}"] if to_last else [])])
    widths = [max(len(row[place]) for row in rows) for place in range(len(header))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lists = lists_of(section.words, study, ON_SCREEN).items()
    said = [f"{name}: " + "  ".join(shown(one.name) for one in some) for name, some in lists if some]
    return "\n".join([f"{study.label}:", *table, *said])
