"""Rewards as a task: what the likeliest completions of held-out prompts are rewarded with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.data.prepare import open_prepared
from prospero.data.prompts import Prompt, Prompts
from prospero.data.records import fingerprint
from prospero.errors import ConfigError
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject
from prospero.evaluation.rewards.base import TOTAL, Reward, RewardFacts, score_all
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.items import check_limit, chosen
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context


@dataclass(kw_only=True, slots=True)
class RewardTaskConfig:
    """The rewards of the run, of greedy completions of the prompts of a split that is not trained on."""

    split: str = "val"
    """Which split of the prepared data: val or test."""
    max_new_tokens: int = 64
    """Length of a completion at most, in tokens."""
    limit: int | None = None
    """Prompts that are used, drawn by the seed; null: as the callback says, or all."""

    def __post_init__(self) -> None:
        check_limit(self.limit)
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={self.max_new_tokens} leaves nothing to reward; choose 1 or more")
        if self.split not in ("val", "test"):
            raise ConfigError(f"split={self.split} is not held out; choose val or test")

    def build(self, name: str, facts: TaskFacts) -> "RewardTask":
        """Return the task; ConfigError where nothing says what is rewarded, or there are no prompts."""
        if not facts.rewards:
            raise ConfigError(
                f"The task '{name}' measures the rewards of a run while it trains: choose loss=grpo and reward=[...]"
            )
        if facts.validation is None:
            raise ConfigError(f"The task '{name}' reads the prepared data of the run, which are not there")
        prompts = Prompts(open_prepared(facts.validation), self.split)
        reward_facts = {"outputs_dir": facts.outputs_dir, "fields": prompts.fields}
        rewards = {key: part.build(RewardFacts(name=key, **reward_facts)) for key, part in facts.rewards.items()}
        numbers = chosen(range(len(prompts)), self.limit, facts)
        return RewardTask(name, self, rewards, [prompts[number] for number in numbers])


class RewardTask(Measurement):
    """Writes one completion of each prompt, always the likeliest token, and rewards it."""

    def __init__(
        self, name: str, config: RewardTaskConfig, rewards: dict[str, Reward], prompts: Sequence[Prompt]
    ) -> None:
        self.name, self.config, self.rewards, self.prompts = name, config, rewards, prompts

    @property
    def quantities(self) -> list[Quantity]:
        """The weighted sum, and every reward by its name; of a penalty less is better."""
        named = [Quantity(name=key, higher_is_better=reward.weight > 0) for key, reward in self.rewards.items()]
        return [Quantity(name=TOTAL), *named]

    @property
    def size(self) -> int:
        """How many prompts there are."""
        return len(self.prompts)

    @property
    def facts(self) -> dict[str, Any]:
        """What the prompts are."""
        return {"split": self.config.split, "fingerprint": fingerprint([p.ids for p in self.prompts])}

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Write up to `subject.rows` completions side by side, and reward them together."""
        sampling = SamplingConfig(temperature=0.0, max_new_tokens=self.config.max_new_tokens)
        engine = Engine(subject.decoder, subject.tokenizer, max_rows=subject.rows, context=Context.slide)
        owners = {engine.add(self.prompts[item].ids, sampling): item for item in items}
        texts: dict[int, str] = {}
        with subject.decoder.session():
            while not engine.idle:
                for event in engine.step():
                    if event.completion is not None:
                        texts[owners[event.row]] = event.completion.text
        records = [self.prompts[item].record for item in texts]
        found = score_all(self.rewards, records, list(texts.values()))
        for place, (item, text) in enumerate(texts.items()):
            statistics = {name: [float(values[place]), 1.0] for name, values in found.items()}
            yield Outcome(item, statistics, {**records[place], "prediction": text})
