"""One process and every strategy give the same training: 20 steps of a small Transformer in float32, over gloo."""

from pathlib import Path
from typing import Any

import pytest
import torch

from prospero.training import trainer
from tests.grids import grid
from tests.ranks import run_ranks
from tests.training.parity_processes import CASES, train
from tests.training.spread_model import SPREADS, train_spread

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
TWO = [name for name, settings in CASES.items() if settings["devices"] == 2 and name != "bf16"]
STOPPED = ["fsdp+stopping"]
MUON = ["ddp+muon", "fsdp+muon"]
LORA = [f"{name}+lora" for name in TWO]
ALWAYS_LORA = "fsdp+lora"
DISTILL = ["ddp+distill", "fsdp+distill"]
FOUR = [name for name, settings in CASES.items() if settings["devices"] == 4]


@pytest.fixture(scope="module")
def results(tmp_path_factory, long_form) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("parity")
    bf16 = ["bf16"] if trainer._cpu_accepts_bf16() else []
    pairs = [*(f"{name}+everything" for name in TWO), *MUON, ALWAYS_LORA, *DISTILL, *STOPPED, *bf16]
    pairs += [*TWO, *(case for case in LORA if case != ALWAYS_LORA)] if long_form else []
    script = Path(__file__).with_name("parity_processes.py")
    run_ranks(script, str(folder), *pairs)
    run_ranks(script, str(folder), *(f"{name}+everything" for name in FOUR), "spreads", size=4)
    alone = {case: train(folder, case) for case in ("one", "one+everything", "one+muon", "one+lora", "one+distill")}
    return {file.stem: torch.load(file) for file in folder.glob("*.pt")} | alone


@pytest.mark.parametrize(
    "case", grid([*TWO, *(f"{name}+everything" for name in TWO + FOUR)], lambda case: "everything" in case)
)
def test_losses_validations_weights_and_average_are_those_of_one_process(results, case):
    extra = case.partition("+")[2]
    ours, theirs = results[case], results["one+everything" if extra else "one"]
    assert len(theirs["metrics"]["train/loss"]) == 20 and theirs["metrics"]["train/loss"][-1][1] < 2.3
    assert bool(extra) == ("train/loss/z_loss" in theirs["metrics"]) == bool(theirs["average"])
    for metric, series in theirs["metrics"].items():
        if metric.startswith(("train/loss", "val/loss", "train/grad_norm")):
            assert ours["metrics"][metric] == [(step, pytest.approx(value, rel=1e-5)) for step, value in series], metric
    for kind in ("weights", "average"):
        assert ours[kind].keys() == theirs[kind].keys()
        for key, value in theirs[kind].items():
            torch.testing.assert_close(ours[kind][key], value, rtol=1e-3, atol=2e-5, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("case", MUON)
def test_the_default_optimiser_with_clipping_and_regularisers_trains_as_in_one_process(results, case):
    ours, theirs = results[case]["metrics"], results["one+muon"]["metrics"]
    losses = [value for _, value in theirs["train/loss"]]
    assert len(losses) == 20 and losses[-1] < losses[0] - 0.2
    assert max(value for _, value in theirs["train/grad_norm"]) > 0.3, "some gradients are clipped"
    assert {"train/loss/l2", "train/loss/z_loss"} <= theirs.keys()
    for metric in ("train/loss", "val/loss", "train/grad_norm"):
        assert ours[metric] == [(step, pytest.approx(value, rel=1e-5)) for step, value in theirs[metric]], metric


@pytest.mark.parametrize("case", grid(LORA, lambda case: case == ALWAYS_LORA))
def test_an_adapter_alone_is_trained_as_in_one_process(results, case):
    ours, theirs = results[case], results["one+lora"]
    frozen = [name for name in theirs["weights"] if ".lora_" not in name]
    for name in frozen:
        torch.testing.assert_close(ours["weights"][name], theirs["start"][name], rtol=0, atol=0)
    for metric in ("train/loss", "val/loss"):
        series = theirs["metrics"][metric]
        assert series[0][1] - series[-1][1] > 0.05
        assert ours["metrics"][metric] == [(step, pytest.approx(value, rel=1e-5)) for step, value in series], metric


@pytest.mark.parametrize("case", DISTILL)
def test_a_student_learns_from_a_teacher_as_in_one_process(results, case):
    """The teacher is whole in every process, also where the student is not."""
    ours, theirs = results[case], results["one+distill"]
    for metric in ("train/loss", "train/loss/distill", "train/grad_norm", "val/loss"):
        series = theirs["metrics"][metric]
        assert ours["metrics"][metric] == [(step, pytest.approx(value, rel=1e-5)) for step, value in series], metric
    losses = [value for _, value in theirs["metrics"]["train/loss/distill"]]
    assert losses[0] > 0.1 and ours["weights"].keys() == theirs["weights"].keys() == results["one"]["weights"].keys()
    for key, value in theirs["weights"].items():
        torch.testing.assert_close(ours["weights"][key], value, rtol=1e-3, atol=2e-5, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("case", STOPPED)
def test_early_stopping_ends_all_processes_after_the_same_validation(results, case):
    found, unstopped = results[case]["metrics"], results["one"]["metrics"]
    assert [step for step, _ in found["val/loss"]] == [8, 16] and found["train/loss"][-1][0] == 16
    assert found["val/loss"] == [(step, pytest.approx(value, rel=1e-5)) for step, value in unstopped["val/loss"][:2]]


@pytest.mark.parametrize(
    ("name", "share"), [("ddp", 1), ("fsdp", 0.5), ("tensor_parallel", 0.5), ("hsdp", 0.5), ("both", 0.25)]
)
def test_a_process_holds_its_share_of_the_parameters(results, name, share):
    for measure in ("held", "bytes"):
        assert results[f"{name}+everything"][measure] / results["one"][measure] == pytest.approx(share, rel=0.12)


@pytest.mark.skipif(not trainer._cpu_accepts_bf16(), reason="this processor has no bf16 arithmetic")
def test_blocks_that_travel_in_bfloat16_learn_as_well_and_weights_stay_float32(results):
    ours, theirs = results["bf16"], results["one"]
    assert ours["dtypes"] == theirs["dtypes"] == ["torch.float32"]
    losses = [value for _, value in theirs["metrics"]["train/loss"]]
    assert [value for _, value in ours["metrics"]["train/loss"]] == pytest.approx(losses, rel=0.02)
    assert [value for _, value in ours["metrics"]["train/loss"]] != pytest.approx(losses, rel=1e-5)


def test_the_average_is_another_model_than_the_last_weights_and_is_validated(results):
    found = results["one+everything"]
    assert any(not torch.equal(found["average"][key], value) for key, value in found["weights"].items())


@pytest.mark.parametrize("name", SPREADS)
def test_every_regulariser_and_optimiser_acts_on_a_spread_model_as_on_a_whole_one(results, name):
    found, expected = results["spreads"][name], train_spread(SPREADS[name], 0, alone=True)
    assert found.keys() == expected.keys() and expected["norm.0"] > 0.5
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=3e-6, msg=lambda m, k=key: f"{k}: {m}")
