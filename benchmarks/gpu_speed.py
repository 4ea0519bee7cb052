"""Tokens a second, MFU and peak memory of the platform and of a plain torch loop, on the models of the recipes.

`python gpu_speed.py <loop> <size> <batch> <device>` is one loop, which `contest.py` drives. Both loops train the same
model on the same kind of batches in bf16 with the same optimiser and clipping. The plain one is what a careful author
writes: model and loss compiled as one graph, the vocabulary rounded up to a multiple of 64.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUTPUTS = HERE.parent / "outputs" / "benchmarks"
WARMUP_STEPS = 5
SPECIAL_TOKENS = 2
"""That tokenizer=char adds to the characters of the text: unknown and separator."""


@dataclass(frozen=True, slots=True)
class Size:
    """A model and the batch that is tried first on one device."""

    settings: tuple[str, ...]
    batch: int
    vocab_size: int = 50257


SIZES = {
    "124m": Size(("experiment=gpt2_124m",), 32),
    "350m": Size(("experiment=350m",), 16),
    "1.3b": Size(("experiment=1b",), 8),
    "tiny": Size(("model=tiny", "optimizer=adamw", "seq_len=64"), 4, 300),
}
"""Name -> size; `tiny` is for trying the benchmark where there is no GPU."""
DEFAULT_SIZES = ["124m", "350m", "1.3b"]


@dataclass(slots=True)
class Row:
    """A measured loop."""

    size: str
    loop: str
    parameters: int
    batch: int
    seq_len: int
    tokens_per_second: float | None
    """None when nothing fitted into memory."""
    mfu: float | None
    """Share of the device's peak; None when the peak is unknown."""
    peak_bytes: int | None
    note: str = ""


def corpus(vocab_size: int) -> Path:
    """Return a file of random characters with exactly `vocab_size` ids for tokenizer=char; it is written once.

    The speed does not depend on what the tokens mean, and no tokenizer has to be downloaded or trained.
    """
    path = OUTPUTS / f"random_{vocab_size}.txt"
    if not path.is_file():
        usable = [chr(code) for code in [*range(0x4E00, 0x9FFF), *range(0x20000, 0x2A6D0)]]
        alphabet = usable[: vocab_size - SPECIAL_TOKENS]
        path.parent.mkdir(parents=True, exist_ok=True)
        # Every character is in the training split: the text begins with all of them, and its tail is held out.
        text = "".join(alphabet) + "".join(random.Random(1).choices(alphabet, k=max(400_000, 4 * vocab_size)))
        path.write_text(text, encoding="utf-8")
    return path


def overrides(size: str, batch: int, device: str) -> list[str]:
    """Return the command line of the platform's run, which never ends by itself."""
    chosen = SIZES[size]
    machine = ["trainer=gpu"] if device == "cuda" else ["trainer=cpu", "trainer.compile=off"]
    return [
        *chosen.settings, "data=files", f"data.path={corpus(chosen.vocab_size)}", "cleaning=none", "dedup=none",
        "split=tail", "split.val_fraction=0.05", "split.test_fraction=0", "tokenizer=char", "schedule=constant",
        f"global_batch_size={batch}", "micro_batch_size=null", "max_tokens=null", "max_steps=1000000", *machine,
        "trainer.devices=1", "trainer.precision=bf16", "trainer.val_every_steps=0", f"outputs_dir={OUTPUTS}",
    ]  # fmt: skip


def composed(settings: list[str]) -> Any:
    """Return the typed settings of a run."""
    from prospero import compose

    return compose("train", settings)


def platform(size: str, batch: int, device: str) -> None:
    """A run of the platform by its own command line."""
    from prospero.cli import main

    sys.path.insert(0, str(HERE))
    own = ["plugins=[pace_callback]", "callbacks=[throughput,pace]", f"callbacks.pace.warmup_steps={WARMUP_STEPS}"]
    main("train", [*overrides(size, batch, device), *own])


def plain(size: str, batch: int, device: str) -> None:
    """The same model and optimiser in a loop of plain PyTorch."""
    from contest import Pace

    from prospero.data.prepare import prepare

    config = composed(overrides(size, batch, device))
    prepared = prepare(config)
    plain_loop(config, prepared.splits["train"], prepared.tokenizer.vocab_size, device, Pace(WARMUP_STEPS))


def plain_loop(config: Any, tokens: Any, vocab_size: int, device: str, pace: Callable[[], None]) -> None:
    """Train `config.model` on random windows of `tokens` without end; `pace` is called after each step."""
    import numpy as np
    import torch
    from torch.nn import functional as F

    torch.set_float32_matmul_precision("high")
    torch.manual_seed(1)
    with torch.device(device):
        # Rounded up by hand, as such loops do for the sake of the tensor cores.
        model = config.model.build(vocab_size=-(-vocab_size // 64) * 64, max_seq_len=config.seq_len)
    model.compute_dtype = torch.bfloat16

    def loss_of(inputs: Any, labels: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            logits = model(inputs).logits[..., :vocab_size]
        return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten())

    if config.trainer.compile_mode != "off":
        loss_of = torch.compile(loss_of)
    optimizer = config.optimizer.build(model)
    generator, length = np.random.default_rng(1), config.seq_len
    while True:
        starts = generator.integers(0, tokens.n_tokens - length - 1, config.global_batch_size)
        rows = np.stack([tokens.tokens(start, start + length + 1) for start in starts]).astype(np.int64)
        batch = torch.from_numpy(rows).to(device)
        loss_of(batch[:, :-1], batch[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        pace()


LOOPS = {"platform": platform, "plain": plain}


def command(loop: str, size: str, batch: int, device: str) -> list[str]:
    """Return the command that starts a loop in a process of its own."""
    return [sys.executable, str(HERE / "gpu_speed.py"), loop, size, str(batch), device]


def cost(size: str) -> tuple[int, int, int]:
    """Return (parameters, FLOPs a token, sequence length) of a size; the model is built without memory."""
    import torch

    from prospero.model.size import count_parameters, flops_per_token

    config = composed(overrides(size, 1, "cpu"))
    with torch.device("meta"):
        model = config.model.build(vocab_size=SIZES[size].vocab_size, max_seq_len=config.seq_len)
    return count_parameters(model).total, flops_per_token(model, config.seq_len), config.seq_len


def mfu(tokens_per_second: float, flops_per_token: int, peak_flops: float | None) -> float | None:
    """Return the share of the peak that the model's own products take; None when the peak is unknown."""
    return None if peak_flops is None else tokens_per_second * flops_per_token / peak_flops


def measure(loop: str, size: str, device: str, rounds: int, peak_flops: float | None) -> Row:
    """Measure one loop at the largest batch, of those halved from the size's first, that fits into memory."""
    from contest import Loop, interleave

    parameters, flops, seq_len = cost(size)
    batch = SIZES[size].batch
    while batch:
        run = Loop(loop, command(loop, size, batch, device))
        try:
            interleave([run], rounds)
        except SystemExit as error:
            if "out of memory" not in str(error).lower():
                return Row(size, loop, parameters, batch, seq_len, None, None, None, _last_line(str(error)))
            batch //= 2
            continue
        speed = batch * seq_len / run.median
        return Row(size, loop, parameters, batch, seq_len, speed, mfu(speed, flops, peak_flops), run.peak)
    return Row(size, loop, parameters, 1, seq_len, None, None, None, "does not fit into memory")


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    _, chosen_loop, chosen_size, chosen_batch, chosen_device = sys.argv
    LOOPS[chosen_loop](chosen_size, int(chosen_batch), chosen_device)
