"""The templates of launch/ do what they say: each is run by bash with a launcher that only writes down its words.

The words are then read by torchrun's own parser and by the program's own composition.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from prospero import cli

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parent.parent / "launch"
SCRIPTS = sorted([*FOLDER.glob("*.sh"), *FOLDER.glob("*.sbatch")])
SKYPILOT = sorted(FOLDER.glob("skypilot_*.yaml"))

STUB = """#!/bin/bash
printf '%s\\n' "$(basename "$0")" "$@" > "$WRITTEN/$(basename "$0")"
exit ${EXIT_CODE:-0}
"""
ENVIRONMENT = {
    "NODES": "2", "HEAD": "10.0.0.1", "SLURM_NNODES": "2", "SLURM_JOB_ID": "4711", "SKYPILOT_NODE_IPS": "10.0.0.1",
    "SKYPILOT_NUM_NODES": "1", "SKYPILOT_NUM_GPUS_PER_NODE": "8", "SKYPILOT_NODE_RANK": "0",
}  # fmt: skip


def words_of(command: list[str], folder: Path, **environment: str) -> tuple[int, dict[str, list[str]]]:
    """Run a bash command with the launchers stubbed; return its exit code and launcher -> the words it was given."""
    stubs, written = folder / "bin", folder / "written"
    written.mkdir(parents=True)
    stubs.mkdir()
    for name in ("torchrun", "srun", "scontrol"):
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    everything = {"PATH": f"{stubs}:{os.environ['PATH']}", "WRITTEN": str(written), **ENVIRONMENT, **environment}
    done = subprocess.run(command, env=everything, capture_output=True, text=True, timeout=180)
    assert "command not found" not in done.stderr and "unbound" not in done.stderr, done.stderr
    return done.returncode, {file.name: file.read_text().splitlines()[1:] for file in written.iterdir()}


def check_torchrun(words: list[str]) -> list[str]:
    """Read the words as torchrun does; return the words of train.py."""
    from torch.distributed.run import parse_args

    read = parse_args(words)
    assert read.training_script == "train.py"
    return read.training_script_args


def check_composes(settings: list[str], capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main("train", [*settings, "--cfg", "job"])
    printed = capsys.readouterr()
    assert left.value.code == 0, printed.err
    assert "resume: auto" in printed.out
    return printed.out


def check_recipe(composed: str, **settings: object) -> None:
    """Assert that the run reads the recipe's text and tokens, and has these settings."""
    assert "dataset: HuggingFaceFW/fineweb-edu" in composed and "path: openai-community/gpt2" in composed
    assert "lr: 0.0006" in composed or "d_model" in settings
    for name, value in settings.items():
        assert f"{name}: {value}\n" in composed, name


def test_all_that_is_promised_is_there():
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {"torchrun.sh", "torchrun_nodes.sh", "slurm.sbatch", "skypilot_aws.yaml", "skypilot_gcp.yaml"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["torchrun.sh", "torchrun_nodes.sh"])
def test_a_torchrun_script_starts_what_composes(name, tmp_path, capsys):
    code, words = words_of(["bash", str(FOLDER / name), "model=tiny", "max_tokens=1_000_000"], tmp_path, PROCESSES="2")
    assert code == 0
    check_recipe(check_composes(check_torchrun(words["torchrun"]), capsys), n_layers=2)


@pytest.mark.parametrize("name", ["torchrun.sh", "torchrun_nodes.sh"])
def test_another_recipe_is_chosen_by_name(name, tmp_path, capsys):
    code, words = words_of(["bash", str(FOLDER / name)], tmp_path, PROCESSES="2", RECIPE="1b")
    assert code == 0
    composed = check_composes(check_torchrun(words["torchrun"]), capsys)
    check_recipe(composed, d_model=2048, seq_len=2048, max_tokens=26_000_000_000, strategy="fsdp")


def sbatch_directives() -> dict[str, str]:
    """The #SBATCH lines, as SLURM reads them: those before the first command."""
    found = {}
    for line in (FOLDER / "slurm.sbatch").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith("#SBATCH"):
            name, _, value = line.removeprefix("#SBATCH ").partition("=")
            found[name] = value
    return found


