"""The parts of the check for GPUs, on a CPU: checks, speeds, table, JSON, and what is said without a GPU."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def on_path():
    sys.path.append(str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def gpu():
    return importlib.import_module("gpu")


@pytest.fixture
def checks():
    return importlib.import_module("gpu_checks")


@pytest.fixture
def speed():
    return importlib.import_module("gpu_speed")


def named(checks, name):
    return next(check for check in checks.CHECKS if check.name == name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_and_exit_code_2(gpu, tmp_path, capsys):
    assert gpu.main(["--json", str(tmp_path / "gpu.json")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "needs a CUDA device; none was found" in said.err
    assert not list(tmp_path.iterdir())


def test_every_way_of_training_is_checked(checks):
    names = {check.name for check in checks.CHECKS}
    assert names == {
        "float32", "bf16", "compile", "compile_whole", "activation_checkpointing", "resume", "ddp", "fsdp",
        "fsdp_compile", "hsdp", "tensor_parallel", "cpu_offload",
    }  # fmt: skip
    assert named(checks, "float32").tolerance == 1e-5 and checks.STEPS == 20
    assert checks.BASE["trainer.matmul_precision"] == "highest", "no TF32"


@pytest.mark.parametrize(("available", "devices"), [(1, 1), (2, 2), (3, 2), (6, 4), (8, 8), (16, 8)])
def test_a_check_takes_devices_that_divide_the_batch(checks, available, devices):
    assert checks.devices_for(named(checks, "fsdp"), available) == devices
    assert checks.devices_for(named(checks, "bf16"), available) == 1


def test_losses_are_compared_by_the_largest_relative_difference(checks):
    assert checks.largest_difference([2.0, 4.0], [2.0, 5.0]) == pytest.approx(0.2)
    assert checks.largest_difference([float("nan"), 1.0], [1.0, 1.0]) == float("inf")


def fake_train(losses, seen):
    def train(folder, changes):
        seen.append((folder.name, changes))
        return losses

    return train


def test_a_check_passes_fails_and_is_left_out(checks, tmp_path):
    seen: list = []
    expected = [5.0, 4.0]
    good = checks.perform(named(checks, "float32"), tmp_path, expected, "cuda", 1, fake_train([5.0, 4.00003], seen))
    assert (good.verdict, good.difference) == ("ok", pytest.approx(7.5e-6))
    assert seen == [("float32", {"trainer.accelerator": "gpu", "trainer.devices": "1"})]
    bad = checks.perform(named(checks, "float32"), tmp_path, expected, "cuda", 1, fake_train([5.0, 4.001], seen))
    assert bad.verdict == "FAILED" and bad.difference == pytest.approx(2.5e-4)
    short = checks.perform(named(checks, "float32"), tmp_path, expected, "cuda", 1, fake_train([5.0], seen))
    assert short.verdict == "FAILED" and "1 losses instead of 2" in short.detail
    alone = checks.perform(named(checks, "hsdp"), tmp_path, expected, "cuda", 1, fake_train([], seen))
    assert alone.verdict == "left out" and "needs 2 devices; 1 here" in alone.line()


def test_a_resume_stops_half_way_and_goes_on_in_the_same_folder(checks, tmp_path):
    seen: list = []
    checks.perform(named(checks, "resume"), tmp_path, [1.0], "cpu", 2, fake_train([1.0], seen))
    assert [(folder, changes.get("max_steps"), changes.get("resume")) for folder, changes in seen] == [
        ("resume", "10", None),
        ("resume", None, "auto"),
    ]


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.deep
def test_a_check_runs_the_program_itself(checks, tmp_path):
    expected = checks.reference(tmp_path)
    assert len(expected) == 20 and expected[0] == pytest.approx(5.55, abs=0.1) and expected[-1] < 4.5
    outcome = checks.perform(named(checks, "activation_checkpointing"), tmp_path, expected, "cpu", 1)
    assert outcome.verdict == "ok" and outcome.difference is not None and outcome.difference <= 1e-5, outcome.detail
    wrong = checks.Check("wrong", {"optimizer.lr": "x"})
    failed = checks.perform(wrong, tmp_path, expected, "cpu", 1)
    assert failed.verdict == "FAILED" and failed.detail.startswith("exit code 2: ") and "optimizer.lr" in failed.detail


@pytest.mark.heavy
def test_the_cost_of_a_token_is_palms_formula(speed):
    parameters, flops, seq_len = speed.cost("124m")
    n_layers, d_model, vocab_size = 12, 768, 50257
    matrices = n_layers * 12 * d_model**2 + vocab_size * d_model  # q k v o, up, down; and the tied head
    assert parameters == 124_439_808 and seq_len == 1024
    assert flops == 6 * matrices + 12 * n_layers * d_model * seq_len
    assert speed.mfu(1000.0, flops, 1e13) == pytest.approx(1000 * flops / 1e13)
    assert speed.mfu(1000.0, flops, None) is None


def test_the_corpus_has_the_vocabulary_that_is_asked_for(speed, tmp_path, monkeypatch):
    from prospero.data.tokenizer.char import CharTokenizerConfig

    monkeypatch.setattr(speed, "OUTPUTS", tmp_path)
    text = speed.corpus(500).read_text(encoding="utf-8")
    held_out = round(0.05 * len(text))
    assert CharTokenizerConfig().build(lambda: iter([text[:-held_out]])).vocab_size == 500
    assert speed.corpus(500).read_text(encoding="utf-8") == text


class Stop(Exception):
    """Ends a loop that has no end."""


@pytest.mark.heavy
def test_the_plain_loop_learns(speed):
    import numpy as np

    class Tokens:
        n_tokens = 100

        def tokens(self, first, last):
            return np.arange(first, last) % 5  # a text that repeats: the next token is certain

    losses, steps = [], 0
    config = speed.composed(
        ["model=tiny", "seq_len=16", "global_batch_size=4", "optimizer=adamw", "optimizer.lr=0.01", "trainer=cpu"]
    )
    cross_entropy = torch.nn.functional.cross_entropy

    def noted(*arguments):
        loss = cross_entropy(*arguments)
        losses.append(loss.item())
        return loss

    def pace():
        nonlocal steps
        steps += 1
        if steps == 30:
            raise Stop

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(torch.nn.functional, "cross_entropy", noted)
        speed.plain_loop(config, Tokens(), 5, "cpu", pace)
    assert losses[0] == pytest.approx(1.609, abs=0.01) and losses[-1] < 0.1


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.deep
def test_both_loops_are_measured_by_their_own_commands(speed):
    rows = [speed.measure(loop, "tiny", "cpu", 2, 1e12) for loop in speed.LOOPS]
    for row, loop in zip(rows, ("platform", "plain")):
        assert (row.size, row.loop, row.batch, row.seq_len, row.note) == ("tiny", loop, 4, 64, "")
        assert row.tokens_per_second > 0 and row.peak_bytes > 2**20 and row.mfu > 0


def test_a_size_that_does_not_fit_is_halved_and_then_said(speed, monkeypatch):
    tried = []

    def interleave(loops, rounds):
        tried.append(loops[0].command[-2])
        raise SystemExit("platform ended before its time:\ntorch.OutOfMemoryError: CUDA out of memory.")

    monkeypatch.setattr(importlib.import_module("contest"), "interleave", interleave)
    row = speed.measure("platform", "tiny", "cpu", 2, None)
    assert tried == ["4", "2", "1"] and row.tokens_per_second is None and row.note == "does not fit into memory"


def rows_of(speed):
    return [
        speed.Row("124m", "platform", 124_439_808, 32, 1024, 120_000.0, 0.412, 20 * 2**30),
        speed.Row("124m", "plain", 124_439_808, 32, 1024, 100_000.0, None, 30 * 2**30),
        speed.Row("1.3b", "platform", 1_317_277_696, 1, 2048, None, None, None, "does not fit into memory"),
    ]


def test_the_table(gpu, speed):
    assert gpu.table(rows_of(speed)).splitlines()[2:] == [
        "| 124m | platform | 124.4 M | 32 x 1024 | 120,000 | 41.2% | 20.0 | 1.20 x |",
        "| 124m | plain | 124.4 M | 32 x 1024 | 100,000 | - | 30.0 | 1.00 x |",
        "| 1.3b | platform | 1,317.3 M | 1 x 2048 | - | - | - | does not fit into memory |",
    ]


def test_the_json_holds_every_number(gpu, checks, speed):
    outcome = checks.Outcome("float32", "ok", 2e-6, "at most 1e-05, on 1 x cuda")
    read = json.loads(gpu.as_json({"device": "H100"}, [outcome], rows_of(speed)))
    assert read["machine"] == {"device": "H100"} and read["checks"][0]["difference"] == 2e-6
    assert read["speed"][0]["tokens_per_second"] == 120_000.0 and read["speed"][2]["mfu"] is None


@pytest.mark.heavy
def test_what_there_is_no_time_for_is_left_out(gpu, speed, tmp_path):
    asked = []

    def measure(loop, size, device, rounds, peak):
        asked.append((size, loop))
        return rows_of(speed)[0]

    times = iter([True, True, False, False])
    rows = gpu.run_speed(["124m", "350m"], "cpu", 3, lambda: next(times), measure)
    assert asked == [("124m", "platform"), ("124m", "plain")] and len(rows) == 2
