"""What SLURM's variables say of the rendezvous, as Lightning reads them too, and what they leave out."""

import os
import subprocess
import sys

import pytest
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from prospero.errors import ConfigError
from prospero.processes import slurm


@pytest.fixture(autouse=True)
def task(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "MASTER_"))]:
        monkeypatch.delenv(name)
    variables = {
        "SLURM_JOB_ID": "990004712", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "2", "SLURM_NODELIST": "host[12-15,18]", "SLURM_STEP_ID": "0", "SLURM_PROCID": "3",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # Lightning leaves them there
        os.environ.pop(name, None)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("host[12-15,18]", "host12"),
        ("alpha,beta", "alpha"),
        ("alpha beta", "alpha"),
        ("gpu-a[01-04]", "gpu-a01"),
        ("node[7]", "node7"),
        ("n[3,5-9],login1", "n3"),
        ("127.0.0.1", "127.0.0.1"),
        ("a[1-2],b[3-4]", "a1"),
    ],
)
def test_the_first_host_as_lightning_reads_it(nodes, host, monkeypatch):
    monkeypatch.setenv("SLURM_NODELIST", nodes)
    assert slurm.main_address() == host == SLURMEnvironment(auto_requeue=False).main_address


def test_a_list_of_two_dimensions():
    assert slurm.first_host("rack[1-2]node[3-4],x") == "rack1node3"  # Lightning reads rack1, which is no machine


@pytest.mark.parametrize("job", ["990004712", "7", "12345", "0099"])
def test_the_port_of_a_job_as_lightning_reads_it(job, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", job)
    assert slurm.main_port() == 15000 + int(job[-4:]) == SLURMEnvironment(auto_requeue=False).main_port


def test_what_is_given_wins(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.7")
    monkeypatch.setenv("MASTER_PORT", "4242")
    assert (slurm.main_address(), slurm.main_port()) == ("10.0.0.7", 4242)


def test_the_list_of_the_job_serves_too(monkeypatch):
    monkeypatch.delenv("SLURM_NODELIST")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "c[5-6]")
    assert slurm.main_address() == "c5"


def test_what_is_missing_is_said_in_one_line(monkeypatch):
    monkeypatch.delenv("SLURM_NODELIST")
    with pytest.raises(ConfigError, match="without SLURM_NODELIST; give MASTER_ADDR, the first machine"):
        slurm.main_address()
    monkeypatch.setenv("SLURM_JOB_ID", "")
    with pytest.raises(ConfigError, match="SLURM_JOB_ID= gives no port; give MASTER_PORT"):
        slurm.main_port()
    monkeypatch.setenv("MASTER_PORT", "many")
    with pytest.raises(ConfigError, match="MASTER_PORT=many is not the number of a port"):
        slurm.main_port()


def test_tasks_without_a_number_per_machine_are_refused(monkeypatch):
    slurm.check_tasks()
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(ConfigError, match=r"given --ntasks=4, .*; give --ntasks-per-node=<devices a machine> instead"):
        slurm.check_tasks()
    with pytest.raises(RuntimeError, match="ntasks-per-node"):  # what Lightning would say, later and longer
        SLURMEnvironment(auto_requeue=False)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    slurm.check_tasks()


@pytest.mark.processes
def test_processes_find_each_other_without_torch_and_lightning():
    code = (
        "import sys; import prospero.processes.launch; print([n for n in ('torch', 'lightning') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.strip() == "[]"