SBATCH = {
    "--job-name": r"\w+", "--nodes": r"\d+", "--ntasks-per-node": r"\d+", "--gpus-per-node": r"\d+",
    "--cpus-per-task": r"\d+", "--mem": r"\d+[KMGT]?", "--time": r"(\d+-)?\d+:\d\d:\d\d", "--requeue": "",
    "--signal": r"(B:)?[A-Z0-9]+@\d+", "--open-mode": "append|truncate", "--output": r"\S+",
}  # fmt: skip
"""Option of sbatch -> the form of its value, by its manual."""


def test_sbatch_directives_are_known_and_fit_together():
    found = sbatch_directives()
    assert found
    for name, value in found.items():
        assert name in SBATCH, name
        assert re.fullmatch(SBATCH[name], value), f"{name}={value}"
    assert found["--signal"].startswith("USR1@"), "the processes save on SIGUSR1; B: would send it to the script alone"
    assert found["--ntasks-per-node"] == found["--gpus-per-node"], "one process a GPU"
    assert found["--open-mode"] == "append" and "--requeue" in found


@pytest.mark.parametrize(("left_with", "requeued"), [(0, False), (138, True), (1, False), (2, False)])
def test_the_job_is_queued_again_only_after_it_saved(left_with, requeued, tmp_path, capsys):
    command = ["bash", str(FOLDER / "slurm.sbatch"), "model=tiny"]
    code, words = words_of(command, tmp_path, EXIT_CODE=str(left_with))
    assert code == left_with
    assert words.get("scontrol") == (["requeue", "4711"] if requeued else None)
    if left_with == 0:
        start = words["srun"].index("train.py")
        assert words["srun"][:start] == ["--kill-on-bad-exit=1", "python"]
        check_recipe(check_composes(words["srun"][start + 1 :], capsys), num_nodes=2, global_batch_size=512)


TASK: dict[str, Any] = {
    "name": str, "workdir": str, "num_nodes": int, "envs": dict, "secrets": dict, "setup": str, "run": str,
    "resources": {
        "infra": str, "accelerators": str, "use_spot": bool, "disk_size": int,
        "job_recovery": {"strategy": str, "max_restarts_on_errors": int},
    },
}  # fmt: skip
"""The fields we use and their types, by SkyPilot's reference (docs.skypilot.co, "SkyPilot YAML")."""
BUCKET = {"name": str, "store": str, "mode": str}
STRATEGIES = {"EAGER_NEXT_REGION", "FAILOVER"}
MODES = {"MOUNT", "COPY", "MOUNT_CACHED"}


def check_fields(found: dict, known: dict, path: str = "") -> None:
    for name, value in found.items():
        assert name in known, f"{path}{name} is no field of SkyPilot's"
        if isinstance(known[name], dict):
            check_fields(value, known[name], f"{path}{name}.")
        else:
            assert type(value) is known[name], f"{path}{name}={value!r}"


@pytest.mark.parametrize("file", SKYPILOT, ids=lambda path: path.name)
def test_a_skypilot_task_is_sound_and_composes(file, tmp_path, capsys):
    task = yaml.safe_load(file.read_text())
    mounts = task.pop("file_mounts")
    check_fields(task, TASK)
    cloud = task["resources"]["infra"]
    assert file.stem.endswith(cloud)
    assert re.fullmatch(r"[\w-]+:\d+", task["resources"]["accelerators"])
    assert task["resources"]["job_recovery"]["strategy"] in STRATEGIES
    for bucket in mounts.values():
        check_fields(bucket, BUCKET)
        assert bucket["store"] == {"aws": "s3", "gcp": "gcs"}[cloud] and bucket["mode"] in MODES
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket["name"])
    assert all(value is None for value in task["secrets"].values()), "a secret is named here, never written"
    assert subprocess.run(["bash", "-n", "-c", task["setup"]]).returncode == 0
    environment = {name: str(value) for name, value in task["envs"].items()}
    code, words = words_of(["bash", "-c", task["run"]], tmp_path, **environment)
    assert code == 0
    settings = check_torchrun(words["torchrun"])
    assert any(word.startswith(f"run_dir={next(iter(mounts))}/") for word in settings), "the run lies in the bucket"
    check_recipe(check_composes(settings, capsys), max_steps=18865)
