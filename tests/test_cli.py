"""What a user types wrong comes back as one readable line and exit code 2; what is asked for help is answered fast."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from prospero import cli

ROOT = Path(__file__).parent.parent


def run(*words, capsys, verb="train"):
    """Run the program in this process; return (exit code, standard output, standard error)."""
    with pytest.raises(SystemExit) as left:
        cli.main(verb, list(words))
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


MISTAKES = [
    (["model.n_layr=3"], "There is no setting 'model.n_layr'. Did you mean 'model.n_layers'?"),
    (["+model.n_layr=3"], "There is no setting 'model.n_layr'. Did you mean 'model.n_layers'?"),
    (["model=smal"], "There is no model 'smal'. Did you mean 'small'?"),
    (["seq_ln=3"], "Did you mean 'seq_len'?"),
    (["+seq_ln=3"], "Did you mean 'seq_len'?"),
    (["precision=bf16"], "Did you mean 'trainer.precision'?"),
    (["model.n_layers=abc"], "model.n_layers is a whole number"),
    (["model.norm=rmss"], "Did you mean 'rms'?"),
    (["seq_len=null"], "seq_len cannot be null"),
    (["seq_len=-1"], "seq_len=-1 is not possible"),
    (["model.d_model=100", "model.n_heads=3"], "n_heads=3"),
    (["max_steps"], "'max_steps' is not a setting; settings are written name=value"),
    (["--cgf", "job"], "There is no option '--cgf'. Did you mean '--cfg'?"),
    (["tags=first"], "tags is a list, write tags=[first]"),
    (["cleaning=[code,lenght]"], "Did you mean 'length'?"),
    (["+cleaning.lengt.min_characters=3"], "Did you mean 'length'?"),
    (["+regularizers.zloss.weight=1"], "Did you mean 'z_loss'?"),
    (["regularizers.l2.weight=1"], "choose it too: regularizers=[l2]"),
    (["experiment=shakespeare"], "There is no experiment 'shakespeare'."),
    (["data._target_=os.system"], "There is no setting 'data._target_'"),
    (["+trainer.lightning._target_=os.system"], "_target_ is not allowed"),
    (["plugins=[no_such_module]"], "there is no module 'no_such_module'"),
    (["global_batch_size=6", "micro_batch_size=4"], "micro_batch_size=4 does not divide global_batch_size=6"),
    (["name=${oc.env:SURELY_NOT_SET}"], "SURELY_NOT_SET"),
    (["resume=no/such/folder", "run_dir={tmp}"], "neither auto, last, best nor the folder of a checkpoint or run"),
    (["trainer.accelerator=gpu"], "GPU"),
    (["trainer=fsdp"], "trainer.accelerator=cpu trainer.devices=2"),
    (["data=files", "outputs_dir={tmp}"], "data.path"),
    (["data=files", "data.path={tmp}/nothing.txt", "outputs_dir={tmp}"], "nothing.txt"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(words, expected, capsys, tmp_path, monkeypatch):
    import torch

    if torch.cuda.is_available() and any("gpu" in word or "fsdp" in word for word in words):
        pytest.skip("this machine has a GPU")
    monkeypatch.chdir(tmp_path)
    code, _, errors = run(*(word.format(tmp=tmp_path) if "{tmp}" in word else word for word in words), capsys=capsys)
    assert code == 2
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    assert expected in lines[0]


def test_sweep_inside_torchrun_is_refused_with_the_right_command(capsys, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, errors = run("-m", "seed=1,2", capsys=capsys)
    assert code == 2 and "python train.py -m seed=1,2" in errors


def test_sweep_inside_srun_is_refused_but_one_task_may_sweep(capsys, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    code, _, errors = run("-m", "trainer=ddp,fsdp", "tags=[a b]", capsys=capsys)
    assert code == 2 and "python train.py -m trainer=ddp,fsdp 'tags=[a b]'" in errors
    monkeypatch.setenv("SLURM_NTASKS", "1")
    code, _, errors = run("-m", "optimizer.lr=interval(1,2)", capsys=capsys)
    assert code == 2 and "hydra/sweeper=optuna" in errors


def test_debug_asks_for_the_traceback(capsys):
    from prospero.errors import ConfigError

    with pytest.raises(ConfigError):
        cli.main("train", ["debug=traceback", "model.n_layr=3"])


def test_unknown_verb(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prospero", "trian"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_generate_names_a_missing_run(capsys, tmp_path):
    code, _, errors = run("run=nothing", f"outputs_dir={tmp_path}", verb="generate", capsys=capsys)
    assert code == 2 and "There is no run 'nothing'" in errors


def test_help_has_ten_commands_and_every_group(capsys):
    from prospero import registry

    code, out, _ = run("--help", capsys=capsys)
    assert code == 0
    assert sum(line.strip().startswith("python train.py") for line in out.splitlines()) >= 10
    for group in registry.PARTS:
        assert f"\n  {group}" in out
    assert "Stop after this many optimiser steps" in out


def test_help_of_a_part_lists_its_settings(capsys):
    _, out, _ = run("model=small", "--help", capsys=capsys)
    assert "model.n_layers=" in out


@pytest.mark.parametrize("verb", ["train", "prepare", "generate"])
def test_every_command_of_the_help_composes(verb):
    """The examples are real: each is composed (not run) by the program itself, in one process per verb."""
    import shlex

    from prospero.configuration.help_text import examples

    commands = []
    for command, _ in examples(verb):
        words = shlex.split(command)[2:]
        if "-m" in words:
            words = [word.split(",")[0] if "=" in word and "[" not in word else word for word in words if word != "-m"]
        commands.append([word for word in words if word not in ("--cfg", "job")])
    code = (
        "import sys\nfrom prospero import cli\n"
        f"for words in {commands!r}:\n"
        f"    try: cli.main({verb!r}, [*words, '--cfg', 'job'])\n"
        "    except SystemExit as left: assert left.code == 0, words\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def fastest(words, repeats=3):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    return min(seconds)


def test_help_and_cfg_answer_at_once():
    assert fastest(["train.py", "--help"]) < 1.5
    assert fastest(["train.py", "--cfg", "job"]) < 2.0


def test_shell_completion_lists_groups_and_their_choices():
    words = [sys.executable, "train.py", "-sc", "query=bash"]
    import os

    environment = {**os.environ, "COMP_LINE": "python train.py model=sm", "COMP_POINT": "100"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "model=small" in done.stdout, done.stderr


@pytest.mark.parametrize("prompt", ["The ", "def f(x, y=1): # [a]", "it's {so}", "a,b", ""])
def test_a_prompt_is_taken_as_it_is(prompt, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "_function", lambda verb: lambda config: seen.append(config.prompt))
    assert run(f"prompt={prompt}", verb="generate", capsys=capsys)[0] == 0
    assert seen == [prompt]
