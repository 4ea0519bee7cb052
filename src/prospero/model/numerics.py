"""How this machine computes best: which float32 products, which attention kernel. No clock has a say.

Two choices change the speed on CPU by up to a factor of two and more, and the result by rounding only. torch's
"highest" float32 product calls one library (MKL), "medium" another (oneDNN). The second is faster on AMD's processors
and slower on Intel's, and on some it computes in bfloat16; so its error is measured against float64 at the start, and
it is taken at float32's own error on processors that are not Intel's. Which attention kernel wins was measured once, by
shapes. The tables behind both rules are in docs/PERFORMANCE.md.

A third changes no result: glibc gives a freed tensor of many megabytes back to the system and asks for it again a
moment later, and the system clears every page of it anew, 150 thousand page faults a step at d_model 384.

So the same seed gives the same losses again on the same machine. A run keeps its choice in its own folder too, and goes
on with it when it is resumed on another machine of the same kind or after the rule has changed.
"""

import ctypes
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch.nn import functional as F

from prospero.log import log
from prospero.model.base import LanguageModel
from prospero.model.layers.attention import Attention, AttentionKernel

FLOAT32_ERROR = 2e-6
"""Relative error up to which a product counts as float32 (measured: 4e-7; bfloat16 has 3e-3)."""

EXPLICIT_UP_TO, EXPLICIT_UP_TO_WITH_DOCUMENTS = 512, 256
"""Length up to which explicit attention is the faster one in bfloat16, without and with bounds of documents."""

MAX_ROWS, MAX_WIDTH = 512, 1024
"""Bounds on the product whose error is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericsChoice:
    """What was chosen, and the measurements behind it."""

    matmul_precision: str
    """For `torch.set_float32_matmul_precision`."""
    matmul_error: float | None = None
    """Relative error of the chosen float32 product against float64; None where nothing was measured."""
    attention: str | None = None
    """Attention kernel: sdpa or explicit; None for a model without attention."""

    def summary(self) -> str:
        """Say in one line what was chosen and why."""
        parts = [f"float32 products: {self.matmul_precision}"]
        if self.matmul_error is not None:
            parts[0] += f" (relative error {self.matmul_error:.0e})"
        if self.attention is not None:
            parts.append(f"attention: {self.attention}")
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
) -> NumericsChoice:
    """Choose the product precision and the attention kernel for `model` and a batch of [batch_size, seq_len].

    What is set by hand (`matmul_precision` other than "auto", the model's `attention` other than auto) is kept.
    `precision` names the training precision. The choice in the run's file `remembered`, for the same machine and shape,
    is taken as it is; a new one is written there. Off the CPU: sdpa, and the precision as it is set.
    """
    key = _key(model, batch_size, seq_len, precision, matmul_precision)
    choice = _recall(remembered, key)
    if choice is not None:
        return choice
    error = None
    if matmul_precision != "auto":
        chosen = matmul_precision
    elif device != "cpu":
        chosen = torch.get_float32_matmul_precision()
    elif mkl_is_at_home():
        chosen = "highest"
    else:
        chosen, error = _float32_product(min(model.d_model, MAX_WIDTH), min(batch_size * seq_len, MAX_ROWS))
    kernel = attention_kernel(model, seq_len, "bf16" in precision) if device == "cpu" else AttentionKernel.sdpa
    choice = NumericsChoice(
        matmul_precision=chosen, matmul_error=error, attention=_fixed_kernel(model, otherwise=kernel)
    )
    if remembered is not None:
        _remember(remembered, key, choice)
    return choice


def attention_kernel(model: LanguageModel, seq_len: int, bf16: bool) -> AttentionKernel:
    """Return the kernel that is faster in training on a CPU, forward and backward, by benchmarks/attention.py.

    With dropout torch's own kernel is the slow general one. In bfloat16 it converts blocks back and forth, which costs
    more than it saves on short sequences. In float32 it is as fast or faster, most so with a mask.
    """
    layer = next((m for m in model.modules() if isinstance(m, Attention)), None)
    if layer is not None and layer.dropout > 0:
        return AttentionKernel.explicit
    longest = EXPLICIT_UP_TO_WITH_DOCUMENTS if model.reads_document_ids else EXPLICIT_UP_TO
    return AttentionKernel.explicit if bf16 and seq_len <= longest else AttentionKernel.sdpa


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


def mkl_is_at_home() -> bool:
    """Whether this is a processor of Intel's, whose library serves the "highest" products."""
    facts = Path("/proc/cpuinfo")
    return facts.is_file() and "GenuineIntel" in facts.read_text(encoding="utf-8", errors="replace")


def _float32_product(width: int, rows: int) -> tuple[str, float]:
    """Return "medium" where its products are as exact as float32's, else "highest", and the error of the choice."""
    before = torch.get_float32_matmul_precision()
    generator = torch.Generator().manual_seed(0)  # the run's random numbers stay untouched
    x, weight = (torch.randn(size, width, generator=generator) for size in (rows, 4 * width))
    exact = F.linear(x[:64].double(), weight.double())
    errors = {}
    try:
        for name in ("highest", "medium"):
            torch.set_float32_matmul_precision(name)
            errors[name] = ((F.linear(x, weight)[:64] - exact).norm() / exact.norm()).item()
    finally:
        torch.set_float32_matmul_precision(before)
    chosen = "medium" if errors["medium"] < FLOAT32_ERROR else "highest"
    return chosen, errors[chosen]


def _fixed_kernel(model: LanguageModel, otherwise: AttentionKernel | None) -> str | None:
    """Return the kernel that the model's settings name, else `otherwise`; None for a model without attention."""
    if model.attention_choice is None:
        return None
    asked = AttentionKernel(model.attention_choice)
    kernel = otherwise if asked is AttentionKernel.auto else asked
    return None if kernel is None else kernel.value


def _key(model: LanguageModel, batch_size: int, seq_len: int, precision: str, matmul_precision: str) -> str:
    """Name the machine, the shapes and what was asked: all that a choice depends on."""
    layer = next((m for m in model.modules() if isinstance(m, Attention)), None)
    shape = (model.d_model, batch_size, seq_len)
    if layer is not None:
        shape += (layer.n_heads, layer.n_kv_heads, layer.head_dim, layer.dropout > 0, _fixed_kernel(model, None))
        shape += (model.reads_document_ids,)
    machine = (platform.node(), platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())
    return " ".join(map(str, (*machine, torch.__version__, precision, matmul_precision, *shape)))


def _recall(file: Path | None, key: str) -> NumericsChoice | None:
    if file is None or not file.is_file():
        return None
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if key not in known:
            return None
        names = {field.name for field in fields(NumericsChoice)}  # earlier versions kept timings too
        return NumericsChoice(**{name: value for name, value in known[key].items() if name in names})
    except (ValueError, TypeError, OSError) as error:
        log.warning("%s cannot be read (%s); choosing again", file, error)
        return None


def _remember(file: Path, key: str, choice: NumericsChoice) -> None:
    """Add a choice to `file`; where it cannot be written, the choice is made again when the run is resumed."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(known | {key: asdict(choice)}, indent=1), encoding="utf-8")
        os.replace(temporary, file)
    except (ValueError, TypeError, OSError) as error:
        log.warning("the choice of numerics was not kept in %s (%s)", file, error)
