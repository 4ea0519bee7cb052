"""Exact answer: 1 where the text, or what is extracted of it, is the right answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from prospero.errors import ConfigError
from prospero.evaluation.rewards.base import Reward, RewardConfig, RewardFacts
from prospero.evaluation.tasks.items import check_pattern


@dataclass(kw_only=True, slots=True)
class AnswerConfig(RewardConfig):
    """1 for the right answer, 0 for any other."""

    field: str = "response"
    """The field of the record that holds the right answer."""
    extract: str | None = None
    """A regular expression: of a text, its last match (its first group, where it has one) is the answer; without a
    match there is none, and the reward is 0. null: the whole text, without white space around it."""
    extract_reference: str | None = None
    """The same for the right answer."""
    numbers: bool = True
    """Compare as numbers where both are some: 7, 07, 7.0 and 7,000 / 7000; false: letter by letter."""

    def __post_init__(self) -> None:
        RewardConfig.__post_init__(self)
        check_pattern("extract", self.extract or "")
        check_pattern("extract_reference", self.extract_reference or "")

    def build(self, facts: RewardFacts) -> "AnswerReward":
        """Return the reward; ConfigError where the records lack the field."""
        facts.check("field", self.field)
        return AnswerReward(self)


class AnswerReward(Reward):
    """See AnswerConfig."""

    def __init__(self, config: AnswerConfig) -> None:
        super().__init__(config.weight)
        self.config = config

    def score(self, record: Mapping[str, str], text: str) -> float:
        """Return 1 or 0; an answer that cannot be found is wrong."""
        answer = extracted(text, self.config.extract)
        right = extracted(record[self.config.field], self.config.extract_reference)
        if right is None:
            pattern = self.config.extract_reference
            raise ConfigError(f"extract_reference={pattern!r} finds nothing in {record[self.config.field]!r}")
        if answer is None:
            return 0.0
        numbers = (number(answer), number(right)) if self.config.numbers else (None, None)
        return float(answer == right if None in numbers else numbers[0] == numbers[1])


def extracted(text: str, pattern: str | None) -> str | None:
    """Return the last match of `pattern`, or its first group, without white space around it; None where it is not."""
    if pattern is None:
        return text.strip()
    matches = list(re.finditer(pattern, text))
    if not matches:
        return None
    match = matches[-1]
    return ((match.group(1) or "") if match.re.groups else match.group()).strip()


def number(text: str) -> Decimal | None:
    """Return the number that a text is, commas between thousands allowed; None where it is none."""
    plain = re.sub(r"(?<=\d),(?=\d{3}(\D|$))", "", text)
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", plain, re.ASCII):
        return None
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None
