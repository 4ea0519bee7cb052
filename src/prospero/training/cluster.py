"""Who started the processes of a run, as Lightning is to see it."""

import os

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from prospero.processes import ranks


def cluster_environment() -> list[ClusterEnvironment]:
    """Return the plugin that tells Lightning who started the processes, where its own guess would be wrong.

    Under SLURM Lightning would catch SIGUSR1 itself, and in a job script without srun it would wait for processes that
    nobody starts.
    """
    if ranks.under_slurm():
        return [SLURMEnvironment(auto_requeue=False)]
    if "SLURM_NTASKS" in os.environ and not ranks.launched_externally():
        return [LightningEnvironment()]
    return []
