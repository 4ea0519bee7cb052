"""Doctests: 1 where the program that a text makes passes its checks, each run in the cage of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prospero.data.template import Template
from prospero.errors import ConfigError, DataError
from prospero.evaluation.cage.limits import CageConfig
from prospero.evaluation.cage.runner import gaps, run_program, run_programs
from prospero.evaluation.rewards.base import Reward, RewardConfig, RewardFacts
from prospero.log import log

COMPLETION = "completion"
_CHECK = """
import doctest as _doctest
_examples = _doctest.DocTestParser().get_doctest({tests!r}, dict(globals()), "tests", None, None)
_runner = _doctest.DocTestRunner(verbose=False, optionflags=_doctest.FAIL_FAST)
assert _examples.examples and _runner.run(_examples).failed == 0
"""


@dataclass(kw_only=True, slots=True)
class DoctestsConfig(RewardConfig):
    """1 for a program that passes the doctests of its record, 0 for any other."""

    allow_execution: bool = False
    """Whether programs that the model wrote may run on this machine; see docs/CODE_EXECUTION.md."""
    tests: str = "doctests"
    """The field of the record that holds the examples, as a docstring has them (>>> and what comes of it)."""
    program: str = "{prompt}{completion}\n"
    """The program that is checked, of fields of the record and {completion}, what the model wrote."""
    cage: CageConfig = field(default_factory=CageConfig)
    """What each program may use."""
    workers: int | None = None
    """Programs that run at a time; null: as many as there are cores."""

    def __post_init__(self) -> None:
        RewardConfig.__post_init__(self)
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers={self.workers} runs nothing; choose 1 or more, or null")
        if COMPLETION not in Template(self.program, "program").fields:
            raise ConfigError(f"program={self.program!r} lacks {{{COMPLETION}}}, so that nothing written would be run")

    def build(self, facts: RewardFacts) -> "DoctestsReward":
        """Return the reward; ConfigError where execution is not allowed, DataError where no program can be run."""
        if not self.allow_execution:
            raise ConfigError(
                f"reward.{facts.name} runs programs that the model writes, on this machine, in a cage that stops much "
                f"but not all (docs/CODE_EXECUTION.md); if that is what you want, say "
                f"reward.{facts.name}.allow_execution=true"
            )
        facts.check("tests", self.tests)
        for name in Template(self.program, "program").fields:
            if name != COMPLETION:
                facts.check("program", name)
        return DoctestsReward(facts.name, self)


class DoctestsReward(Reward):
    """See DoctestsConfig; programs that are the same run once."""

    def __init__(self, name: str, config: DoctestsConfig) -> None:
        super().__init__(config.weight)
        self.config, self.program = config, Template(config.program, f"reward.{name}.program")
        result = run_program("", config.cage)
        if not result.passed:
            raise DataError(f"reward.{name}: an empty program {result.detail}; raise the bounds: reward.{name}.cage")
        if missing := gaps(result.protections):
            log.warning(
                "reward.%s: on this machine nothing keeps the programs that the model writes from %s "
                "(docs/CODE_EXECUTION.md)",
                name,
                ", ".join(missing),
            )

    def score(self, record: Mapping[str, str], text: str) -> float:
        """Return 1 or 0."""
        return self.scores([record], [text])[0]

    def scores(self, records: Sequence[Mapping[str, str]], texts: Sequence[str]) -> list[float]:
        """Run all programs, several at a time."""
        programs = [self._checked(record, text) for record, text in zip(records, texts, strict=True)]
        different = list(dict.fromkeys(programs))
        results = dict(zip(different, run_programs(different, self.config.cage, self.config.workers)))
        return [float(results[program].passed) for program in programs]

    def _checked(self, record: Mapping[str, str], text: str) -> str:
        values = {name: text if name == COMPLETION else record[name] for name in self.program.fields}
        return self.program.fill(values) + _CHECK.format(tests=record[self.config.tests])
