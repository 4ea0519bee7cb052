"""`prospero generate`: what it writes, what it says, and what it refuses."""

import io
import json
from dataclasses import replace

import pytest
from tests.checkpoints import stored

from prospero.commands.generate import GenerateConfig, generate
from prospero.errors import ConfigError, DataError
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context, Engine, Precision
from prospero.knowledge.retrieval import NoRetrievalConfig, TriplesRetrievalConfig

SAMPLING = SamplingConfig(max_new_tokens=6, temperature=1.0, seed=3)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "outputs" / "train" / "2026-01-02_03-04-05_mine"
    stored.write(folder, 1)
    stored.save_tokenizer(folder)
    (folder / "config.yaml").write_text("")
    return folder


def written(capsys, run, sampling=SAMPLING, **settings):
    """Standard output and standard error of one call."""
    assert generate(GenerateConfig(sampling=sampling, run=str(run), **settings)) == 0
    said = capsys.readouterr()
    return said.out, said.err


def test_the_text_goes_to_the_screen_and_the_facts_beside_it(run, capsys):
    out, err = written(capsys, run, prompt="ab")
    assert out.startswith("ab") and len(out) > 3 and out.endswith("\n")
    assert f"run: {run} (transformer, checkpoint)" in err and " pieces, " in err
    assert written(capsys, run, prompt="ab")[0] == out
    assert written(capsys, run / "checkpoints" / "step_00000001", prompt="ab")[0] == out


def test_a_run_is_found_by_its_name(run, capsys):
    out, _ = written(capsys, run, prompt="ab")
    outputs = str(run.parents[1])
    assert written(capsys, "mine", outputs_dir=outputs, prompt="ab")[0] == out
    assert written(capsys, "last", outputs_dir=outputs, prompt="ab")[0] == out


def test_several_texts_of_a_prompt(run, capsys):
    out, _ = written(capsys, run, replace(SAMPLING, n=2), prompt="ab")
    first, second = out.removeprefix("--- 1 of 2\n").split("--- 2 of 2\n")
    assert first == written(capsys, run, prompt="ab")[0]
    assert second.startswith("ab") and second != first


def test_a_beam_search_is_printed_at_its_end(run, capsys):
    search = SamplingConfig(temperature=0.0, beams=3, n=2, max_new_tokens=4)
    out, _ = written(capsys, run, search, prompt="ab")
    assert out.startswith("--- 1 of 2\nab") and "\n--- 2 of 2\nab" in out


def test_a_prompt_may_come_from_a_file_or_be_none(run, capsys, tmp_path):
    (tmp_path / "prompt.txt").write_text("ab", encoding="utf-8")
    assert written(capsys, run, prompt_file=str(tmp_path / "prompt.txt"))[0] == written(capsys, run, prompt="ab")[0]
    assert written(capsys, run)[0].strip("\n")
    assert written(capsys, run)[0] == written(capsys, run, prompt="")[0]


class Terminal(io.StringIO):
    """Standard input at which someone sits."""

    def isatty(self):
        return True


def test_a_dialogue_at_a_terminal(run, capsys, monkeypatch):
    expected = [written(capsys, run, prompt=prompt)[0] for prompt in ("ab", "", "c")]
    monkeypatch.setattr("sys.stdin", Terminal("ab\n\nc\n"))
    out, err = written(capsys, run)
    assert out == "> " + "> ".join(expected) + "> \n"
    assert "Ctrl-D" in err


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def job(tmp_path, run, capsys):
    """A job of three prompts: call it to run it; `out` is its file."""
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "texts" / "texts.jsonl"
    rows = [{"prompt": "ab", "id": 7}, {"id": 8, "prompt": ""}, {"prompt": "é"}]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def do(sampling=SAMPLING, **changes):
        return written(capsys, run, sampling, **({"prompts": str(prompts), "out": str(out)} | changes))[1]

    do.prompts, do.out = prompts, out
    return do


