"""What a user types wrong comes back as one readable line and exit code 2; what is asked for help is answered fast."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from prospero import cli, registry, secret_values

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
    (["--cfg", "jbo"], "--cfg jbo is not possible. Did you mean 'job'?"),
    (["model=tiny", "--config-dir"], "The option '--config-dir' takes a value"),
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
    (["learning_rate=1"], "Did you mean 'optimizer.lr'?"),
    (["trainer.precision=bf16-mixed"], "Did you mean 'bf16'?"),
    (["model=null"], "There is no model 'null'"),
    (["seed=1,2"], "seed=1,2 gives several values; to sweep over them add -m"),
    (["--cfg", "job", "-m"], "--cfg and -m do not go together"),
    (["--resolve"], "give it with --cfg job"),
    (["--experimental-rerun", "x"], "There is no option '--experimental-rerun'"),
    (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
    (["run_dir="], "run_dir= is empty"),
    (["trainer.devices=1000", "trainer.accelerator=cpu"], "would start as many processes"),
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


@pytest.mark.parametrize("verb", ["train", "prepare", "find_lr"])
def test_no_word_at_all_is_the_embedded_default(verb, monkeypatch):
    found = []
    monkeypatch.setattr(cli, "_function", lambda name: lambda config: found.append(config))
    code = cli.run(verb, [])
    assert code == 0 and type(found[0].data).__name__ == "StdlibConfig"


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
    code, out, _ = run("--help", capsys=capsys)
    assert code == 0
    assert sum(line.strip().startswith("python train.py") for line in out.splitlines()) >= 10
    _, of_evaluate, _ = run("--help", verb="evaluate", capsys=capsys)
    for group in registry.PARTS:
        assert f"\n  {group}" in out + of_evaluate
    assert "Stop after this many optimiser steps" in out


@pytest.mark.parametrize("words", ["model=small --help", "--help model=small", "-m -h model=small,base"])
def test_help_of_a_preset_shows_its_values(words, capsys):
    _, out, _ = run(*words.split(), capsys=capsys)
    assert "model=small: Transformer of 2 million parameters" in out
    assert "  model.n_layers=4 " in out and "  model.zero_init_outputs=true " in out and "Number of blocks." in out


def test_help_shows_what_the_words_compose_to(capsys):
    words = ["callbacks=[default,early_stopping]", "trainer=gpu", "debug=overfit", "logger=none", "seq_len=99"]
    _, out, _ = run(*words, "callbacks.samples.every_steps=7", "--help", capsys=capsys)
    for line in (
        "callbacks=default: What every run should have",
        "  callbacks.samples.every_steps=7 ",
        "  callbacks.early_stopping.patience=5 ",
        "  trainer.compile=blocks ",
        "  trainer.guards.spike_ratio=3.0 ",
        "debug=overfit: Learn one batch by heart",
        "  augmentation=none",
        "  max_steps=100 ",
        "  seq_len=99 ",
    ):
        assert f"\n{line}" in out, line


def test_options_stand_anywhere(capsys):
    code, out, errors = run("model=tiny", "--cfg", "job", "max_steps=5", "--resolve", "seed=3", capsys=capsys)
    assert code == 0, errors
    assert "n_layers: 2" in out and "max_steps: 5" in out and "seed: 3" in out


def test_printed_settings_hold_no_secret_and_models_have_names_of_their_own(capsys, monkeypatch):
    monkeypatch.setattr(secret_values, "_known", {})
    words = ["api_key=nobody-knows-this", "models.small=outputs/a,b", "models.x-1=last", "--cfg", "job"]
    code, out, errors = run(*words, verb="serve", capsys=capsys)
    assert code == 0, errors
    assert "models:\n  small: outputs/a,b\n  x-1: last\n" in out and "nobody-knows" not in out
    _, out, _ = run("--help", verb="serve", capsys=capsys)
    assert re.search(r"\n  limits\.seconds=300\.0 +Time of one request", out)


def test_a_verb_that_extends_another_keeps_its_root(capsys):
    """find_lr composes as train does, presets and layers too, and has its own settings beside."""
    words = ["debug=overfit", "model=tiny", "--cfg", "job"]
    _, theirs, _ = run(*words, capsys=capsys)
    _, ours, _ = run(*words, "start_lr=1e-3", verb="find_lr", capsys=capsys)
    assert ours.startswith(theirs.rstrip("\n")) and "start_lr: 0.001" in ours and "max_steps: 100" in ours


@pytest.mark.parametrize("verb", registry.VERBS)
def test_every_verb_is_a_function_a_summary_and_examples(verb, capsys):
    from prospero.configuration.help_text import examples

    assert callable(cli._function(verb)) and len(registry.VERBS[verb].summary) > 20
    assert all(registry.as_typed(verb) in command for command, _ in examples(verb)) and examples(verb)
    _, out, _ = run("--help", verb=verb, capsys=capsys)
    assert registry.VERBS[verb].summary in out and examples(verb)[0][0] in out


@pytest.mark.processes
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


def test_the_option_of_hydra_gives_the_same_completion(capsys):
    code, out, _ = run("-sc", "install=zsh", capsys=capsys)
    assert code == 0 and out.startswith("#compdef prospero")
    code, _, errors = run("-sc", "query=bash", capsys=capsys)
    assert code == 2 and 'eval "$(prospero completion bash)"' in errors


@pytest.mark.parametrize("prompt", ["The ", "def f(x, y=1): # [a]", '"Hello," she said ${name}', "${oc.env:HOME}"])
def test_a_prompt_is_taken_as_it_is(prompt, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "_function", lambda verb: lambda config: seen.append(config.prompt))
    assert run(f"prompt={prompt}", verb="generate", capsys=capsys)[0] == 0
    assert seen == [prompt]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("train.py --help >/dev/full", 2, "the output cannot be written: No space left on device"),
        ("train.py --cfg job >/dev/full", 2, "the output cannot be written"),
        ("train.py --cfg job >&-", 0, ""),
        ("train.py model=smal 2>&-", 2, ""),
        ("train.py seed=x 2>/dev/full", 2, ""),
    ],
)
def test_output_that_goes_nowhere_is_no_traceback(command, code, said):
    done = subprocess.run(["sh", "-c", f"{sys.executable} {command}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_other_programs_names_lead_to_settings_that_there_are():
    from prospero.configuration import composition
    from prospero.configuration.rewording import ELSEWHERE, _all_keys

    composition.register()
    keys = _all_keys(composition.composed("train", ["data=files"]))
    assert set(ELSEWHERE.values()) - set(keys) == {"schedule.min_lr_ratio"} - set(keys)
