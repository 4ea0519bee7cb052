"""`prospero generate`: what it writes, what it says, and what it refuses."""

import pytest
from tests.checkpoints import stored

from prospero.commands.generate import GenerateConfig, generate
from prospero.errors import ConfigError, DataError
from prospero.generation.sampling import SamplingConfig


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "outputs" / "train" / "2026-01-02_03-04-05_mine"
    stored.write(folder, 1)
    stored.save_tokenizer(folder)
    (folder / "config.yaml").write_text("")
    return folder


def written(capsys, run, **settings):
    """Standard output and standard error of one call."""
    sampling = SamplingConfig(max_new_tokens=6, temperature=1.0, seed=3)
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


def test_each_text_has_its_own_seed(run, capsys):
    out, _ = written(capsys, run, prompt="ab", samples=2)
    assert out.startswith("--- 1 of 2 (sampling.seed=3)\nab")
    assert "\n--- 2 of 2 (sampling.seed=4)\nab" in out
    assert out.partition("\n")[2].startswith(written(capsys, run, prompt="ab")[0])


def test_a_prompt_may_come_from_a_file_or_be_none(run, capsys, tmp_path):
    (tmp_path / "prompt.txt").write_text("ab", encoding="utf-8")
    assert written(capsys, run, prompt_file=str(tmp_path / "prompt.txt"))[0] == written(capsys, run, prompt="ab")[0]
    assert written(capsys, run)[0].strip("\n")


def test_mistakes_are_one_line(run, capsys, tmp_path):
    def refused(message, error=ConfigError, **settings):
        with pytest.raises(error, match=message) as caught:
            written(capsys, settings.pop("run", run), **settings)
        assert "\n" not in str(caught.value)

    refused("samples=0 writes nothing; give 1 or more", samples=0)
    refused("Give prompt= or prompt_file=, not both", prompt="a", prompt_file="b")
    refused(r"prompt_file=.*none\.txt cannot be read", prompt_file=str(tmp_path / "none.txt"))
    (tmp_path / "latin.txt").write_bytes(b"\xe4")
    refused(r"prompt_file=.*latin\.txt cannot be read: .*utf-8", prompt_file=str(tmp_path / "latin.txt"))
    refused("There is no run 'yours' in", run="yours", outputs_dir=str(run.parents[1]))
    refused(r"config\.yaml is a file; give a run folder", DataError, run=run / "config.yaml")
    for file in (run / "checkpoints").glob("tokenizer*"):
        file.unlink()
    refused(r"has no tokenizer\.json, so it cannot write text; give the run's folder", prompt="a")