def test_a_file_of_prompts_becomes_a_file_of_texts(job, run, capsys, tmp_path):
    assert "3 prompts continued" in job()
    found = lines(job.out)
    assert list(found[0]) == [
        "id",
        "row",
        "sample",
        "prompt",
        "text",
        "tokens",
        "log_probabilities",
        "ended_by",
        "made_with",
    ]
    assert [row.get("id") for row in found] == [7, 8, None]
    assert [row["prompt"] for row in found] == ["ab", "", "é"]
    assert found[0]["prompt"] + found[0]["text"] + "\n" == written(capsys, run, prompt="ab")[0]
    for row in found:
        assert len(row["tokens"]) == len(row["log_probabilities"]) and max(row["log_probabilities"]) < 0
        assert row["ended_by"] == "length" and len(row["tokens"]) == 6
    plain = tmp_path / "prompts.txt"
    plain.write_bytes("ab\r\n\né".encode())
    job(prompts=str(plain), out=str(tmp_path / "two.jsonl"), batch_size=2)
    assert [row["text"] for row in lines(tmp_path / "two.jsonl")] == [row["text"] for row in found]


@pytest.mark.parametrize("n", [1, 2])
def test_a_killed_job_goes_on_where_it_stopped(job, n):
    sampling = replace(SAMPLING, n=n)
    job(sampling)
    whole = job.out.read_bytes()
    assert [(row["row"], row["sample"]) for row in lines(job.out)] == [(r, k) for r in range(3) for k in range(n)]
    assert "holds the texts of 3 prompts already" in job(sampling)
    assert job.out.read_bytes() == whole
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in {0, 1, ends[0] - 1, ends[0], ends[0] + 30, ends[n - 1], ends[n - 1] + 5, len(whole) - 1}:
        job.out.write_bytes(whole[:cut])
        said = job(sampling)
        assert job.out.read_bytes() == whole
        assert ("was cut off and is written again" in said) == (cut not in (0, ends[n - 1]))


def test_another_jobs_file_is_left_alone(job):
    job()
    whole = job.out.read_bytes()
    first = whole.partition(b"\n")[0] + b"\n"

    def refused(message, error=ConfigError, sampling=SAMPLING, content=whole, **changes):
        job.out.write_bytes(content)
        with pytest.raises(error, match=message):
            job(sampling, **changes)
        assert job.out.read_bytes() == content

    refused("line 1 was made by another model or with other settings", sampling=replace(SAMPLING, seed=4))
    refused("line 1 was made by another model", context=Context.slide)
    refused("line 2 is not text 0 of prompt 1", content=first + first)
    refused("ends with a line that was not written here", content=whole + b"my notes")
    refused("line 1 is damaged", DataError, content=b"my notes\n" + whole)
    job.prompts.write_text('{"prompt": "other"}\n')
    refused("line 1 is of another prompt")
    job.prompts.write_text('{"prompt": "ab"}\n')
    refused("line 2 is of another prompt")


@pytest.fixture
def retrieval(tmp_path):
    (tmp_path / "facts.tsv").write_text("a\tr\tb\na\tr\tc\n")
    (tmp_path / "t.yaml").write_text("r: ['{subject}{object}', '{object}{subject}']")
    files = {"path": str(tmp_path / "facts.tsv"), "templates_file": str(tmp_path / "t.yaml")}
    return TriplesRetrievalConfig(**files, context="{facts}{prompt}")


def test_facts_stand_before_a_prompt_where_they_fit(run, capsys, retrieval):
    two = replace(SAMPLING, max_new_tokens=2)  # of a window of 8: a prompt of 6, a token that may begin it among them
    out, err = written(capsys, run, two, prompt="a", retrieval=retrieval)
    assert "retrieval: 1 facts before the prompt (1 more had no room)" in err
    assert out == written(capsys, run, two, prompt="aba")[0] and out.startswith("aba")
    assert written(capsys, run, two, prompt="a", retrieval=NoRetrievalConfig())[0].startswith("a")
    out, err = written(capsys, run, two, prompt="x a x", retrieval=retrieval)
    assert out.startswith("x a x") and "retrieval: 0 facts before the prompt (2 more" in err


