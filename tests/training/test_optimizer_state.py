"""State that is not shaped like its parameter goes from strategy to strategy, or is refused; two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ranks import run_ranks
from tests.training.state_processes import OPTIMIZERS, train

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    for name, config in OPTIMIZERS.items():
        train(folder / f"{name}_one_2", config, "one", 2)
    run_ranks(Path(__file__).with_name("state_processes.py"), str(folder))
    return folder


@pytest.fixture(scope="module")
def results(folder) -> dict[str, Any]:
    return torch.load(folder / "results.pt")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_that_changes_its_strategy_trains_as_one_that_does_not(folder, results, name, tmp_path):
    config = OPTIMIZERS[name]
    four, six = (train(tmp_path / f"whole_{steps}", config, "one", steps) for steps in (4, 6))
    ended = train(tmp_path / "ended", config, "one", 6, folder / f"{name}_ddp_4")  # fsdp, then ddp, then one process
    for found, expected in ((results[name], four), (ended, six)):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")
    assert any((six[key] - four[key]).abs().max() > 1e-3 for key in four)


def test_state_of_a_process_alone_is_refused(results, folder):
    said = results["OwnPartConfig"]
    assert said == (
        "OwnPart keeps 'seen' of model.embedding.weight [13, 16], a sharded parameter, as a plain tensor [7] and [6] "
        "on another that differs between processes, so no checkpoint can hold it; use trainer.strategy=ddp, or lay it "
        "out as the parameter is"
    )
    assert results["ParameterShapeConfig"] == (
        "ParameterShape keeps 'average' of model.embedding.weight [13, 16] as a plain tensor of the parameter's shape, "
        "which a sharded run could not load again; make it with torch.zeros_like(parameter)"
    )
    assert not (folder / "refused").exists()
