"""The task `code`: what is cut, run and counted, on problems and completions written by hand."""

import json
from contextlib import nullcontext

import pytest
import torch

from prospero.data.records import RecordsConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.cage.limits import CageConfig
from prospero.evaluation.measurement import Subject
from prospero.evaluation.metrics.pass_at_k import PassAtKConfig
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.code import CodeConfig, body_of
from prospero.generation.engine import first_ids
from prospero.generation.sampling import SamplingConfig

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
PROBLEMS = [
    {
        "prompt": 'def double(x):\n    """Return twice x."""\n',
        "body": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(-1) == -2",
        "entry_point": "double",
    },
    {
        "prompt": 'def first(items):\n    """Return the first."""\n',
        "body": "    return items[0]\n",
        "test": "def check(candidate):\n    assert candidate([7, 8]) == 7",
        "entry_point": "first",
    },
]
PROGRAM = "{prompt}{completion}\n\n{test}\n\ncheck({entry_point})\n"


class Scripted:
    """Continues each prompt with one of the texts written down for it, each as likely as the others."""

    window = None

    def __init__(self, scripts: dict[str, list[str]]) -> None:
        ids = {prompt: first_ids(TOKENIZER, prompt) for prompt in scripts}
        end = [TOKENIZER.eot_id]
        self.texts = [
            [*ids[prompt], *TOKENIZER.encode(text), *end] for prompt, texts in scripts.items() for text in texts
        ]
        self.held: list[list[int]] = []

    @property
    def rows(self) -> int:
        return len(self.held)

    def add(self, prompts, copies):
        added = [list(prompts[copy]) for copy in copies]
        self.held += added
        return self._logits(added)

    def step(self, tokens):
        for row, token in zip(self.held, tokens.tolist()):
            row.append(token)
        return self._logits(self.held)

    def select(self, rows):
        self.held = [list(self.held[row]) for row in rows]

    def scores(self, ids):
        raise AssertionError("nothing is scored here")

    def session(self):
        return nullcontext()

    def _logits(self, rows):
        logits = torch.full((len(rows), TOKENIZER.vocab_size), float("-inf"))
        for place, row in enumerate(rows):
            following = [text[len(row)] for text in self.texts if text[: len(row)] == row and len(text) > len(row)]
            logits[place, torch.tensor(following)] = 0.0
        return logits


def config(tmp_path, **changes) -> CodeConfig:
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
    settings = {
        "allow_execution": True,
        "data": RecordsConfig(path=str(path)),
        "program": PROGRAM,
        "decoding": SamplingConfig(temperature=1.0, top_p=1.0, n=6, max_new_tokens=80),
        "cage": CageConfig(seconds=30),
    }
    return CodeConfig(**{**settings, **changes})


def subject(scripts: list[list[str]], rows: int = 16) -> Subject:
    named = {problem["prompt"]: texts for problem, texts in zip(PROBLEMS, scripts)}
    return Subject(decoder=Scripted(named), tokenizer=TOKENIZER, name="scripted", rows=rows)


