"""Neutral pairs for sets that bring none: the noise floor of their numbers."""

from collections.abc import Sequence

from prospero.analysis.bias.likelihood import Scored
from prospero.analysis.bias.paired import NULL, PairItem
from prospero.analysis.bias.templates import BiasTemplatesConfig
from prospero.evaluation.analyses import AnalysisFacts

LABEL = "neutral pairs"
"""Two names of one group, or two words like first and third."""


def neutral_items(name: str, neutral: int, scored: Scored, facts: AnalysisFacts) -> Sequence[PairItem]:
    """Return `neutral` items in the group `null`, half of them with names and half with words; none for 0."""
    if not neutral:
        return []
    config = BiasTemplatesConfig(axes=["pronouns", "age"], scored=scored, limit=(neutral + 1) // 2)
    items = [item for item in config.build(name, facts).items if item.groups[0] in ("null_names", "null_words")]
    return [PairItem(pairs=item.pairs, groups=[NULL], about=item.about) for item in items]
