"""Python's own functions as problems: the same on every Python, right by their own source and wrong without a body."""

import pytest

from prospero.data.embedded.doctested import FUNCTIONS, doctested
from prospero.data.template import Template
from prospero.evaluation.cage.limits import CageConfig
from prospero.evaluation.cage.runner import Verdict, run_programs
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.code import CodeConfig, body_of
from tests.grids import sample


def test_all_of_the_list_are_there_with_a_docstring_that_shows_what_they_do():
    rows = doctested()
    assert len(rows) == sum(len(names.split()) for names in FUNCTIONS.values()) == 68
    for row in rows:
        assert (
            row["prompt"].startswith("def ")
            and row["prompt"].rstrip()[-3:] in ('"""', "'''")
            and ">>>" in row["prompt"]
        )
        assert body_of(row["body"], begun=False) == row["body"], row["name"]


def test_the_prompt_ends_with_the_docstring():
    row = next(row for row in doctested() if row["name"] == "statistics.mode")
    assert row["prompt"].splitlines()[0] == "def mode(data):"
    assert row["body"].startswith("    pairs = ")
    assert row["test"].startswith("import doctest\nexamples = ")


@pytest.mark.processes
@pytest.mark.parametrize("start", sample(range(0, 68, 4), 17))
def test_own_bodies_pass_and_empty_ones_do_not(start):
    template = Template(CodeConfig().program, "program")
    programs = []
    for row in doctested()[start : start + 4]:
        for body in (row["body"], "    pass\n"):
            programs.append(template.fill({**row, "completion": body}))
    results = list(run_programs(programs, CageConfig(seconds=60, cpu_seconds=50)))
    assert [result.verdict for result in results] == [Verdict.passed, Verdict.failed] * 4, [
        (result.detail, result.output) for result in results
    ]


@pytest.mark.processes
def test_the_task_takes_them_by_default_and_says_that_they_may_be_known():
    task = CodeConfig(allow_execution=True, limit=3).build("code", TaskFacts(seed=5))
    assert task.size == 3
    assert task.facts["contamination"].startswith("may have been trained on")
    again = CodeConfig(allow_execution=True, limit=3).build("code", TaskFacts(seed=5))
    assert task.facts["fingerprint"] == again.facts["fingerprint"]
