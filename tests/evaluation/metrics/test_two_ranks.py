"""Metrics over two ranks that see half of the text each: the numbers of one. One pair of processes for all of them."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.evaluation.metrics.test_metrics import EXPECTED, everything, scores, values
from tests.evaluation.metrics.test_text_metrics import NAMES, fed, numbers, same, samples

pytestmark = pytest.mark.processes


def _worker(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    metrics = everything()
    for metric in metrics.members.values():
        metric.update(*scores(slice(rank, rank + 1)))
    share = samples()[rank::2]
    of_texts = {name: numbers(fed(name, [share])) for name in NAMES}
    torch.save({"of_tokens": values(metrics), "of_texts": of_texts}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    mp.start_processes(_worker, args=(str(folder),), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_metrics_of_tokens(ranks):
    for found in ranks:
        assert found["of_tokens"] == pytest.approx(EXPECTED)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_of_texts(ranks, name):
    for found in ranks:
        assert same(name, found["of_texts"][name], numbers(fed(name, [samples()])))
