"""How this machine computes best, found by measuring for a fraction of a second before training.

Two choices change the speed on CPU by up to a factor of two and the result by rounding only. torch's "highest" float32
product calls one library, "medium" another (oneDNN): on many processors the second is twice as fast with the same
error, on others it computes in bfloat16; so the error is measured against float64, and the fast way is taken only at
float32's own error. And which attention kernel wins depends on the width of the heads.

A third changes no result: glibc gives a freed tensor of many megabytes back to the system and asks for it again a
moment later, and the system clears every page of it anew, 150 thousand page faults a step at d_model 384.

Rounding differs between choices, so a choice is made once per machine and shape and remembered in a small JSON file:
the same seed gives the same losses again. A run keeps the choice in its own folder too, for when it is resumed.
"""

import ctypes
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.log import log
from prospero.model.base import LanguageModel
from prospero.model.layers.attention import Attention, AttentionKernel, attend, document_mask

FLOAT32_ERROR = 2e-6
"""Relative error up to which a product counts as float32 (measured: 4e-7; bfloat16 has 3e-3)."""

CLEARLY_FASTER = 1.05
"""Speed-up under which the usual attention is kept: noise should not decide."""

NOT_SLOWER = 0.9
"""Speed-up from which "medium" is taken when it is as exact: equal on one thread, it wins on several (docs/LOG.md)."""

REPEATS = 3
MAX_ROWS, MAX_WIDTH, MAX_SCORES, MAX_TIME = 512, 1024, 2**20, 1024
"""Bounds on what is measured: rows and width of a product, scores of an attention, length of a sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericsChoice:
    """What was chosen, and the measurements behind it."""

    matmul_precision: str
    """For `torch.set_float32_matmul_precision`."""
    matmul_error: float | None = None
    """Relative error of the chosen float32 product against float64; None where nothing was measured."""
    matmul_speedup: float | None = None
    """Time of "highest" / time of "medium"."""
    attention: str | None = None
    """Attention kernel: sdpa or explicit; None for a model without attention."""
    attention_speedup: float | None = None
    """Time of sdpa / time of explicit."""
    bf16_speedup: float | None = None
    """Time of the chosen float32 product / time of the same in bfloat16; None where it cannot be done."""

    def summary(self) -> str:
        """Say in one line what was chosen and why."""
        parts = [f"float32 products: {self.matmul_precision}"]
        if self.matmul_error is not None and self.matmul_speedup is not None:
            ratio = f"medium is {self.matmul_speedup:.1f}x as fast as highest"
            parts[0] += f" ({ratio}, relative error of the choice {self.matmul_error:.0e})"
        if self.attention is not None:
            measured = self.attention_speedup
            parts.append(
                f"attention: {self.attention}"
                + ("" if measured is None else f" (explicit is {measured:.1f}x as fast as sdpa)")
            )
        if self.bf16_speedup is not None:
            parts.append(f"bfloat16 products would be {self.bf16_speedup:.1f}x as fast")
        return "; ".join(parts)


def measure_numerics(
    model: LanguageModel,
    *,
    batch_size: int,
    seq_len: int,
    precision: str = "float32",
    matmul_precision: str = "auto",
    device: str = "cpu",
    remembered: Path | None = None,
    machine_file: Path | None = None,
    previous: NumericsChoice | None = None,
) -> NumericsChoice:
    """Choose the product precision and the attention kernel for `model` and a batch of [batch_size, seq_len].

    What is set by hand (`matmul_precision` other than "auto", the model's `attention` other than auto) is kept.
    `precision` names the training precision; a name with "bf16" measures attention in bfloat16. A `previous` choice,
    else one in the run's file `remembered`, else one in `machine_file` (by default in the user's cache folder) for the
    same machine and shape is taken as it is. Off the CPU nothing is measured: sdpa, and the precision as it is set.
    """
    if previous is not None:
        return previous
    machine_file = machine_file or default_machine_file()
    key = _key(model, batch_size, seq_len, precision, matmul_precision)
    choice = next((c for c in (_recall(file, key) for file in (remembered, machine_file)) if c is not None), None)
    if choice is None and device != "cpu":
        kept = torch.get_float32_matmul_precision() if matmul_precision == "auto" else matmul_precision
        choice = NumericsChoice(matmul_precision=kept, attention=_fixed_kernel(model, AttentionKernel.sdpa))
    elif choice is None:
        choice = _measure(model, batch_size, seq_len, "bf16" in precision, matmul_precision)
    for file in (remembered, machine_file):
        if file is not None and _recall(file, key) != choice:
            _remember(file, key, choice)
    return choice


def apply_numerics(model: LanguageModel, choice: NumericsChoice) -> None:
    """Set the product precision of the process and the attention kernel of `model`; on CPU, keep freed memory."""
    if model.device.type == "cpu":
        keep_freed_memory()
    torch.set_float32_matmul_precision(choice.matmul_precision)
    for module in model.modules():
        if isinstance(module, Attention) and choice.attention is not None:
            module.kernel = AttentionKernel(choice.attention)


def keep_freed_memory() -> bool:
    """Let the process keep what it frees for its next tensors (Linux with glibc; False elsewhere).

    Measured at d_model 384, 8 x 256 tokens: a step takes 15 % less processor time, and the peak stays where it was.
    """
    if not sys.platform.startswith("linux"):
        return False
    mmap_threshold, trim_threshold, no_limit = -3, -1, 2**31 - 1  # names and values of glibc's malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return bool(mallopt(mmap_threshold, 2**30)) and bool(mallopt(trim_threshold, no_limit))


def default_machine_file() -> Path:
    """Return where choices are kept for all runs of this user on this machine."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "prospero" / "numerics.json"


