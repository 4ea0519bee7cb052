"""Do the samples that a run writes repeat themselves?"""

import re

from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.record import RunRecord

GRAM = 4
REPEATED = 0.5
LEAST_GRAMS = 20
SOURCE = "seq-rep-4: Welleck et al. 2019, arXiv:1908.04319"
_SECTION = re.compile(r"^## (step \d+).*?\n\n`{3,}\w*\n(.*?)\n`{3,}$", re.MULTILINE | re.DOTALL)


def repeating_samples(run: RunRecord) -> Finding | None:
    """The last samples say the same words again and again."""
    sections = _SECTION.findall(run.samples)
    if not sections:
        raise CannotJudge("the run wrote no samples")
    last = sections[-1][0]
    shares = [share for step, text in sections if step == last and (share := repetition(text)) is not None]
    if not shares:
        raise CannotJudge("the samples are too short")
    number = sum(shares) / len(shares)
    if number <= REPEATED:
        return None
    return Finding(
        rule="repeating_samples", severity=Severity.warning, what="the samples repeat themselves",
        number=100 * number, unit=f"% of the groups of {GRAM} words of {last} were there before",
        limit=100 * REPEATED, source=SOURCE,
        advice="train longer or on cleaner text (cleaning=[...,repetition]); sampling.repetition_penalty hides it",
    )  # fmt: skip


def repetition(text: str) -> float | None:
    """Return the share of groups of four words that are not the first of their kind; None of a text of few words."""
    words = text.split()
    grams = [tuple(words[place : place + GRAM]) for place in range(len(words) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if len(grams) >= LEAST_GRAMS else None