def test_a_file_of_prompts_with_the_facts_in_each_line(job, retrieval):
    two = replace(SAMPLING, max_new_tokens=2)
    job.prompts.write_text('{"prompt": "a", "id": 1}\n{"prompt": "é"}\n')
    job(two, retrieval=retrieval)
    found = lines(job.out)
    assert [(row["prompt"], row["facts"]) for row in found] == [("a", ["ab"]), ("é", [])] and found[0]["id"] == 1
    assert "holds the texts of 2 prompts already" in job(two, retrieval=retrieval)
    with pytest.raises(ConfigError):
        job(two)
    job.prompts.write_text('{"prompt": "a", "facts": 1}\n')
    with pytest.raises(ConfigError, match=r"prompt 1 of .* has a field 'facts', which retrieval= writes"):
        job(two, retrieval=retrieval, out=str(job.out) + "2")


def test_what_is_no_file_of_prompts(job):
    def refused(message, **changes):
        with pytest.raises(ConfigError, match=message) as caught:
            job(**changes)
        assert "\n" not in str(caught.value) and not job.out.exists()

    refused(r"none\.txt cannot be read", prompts=str(job.prompts.with_name("none.txt")))
    refused("is the file of the prompts", out=str(job.prompts))
    for content, message in {
        "": "holds no prompt",
        "{": r"prompts\.jsonl line 1 is no JSON",
        '\n{"text": "a"}': "line 2 is no object with a text 'prompt'",
        '{"prompt": "a", "text": "b"}': "has a field 'text', which is written here",
        json.dumps({"prompt": "x" * 9}): r"prompt 1 of .*: the prompt has 9 tokens and the model reads 8 at once",
    }.items():
        job.prompts.write_text(content)
        refused(message)


def test_a_long_prompt_may_slide(run, capsys):
    out, err = written(capsys, run, prompt="x" * 9, context=Context.slide)
    assert "the prompt has 9 tokens and the model reads 8 at once: only the last of them count" in err
    assert out.removeprefix("x") == written(capsys, run, prompt="x" * 8)[0]
    with pytest.raises(ConfigError, match="shorten it by 1, or let only its end count with context=slide"):
        written(capsys, run, prompt="x" * 9)
    assert capsys.readouterr().out == ""


def test_mistakes_are_one_line(run, capsys, tmp_path):
    def refused(message, error=ConfigError, **settings):
        with pytest.raises(error, match=message) as caught:
            written(capsys, settings.pop("run", run), **settings)
        assert "\n" not in str(caught.value)

    refused("batch_size=0 writes nothing; give 1 or more", batch_size=0)
    refused("Give prompt= or prompt_file=, not both", prompt="a", prompt_file="b")
    refused("Give prompt= or prompts=, not both", prompt="", prompts="b", out="c")
    refused("give both, or neither", prompts="b")
    refused("give both, or neither", out="b")
    refused("out= is empty", prompts="b", out=" ")
    refused(r"prompt_file=.*none\.txt cannot be read", prompt_file=str(tmp_path / "none.txt"))
    (tmp_path / "latin.txt").write_bytes(b"\xe4")
    refused(r"prompt_file=.*latin\.txt cannot be read: .*utf-8", prompt_file=str(tmp_path / "latin.txt"))
    refused("There is no run 'yours' in", run="yours", outputs_dir=str(run.parents[1]))
    refused(r"config\.yaml is a file; give a run folder", DataError, run=run / "config.yaml")
    for file in (run / "checkpoints").glob("tokenizer*"):
        file.unlink()
    refused(r"has no tokenizer\.json, so it cannot write text; give the run's folder", prompt="a")


def test_precision_and_engine(run, capsys, tmp_path):
    out, err = written(capsys, run, prompt="ab", precision=Precision.int8)
    assert out.startswith("ab")
    assert "precision: int8; bits per byte cannot be measured: the run's prepared data are not here" in err
    with pytest.raises(ConfigError, match=r"engine=onnx runs an exported file, and run=.* is none; write one with"):
        written(capsys, run, prompt="ab", engine=Engine.onnx)
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no graph")
    for settings, message in [
        ({"engine": Engine.torch}, "engine=torch cannot run"),
        ({"precision": Precision.bf16}, "does not change"),
    ]:
        with pytest.raises(ConfigError, match=message):
            written(capsys, file, prompt="ab", **settings)
    pytest.importorskip("onnxruntime")
    with pytest.raises(DataError, match="is no ONNX model"):
        written(capsys, file, prompt="ab")
