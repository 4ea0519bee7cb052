import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prospero.model import numerics
from prospero.model.layers.attention import AttentionKernel
from prospero.model.numerics import NumericsChoice, apply_numerics, measure_numerics
from prospero.model.transformer import Transformer
from tests.model.variants import build


@pytest.fixture(autouse=True)
def precision_kept():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def kernels(model: torch.nn.Module) -> set[AttentionKernel]:
    return {block.attention.kernel for block in model.blocks}  # type: ignore[union-attr]


def test_measures_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    model, random_state = build("llama"), torch.get_rng_state()
    choice = measure_numerics(model, batch_size=4, seq_len=24, machine_file=tmp_path / "numerics.json")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.get_float32_matmul_precision() == "highest"
    assert choice.matmul_precision in ("highest", "medium")
    assert choice.matmul_error is not None
    assert choice.matmul_error < numerics.FLOAT32_ERROR
    assert choice.attention in ("sdpa", "explicit")
    assert "float32 products: " + choice.matmul_precision in choice.summary()
    apply_numerics(model, choice)
    assert torch.get_float32_matmul_precision() == choice.matmul_precision
    assert kernels(model) == {AttentionKernel(choice.attention)}


def test_a_fast_but_inexact_product_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"highest": 3e-7, "high": 3e-7, "medium": 3e-3}
    monkeypatch.setattr(numerics, "_float32_products", lambda width, rows: (errors, 4.0))
    choice = measure_numerics(build("llama"), batch_size=4, seq_len=24, machine_file=tmp_path / "numerics.json")
    assert choice.matmul_precision == "highest"
    errors["medium"] = 5e-7
    choice = measure_numerics(build("llama"), batch_size=4, seq_len=24, machine_file=tmp_path / "other.json")
    assert choice.matmul_precision == "medium"


def test_the_choice_is_remembered_by_machine_and_by_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, machine, run = build("llama"), tmp_path / "machine.json", tmp_path / "run" / "numerics.json"
    first = measure_numerics(model, batch_size=4, seq_len=24, machine_file=machine, remembered=run)
    assert run.is_file()
    monkeypatch.setattr(numerics, "_measure", lambda *_: pytest.fail("measured again"))
    assert measure_numerics(model, batch_size=4, seq_len=24, machine_file=machine) == first
    machine.unlink()
    assert measure_numerics(model, batch_size=4, seq_len=24, machine_file=machine, remembered=run) == first
    with pytest.raises(pytest.fail.Exception):
        measure_numerics(model, batch_size=5, seq_len=24, machine_file=machine, remembered=run)


def test_a_broken_file_is_measured_again(tmp_path: Path) -> None:
    machine = tmp_path / "numerics.json"
    machine.write_text("{", encoding="utf-8")
    assert measure_numerics(build("lstm"), batch_size=2, seq_len=8, machine_file=machine).attention is None


def test_what_is_set_by_hand_stays(tmp_path: Path) -> None:
    model = build("explicit")
    choice = measure_numerics(
        model, batch_size=4, seq_len=24, matmul_precision="high", machine_file=tmp_path / "numerics.json"
    )
    assert (choice.matmul_precision, choice.attention) == ("high", "explicit")


def test_off_the_cpu_and_on_resume_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "_measure", lambda *_: pytest.fail("measured"))
    model, file = build("llama"), tmp_path / "numerics.json"
    on_gpu = measure_numerics(model, batch_size=4, seq_len=24, device="cuda", machine_file=file)
    assert on_gpu.attention == "sdpa"
    previous = NumericsChoice(matmul_precision="medium", attention="explicit")
    assert measure_numerics(model, batch_size=4, seq_len=24, previous=previous, machine_file=file) is previous
    assert dataclasses.asdict(previous)["matmul_precision"] == "medium"


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_used_again() -> None:
    """In a process of its own: what other tests left on the heap decides where the next 64 MiB come from."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=60)
    if done.stdout.strip() == "no mallopt":
        pytest.skip("this C library has no mallopt")
    assert int(done.stdout) < 1000  # 16384 pages when the system hands them out anew
