"""Neutral pairs for sets that bring none: the noise floor of their numbers."""

from collections.abc import Sequence

from prospero.analysis.bias.paired import NULL, PairItem
from prospero.analysis.bias.templates import BiasTemplatesConfig, Maker
from prospero.evaluation.analyses import AnalysisFacts

LABEL = "neutral pairs"
"""Two names of one group, or two words like first and third."""


def neutral_items(neutral: int, facts: AnalysisFacts) -> Sequence[PairItem]:
    """Return `neutral` items in the group `null`, half of them with names and half with words; none for 0."""
    if not neutral:
        return []
    made = Maker(BiasTemplatesConfig(), facts.tokenizer, facts.seed)
    items = [item for axis in ("null_names", "null_words") for item in made.neutral_items(axis, (neutral + 1) // 2, 4)]
    return [PairItem(pairs=item.pairs, groups=[NULL], about=item.about) for item in items]