def _measure(model: LanguageModel, batch_size: int, seq_len: int, bf16: bool, asked: str) -> NumericsChoice:
    before = torch.get_float32_matmul_precision()
    try:
        with torch.random.fork_rng(devices=[]):  # the run's random numbers stay untouched
            torch.manual_seed(0)
            rows, width = min(batch_size * seq_len, MAX_ROWS), min(model.d_model, MAX_WIDTH)
            errors, speedup = _float32_products(width, rows)
            fast = speedup > NOT_SLOWER and errors["medium"] < FLOAT32_ERROR
            chosen = asked if asked != "auto" else ("medium" if fast else "highest")
            torch.set_float32_matmul_precision(chosen)
            bf16_speedup = _bf16_product(width, rows)
            kernel, attention_speedup = _attention(model, batch_size, seq_len, bf16)
    finally:
        torch.set_float32_matmul_precision(before)
    return NumericsChoice(
        matmul_precision=chosen,
        matmul_error=errors.get(chosen),
        matmul_speedup=speedup,
        attention=kernel,
        attention_speedup=attention_speedup,
        bf16_speedup=bf16_speedup,
    )


def _float32_products(width: int, rows: int) -> tuple[dict[str, float], float]:
    """Return the relative error of each precision against float64, and how much faster "medium" is."""
    x, weight = torch.randn(rows, width), torch.randn(4 * width, width)
    exact = F.linear(x[:64].double(), weight.double())
    errors = {}
    for name in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(name)
        errors[name] = ((F.linear(x, weight)[:64] - exact).norm() / exact.norm()).item()

    def product(name: str) -> Callable[[], Any]:
        def run() -> Tensor:
            torch.set_float32_matmul_precision(name)
            return F.linear(x, weight)

        return run

    slow, fast = _fastest(product("highest"), product("medium"))
    return errors, slow / fast


def _bf16_product(width: int, rows: int) -> float | None:
    """Return how much faster a product in bfloat16 is; None where the processor cannot."""
    x, weight = torch.randn(rows, width), torch.randn(4 * width, width)
    narrow_x, narrow_weight = x.bfloat16(), weight.bfloat16()
    try:
        wide, narrow = _fastest(lambda: F.linear(x, weight), lambda: F.linear(narrow_x, narrow_weight))
    except RuntimeError:  # what torch raises for a missing kernel
        return None
    return wide / narrow


