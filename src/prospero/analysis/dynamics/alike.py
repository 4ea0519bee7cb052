"""Which representations are compared: a point's over the checkpoints, the points of the last one, those of two runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from prospero.analysis.dynamics.similarity import Representation, linear_cka, pwcca, unbiased_cka
from prospero.analysis.dynamics.study import RunStudy

STEPS, LAYERS, RUNS, SHUFFLED = "steps", "layers", "runs", "shuffled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A point of a run at a step."""

    run: str
    step: int
    point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """How alike two representations of the same tokens are."""

    over: str
    """steps, layers, runs, or shuffled: the same against itself with its tokens in another order, what chance gives."""
    a: Spot
    b: Spot
    cka: float
    unbiased_cka: float
    pwcca: float | None
    """Weighted by a; None where it was not computed."""


def over_steps(study: RunStudy) -> Iterator[Alike]:
    """Compare each point's activations at every two checkpoints; PWCCA with the next and with the last only."""
    last = len(study.steps) - 1
    for point in study.points if last else ():
        held = [study.representation(stage, point) for stage in range(last + 1)]
        for i, j in combinations(range(last + 1), 2):
            spots = [Spot(run=study.label, step=study.steps[stage], point=point) for stage in (i, j)]
            yield _alike(STEPS, spots, held[i], held[j], weighted=j in (i + 1, last))


def over_layers(study: RunStudy) -> Iterator[Alike]:
    """Compare the points of the last checkpoint with one another, and one of them with itself shuffled."""
    yield from _every(LAYERS, study, study)
    last = len(study.steps) - 1
    for point in study.points[-1:]:
        found = study.representation(last, point)
        order = torch.randperm(found.n_tokens, generator=torch.Generator().manual_seed(0))
        spot = Spot(run=study.label, step=study.steps[last], point=point)
        yield _alike(SHUFFLED, [spot, spot], found, Representation(study.activations(last, point)[order]))


def over_runs(studies: Sequence[RunStudy], say: Callable[[str], None]) -> Iterator[Alike]:
    """Compare the last checkpoints of every two runs that read the same tokens, point by point; `say` which did not."""
    for one, other in combinations(studies, 2):
        if one.text is None or other.text is None or one.text.mark != other.text.mark:
            say(f"{one.label} and {other.label} are not compared: they did not read the same validation text")
        else:
            yield from _every(RUNS, one, other)


def _every(over: str, one: RunStudy, other: RunStudy) -> Iterator[Alike]:
    last, last_of_other = len(one.steps) - 1, len(other.steps) - 1
    theirs = {point: other.representation(last_of_other, point) for point in other.points}
    for point in one.points:
        mine = theirs[point] if one is other else one.representation(last, point)
        a = Spot(run=one.label, step=one.steps[last], point=point)
        for name, found in theirs.items():
            b = Spot(run=other.label, step=other.steps[last_of_other], point=name)
            if a != b:
                yield _alike(over, [a, b], mine, found)


def _alike(over: str, spots: list[Spot], a: Representation, b: Representation, *, weighted: bool = True) -> Alike:
    return Alike(
        over=over, a=spots[0], b=spots[1], cka=linear_cka(a, b), unbiased_cka=unbiased_cka(a, b),
        pwcca=pwcca(a, b) if weighted else None,
    )  # fmt: skip
