"""The numbers of a study as tables that any program reads."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from prospero.analysis.dynamics.alike import Alike
from prospero.analysis.dynamics.matrices import MatrixNumbers
from prospero.analysis.dynamics.study import RunStudy
from prospero.analysis.dynamics.words import Trajectory
from prospero.paths import atomic_path, write_text
from prospero.printable import printable
from prospero.secret_values import scrub

_NUMBERS = [item.name for item in fields(MatrixNumbers)]


def write_losses(path: Path, studies: Sequence[RunStudy]) -> None:
    """Write a row for each checkpoint; `loss` is that of the text read here, `val_loss` that of the validation."""
    rows = []
    for study in studies:
        losses = study.losses or [None] * len(study.steps)
        for step, tokens, loss, own in zip(study.steps, study.tokens, losses, study.own_losses, strict=True):
            rows.append([study.label, step, tokens, loss, own])
    write_rows(path, ["run", "step", "tokens", "loss", "val_loss"], rows)


def write_matrices(path: Path, studies: Sequence[RunStudy]) -> None:
    """Write a row for each matrix at each checkpoint."""
    header = ["run", "step", "of", "name", "kind", "layer", "head", "rows", "columns", *_NUMBERS]
    header += ["update_to_weight", "update_steps", "gradient_to_weight"]
    rows = (
        [study.label, row.step, row.of, row.name, row.kind, row.layer, row.head, *row.shape,
         *asdict(row.numbers).values(), row.update_to_weight, row.update_steps, row.gradient_to_weight]
        for study in studies
        for row in study.rows
    )  # fmt: skip
    write_rows(path, header, rows)


def write_similarity(path: Path, found: Iterable[Alike]) -> None:
    """Write a row for each two representations that were compared."""
    header = ["over", "run_a", "step_a", "point_a", "run_b", "step_b", "point_b", "cka", "unbiased_cka", "pwcca"]
    rows = (
        [one.over, *asdict(one.a).values(), *asdict(one.b).values(), one.cka, one.unbiased_cka, one.pwcca]
        for one in found
    )
    write_rows(path, header, rows)


def write_trajectories(
    path: Path, found: Mapping[str, Sequence[Trajectory]], steps: Mapping[str, Sequence[int]]
) -> None:
    """Write a row for each word of each run, of run -> trajectories and run -> steps."""
    header = ["run", "text", "count", "learned_at", "rise", "rise_z", "forgotten", "steps", "losses"]
    rows = (
        [run, printable(one.name), one.count, one.learned_at, one.rise, one.rise_z, str(one.forgotten).lower(),
         " ".join(map(str, steps[run])), " ".join(f"{loss:.5g}" for loss in one.losses)]
        for run, some in found.items()
        for one in some
    )  # fmt: skip
    write_rows(path, header, rows)


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file; what is None or NaN is an empty cell."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)
        temporary.chmod(0o644)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.7g}"
    return scrub(value) if isinstance(value, str) else value


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write plain values as JSON; numbers that are not finite become null."""
    write_text(path, scrub(json.dumps(_finite(summary), indent=2, ensure_ascii=False)) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