def _attention(model: LanguageModel, batch_size: int, seq_len: int, bf16: bool) -> tuple[str | None, float | None]:
    """Return the kernel for the shapes of `model`'s first attention, forward and backward, and its speed-up."""
    fixed = _fixed_kernel(model, None)
    layer = next((m for m in model.modules() if isinstance(m, Attention)), None)
    if layer is None or fixed is not None:
        return fixed, None
    time_ = min(seq_len, MAX_TIME)
    batch = max(1, min(batch_size, MAX_SCORES // (layer.n_heads * time_ * time_)))
    dtype = torch.bfloat16 if bf16 else torch.float32
    q, k, v = (
        torch.randn(batch, time_, heads, layer.head_dim, dtype=dtype).transpose(1, 2).requires_grad_()
        for heads in (layer.n_heads, layer.n_kv_heads, layer.n_kv_heads)
    )
    by_document = getattr(getattr(model, "config", None), "document_attention", False)
    mask = document_mask(torch.zeros(batch, time_), dtype) if by_document else None
    grad = torch.randn_like(q)

    def run(kernel: AttentionKernel) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(
            attend(q, k, v, mask, mask is None and time_ > 1, layer.dropout, kernel), (q, k, v), grad
        )

    sdpa, explicit = _fastest(run(AttentionKernel.sdpa), run(AttentionKernel.explicit))
    kernel = AttentionKernel.explicit if sdpa / explicit > CLEARLY_FASTER else AttentionKernel.sdpa
    return kernel.value, sdpa / explicit


def _fixed_kernel(model: LanguageModel, otherwise: AttentionKernel | None) -> str | None:
    """Return the kernel that the model's settings name, else `otherwise`; None for a model without attention."""
    asked = getattr(getattr(model, "config", None), "attention", None)
    if asked is None:
        return None
    kernel = otherwise if asked is AttentionKernel.auto else asked
    return None if kernel is None else kernel.value


def _fastest(*runs: Callable[[], Any]) -> list[float]:
    """Return the least processor time in seconds of each of `runs`, taken in turns on one thread.

    One thread's own clock does not see other programs; on a busy machine threads that wait for each other would make
    any kernel look ten times slower than it is.
    """
    best = [float("inf")] * len(runs)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for repeat in range(REPEATS + 1):
            for index, run in enumerate(runs):
                start = time.thread_time()
                run()
                if repeat:  # the first is for warming up
                    best[index] = min(best[index], time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    return best


def _key(model: LanguageModel, batch_size: int, seq_len: int, precision: str, matmul_precision: str) -> str:
    """Name the machine, the shapes and what was asked: all that a choice depends on."""
    layer = next((m for m in model.modules() if isinstance(m, Attention)), None)
    shape = (model.d_model, batch_size, seq_len)
    if layer is not None:
        shape += (layer.n_heads, layer.n_kv_heads, layer.head_dim, layer.dropout > 0, _fixed_kernel(model, None))
        shape += (getattr(getattr(model, "config", None), "document_attention", False),)
    machine = (platform.node(), platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())
    return " ".join(map(str, (*machine, torch.__version__, precision, matmul_precision, *shape)))


def _recall(file: Path | None, key: str) -> NumericsChoice | None:
    if file is None or not file.is_file():
        return None
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return NumericsChoice(**known[key]) if key in known else None
    except (ValueError, TypeError, OSError) as error:
        log.warning("%s cannot be read (%s); measuring again", file, error)
        return None


def _remember(file: Path, key: str, choice: NumericsChoice) -> None:
    """Add a choice to `file`; a cache that cannot be written costs a measurement next time and no more."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(known | {key: asdict(choice)}, indent=1), encoding="utf-8")
        os.replace(temporary, file)
    except (ValueError, TypeError, OSError) as error:
        log.warning("the choice of numerics was not kept in %s (%s)", file, error)
