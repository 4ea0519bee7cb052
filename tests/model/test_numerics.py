import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from prospero.model import numerics
from prospero.model.layers.attention import AttentionKernel
from prospero.model.numerics import NumericsChoice, apply_numerics, measure_numerics
from prospero.model.transformer import Transformer
from tests.model.variants import build


@pytest.fixture(autouse=True)
def precision_kept(monkeypatch):
    """Every test is on a processor that is not Intel's, unless it says otherwise."""
    monkeypatch.setattr(numerics, "mkl_is_at_home", lambda: False)
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def kernels(model: torch.nn.Module) -> set[AttentionKernel]:
    return {block.attention.kernel for block in model.blocks}  # type: ignore[union-attr]


def test_chooses_by_the_error_and_leaves_everything_as_it_was() -> None:
    model, random_state = build("llama"), torch.get_rng_state()
    choice = measure_numerics(model, batch_size=4, seq_len=24)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.get_float32_matmul_precision() == "highest"
    assert choice.matmul_precision in ("highest", "medium")
    assert choice.matmul_error is not None
    assert choice.matmul_error < numerics.FLOAT32_ERROR
    assert choice.summary().startswith(f"float32 products: {choice.matmul_precision} (relative error ")
    assert choice.summary().endswith("; attention: sdpa")
    apply_numerics(model, choice)
    assert torch.get_float32_matmul_precision() == choice.matmul_precision
    assert kernels(model) == {AttentionKernel.sdpa}


def test_the_same_run_chooses_the_same_each_time_and_reads_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for clock in ("perf_counter", "thread_time", "process_time", "monotonic", "time"):
        monkeypatch.setattr(time, clock, lambda: pytest.fail("a clock was read"))
    choices = [measure_numerics(build("llama"), batch_size=4, seq_len=24) for _ in range(3)]
    assert len({(choice.matmul_precision, choice.attention) for choice in choices}) == 1


def test_intels_processors_keep_intels_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "mkl_is_at_home", lambda: True)
    monkeypatch.setattr(numerics, "_float32_product", lambda *_: pytest.fail("measured"))
    assert measure_numerics(build("llama"), batch_size=4, seq_len=24).matmul_precision == "highest"


@pytest.mark.parametrize(("error", "chosen"), [(3e-3, "highest"), (5e-7, "medium")])
def test_a_product_is_taken_for_its_error_alone(error: float, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = torch.nn.functional.linear

    def rounded(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        product = linear(x, weight)
        return product * (1 + error) if torch.get_float32_matmul_precision() == "medium" else product

    monkeypatch.setattr(numerics.F, "linear", rounded)
    choice = measure_numerics(build("lstm"), batch_size=4, seq_len=24)
    assert (choice.matmul_precision, choice.attention) == (chosen, None)


@pytest.mark.parametrize(
    ("precision", "seq_len", "changes", "kernel"),
    [
        ("float32", 24, {}, "sdpa"),
        ("float32", 24, {"dropout": 0.1}, "explicit"),
        ("bf16", 512, {}, "explicit"),
        ("bf16", 513, {}, "sdpa"),
        ("bf16_true", 256, {"document_attention": True}, "explicit"),
        ("bf16", 257, {"document_attention": True}, "sdpa"),
        ("bf16", 1024, {"dropout": 0.1}, "explicit"),
        ("bf16", 24, {"attention": AttentionKernel.sdpa}, "sdpa"),
    ],
)
def test_attention_follows_the_measured_table(precision, seq_len, changes, kernel) -> None:
    model = build("llama", **changes)
    assert measure_numerics(model, batch_size=2, seq_len=seq_len, precision=precision).attention == kernel


def test_a_run_keeps_its_choice_for_the_same_shapes(tmp_path: Path) -> None:
    model, run = build("llama"), tmp_path / "run" / "numerics.json"
    first = measure_numerics(model, batch_size=4, seq_len=24, remembered=run)
    (key,) = kept = json.loads(run.read_text(encoding="utf-8"))
    assert kept[key] == dataclasses.asdict(first)
    other = {"matmul_precision": "high", "attention": "explicit", "matmul_speedup": 2.0}  # as an earlier version wrote
    run.write_text(json.dumps({key: other}), encoding="utf-8")
    again = measure_numerics(model, batch_size=4, seq_len=24, remembered=run)
    assert again == NumericsChoice(matmul_precision="high", attention="explicit")
    anew = measure_numerics(model, batch_size=5, seq_len=24, remembered=run)
    assert (anew.matmul_precision, anew.attention) == (first.matmul_precision, first.attention)
    assert len(json.loads(run.read_text(encoding="utf-8"))) == 2


def test_nothing_is_kept_outside_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measure_numerics(build("llama"), batch_size=4, seq_len=24)
    assert not list(tmp_path.iterdir())


def test_a_broken_file_is_chosen_anew(tmp_path: Path) -> None:
    run = tmp_path / "numerics.json"
    run.write_text("{", encoding="utf-8")
    assert measure_numerics(build("lstm"), batch_size=2, seq_len=8, remembered=run).attention is None


def test_what_is_set_by_hand_stays_and_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "_float32_product", lambda *_: pytest.fail("measured"))
    choice = measure_numerics(build("explicit"), batch_size=4, seq_len=24, matmul_precision="high")
    assert choice == NumericsChoice(matmul_precision="high", attention="explicit")


def test_off_the_cpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "_float32_product", lambda *_: pytest.fail("measured"))
    on_gpu = measure_numerics(build("llama", dropout=0.1), batch_size=4, seq_len=24, device="cuda")
    assert on_gpu == NumericsChoice(matmul_precision="highest", attention="sdpa")


def test_kernels_agree_on_the_result() -> None:
    torch.manual_seed(0)
    model, ids = build("llama").eval(), torch.arange(24).view(1, 24)
    assert isinstance(model, Transformer)
    sdpa = model(ids).logits
    apply_numerics(model, NumericsChoice(matmul_precision="highest", attention="explicit"))
    torch.testing.assert_close(model(ids).logits, sdpa)


FAULTS = """
import resource
import torch
from prospero.model import numerics

if not numerics.keep_freed_memory():
    print("no mallopt")
    raise SystemExit

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 * 2**20)  # 64 MiB, beyond what glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print([faults() for _ in range(20)][-1])  # a few until the pieces on the heap have settled
"""


@pytest.mark.processes
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_used_again() -> None:
    """In a process of its own: what other tests left on the heap decides where the next 64 MiB come from."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=180)
    if done.stdout.strip() == "no mallopt":
        pytest.skip("this C library has no mallopt")
    assert int(done.stdout) < 1000  # 16384 pages when the system hands them out anew
