"""What Lightning is told of who started the processes."""

import os

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from prospero.training.cluster import cluster_environment

LAUNCHERS = ("SLURM_", "TORCHELASTIC_", "RANK", "LOCAL_")
TASK = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1"}


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, None),
        (TASK, SLURMEnvironment),
        ({"SLURM_NTASKS": "2"}, LightningEnvironment),
        ({"SLURM_NTASKS": "2", "TORCHELASTIC_RUN_ID": "x", "RANK": "0"}, None),
    ],
    ids=["alone", "srun", "inside an allocation", "torchrun"],
)
def test_who_started_the_processes(variables, kind, monkeypatch):
    for name in [name for name in os.environ if name.startswith(LAUNCHERS)]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = cluster_environment()
    assert [type(plugin) for plugin in found] == ([kind] if kind else [])
    assert not any(getattr(plugin, "auto_requeue", False) for plugin in found)