def test_without_permission_nothing_is_read_or_run(tmp_path):
    settings = CodeConfig(data=RecordsConfig(path=str(tmp_path / "is not there.jsonl")))
    with pytest.raises(ConfigError) as error:
        settings.build("humaneval", TaskFacts())
    assert "tasks.humaneval.allow_execution=true" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"program": "{prompt}"}, r"^program='{prompt}' lacks {completion}"),
        ({"template": "write"}, r"^template='write' has no {field}"),
        ({"workers": 0}, r"^workers=0 runs nothing"),
        ({"limit": 0}, r"^limit=0 leaves nothing"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        CodeConfig(**changes)


def test_fewer_programs_than_k_are_refused_before_anything_is_written(tmp_path):
    decoding = SamplingConfig(n=3)
    with pytest.raises(ConfigError, match=r"^pass@5 needs 5 programs for each problem and the task writes n=3"):
        config(tmp_path, decoding=decoding).build("code", TaskFacts())


def test_a_missing_field_is_one_line(tmp_path):
    with pytest.raises(DataError, match="no field 'tests'; fields found: prompt, body, test, entry_point"):
        config(tmp_path, program="{completion}{tests}").build("code", TaskFacts())


@pytest.mark.parametrize(
    ("text", "begun", "kept"),
    [
        ("    return 1\n", False, "    return 1\n"),
        ("    return 1\nprint(2)\n", False, "    return 1\n"),
        ("    a = 1\n\n    return a\n# end\n    b\n", False, "    a = 1\n\n    return a\n"),
        ("return 1\n", False, ""),
        (" return 1\nx = 2\n", True, " return 1\n"),
        ("return 1\n    + 2\nx", True, "return 1\n    + 2\n"),
        ("", False, ""),
        ("    s = 'a\x0cb\u2028c'\n    return s", False, "    s = 'a\x0cb\u2028c'\n    return s"),
    ],
)
def test_a_body_ends_at_its_first_dedent(text, begun, kept):
    assert body_of(text, begun=begun) == kept


@pytest.mark.processes
def test_what_passes_is_counted_and_every_program_is_kept(tmp_path):
    right, wrong = "    return x + x\nprint('not run')\n", "    return x\n"
    task = config(tmp_path).build("code", TaskFacts())
    measured = task(subject([[right, wrong], ["    return items[-1]\n"]]))
    runs = measured.outcomes[0].record["runs"]
    passed = sum(run["verdict"] == "passed" for run in runs)
    assert 0 < passed < 6, "a draw among two texts"
    assert {run["program"] for run in runs if run["verdict"] == "passed"} == {
        PROBLEMS[0]["prompt"] + "    return x + x\n" + "\n\n" + PROBLEMS[0]["test"] + "\n\ncheck(double)\n"
    }
    failed = next(run for run in runs if run["verdict"] == "failed")
    assert failed["why"] == "raised an exception" and failed["output"].endswith("AssertionError\n")
    assert measured.value("pass_at_k_1") == pytest.approx(passed / 6 / 2)
    assert measured.value("parses") == 1.0
    assert [run["verdict"] for run in measured.outcomes[1].record["runs"]] == ["failed"] * 6
    assert measured.outcomes[1].record["references"] == ["    return items[0]\n"]
    assert measured.facts["protections"] == list(task.protections)


@pytest.mark.processes
def test_without_a_body_nothing_was_written_and_nothing_parses(tmp_path):
    outcome = config(tmp_path).build("code", TaskFacts()).judged(0, ["return 2 * x\n"] * 5, {})
    assert outcome.statistics["parses"] == [0, 1]
    assert outcome.record["runs"][0]["program"].startswith(PROBLEMS[0]["prompt"] + "\n\ndef check")
    assert outcome.record["runs"][0]["verdict"] == "failed"


@pytest.mark.processes
def test_an_outcome_depends_on_the_subject_and_the_item_alone(tmp_path):
    scripts = [
        ["    return x + x\n", "    return x\n", "    raise ValueError\n"],
        ["    return items[0]\n", "    pass\n"],
    ]
    task = config(tmp_path).build("code", TaskFacts())
    together = list(task.outcomes(subject(scripts), [0, 1]))
    apart = [outcome for item in (1, 0) for outcome in task.outcomes(subject(scripts, rows=1), [item])]
    assert sorted(together, key=lambda outcome: outcome.item) == sorted(apart, key=lambda outcome: outcome.item)


@pytest.mark.processes
def test_lists_of_tests_are_joined_and_whole_programs_run(tmp_path):
    path = tmp_path / "mbpp.jsonl"
    row = {"text": "Add.", "code": "def add(a, b): return a + b", "test_list": ["assert add(1, 2) == 3", "assert 1"]}
    path.write_text(json.dumps({**row, "test_setup_code": ""}) + "\n")
    settings = CodeConfig(
        allow_execution=True,
        data=RecordsConfig(path=str(path)),
        template="{text}\n{test_list}\n",
        program="{test_setup_code}\n{completion}\n{test_list}\n",
        reference="code",
        body_only=False,
    )
    task = settings.build("mbpp", TaskFacts(metrics={"pass_at_k": PassAtKConfig(k=[1, 2]).build(None)}))
    outcome = task.judged(0, ["import math\ndef add(a, b):\n    return b + a", "def add(a, b): return a"], {})
    assert [run["verdict"] for run in outcome.record["runs"]] == ["passed", "failed"]
    assert outcome.record["runs"][0]["program"].endswith("\nassert add(1, 2) == 3\nassert 1\n")
    assert outcome.statistics["pass_at_k_2"] == [0.5, 1.0, 1.0]


@pytest.mark.processes
def test_a_cage_too_small_for_python_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^code: an empty program was not done after 0.001 s; raise the bounds"):
        config(tmp_path, cage=CageConfig(seconds=0.001)).build("code", TaskFacts())
