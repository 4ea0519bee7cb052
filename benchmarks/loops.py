"""The training loops that benchmarks compare: `python loops.py <name> <precision> <layout> <vocabulary>` starts one.

All train d_model 384, 6 layers, 6 heads on batches of 8 x 256 tokens of prepared text with fused AdamW and clipping.
"""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUTPUTS = HERE.parent / "outputs" / "benchmarks"
WARMUP_STEPS = 5
BATCH, LENGTH, LR = 8, 256, 3e-4
SHAPE = {"n_layers": 6, "d_model": 384, "n_heads": 6}
LAYOUTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {"norm": "layer", "position": "learned", "activation": "gelu", "bias": True, "tie_embeddings": True},
}


def overrides(precision: str, layout: str, vocab_size: int) -> list[str]:
    """Return the command line of the platform's run."""
    model = [f"model.{key}={str(value).lower()}" for key, value in {**SHAPE, **LAYOUTS[layout]}.items()]
    return [
        "data=stdlib", f"tokenizer.vocab_size={vocab_size}", f"outputs_dir={OUTPUTS}", f"seq_len={LENGTH}",
        f"global_batch_size={BATCH}", "model=base", *model, f"model.tie_embeddings={str(layout == 'gpt2').lower()}",
        "optimizer=adamw", f"optimizer.lr={LR}", "schedule=constant", "max_steps=1000000",
        f"trainer.precision={precision}", "trainer.accelerator=cpu", "trainer.val_every_steps=0",
    ]  # fmt: skip


def platform(precision: str, layout: str, vocab_size: int, *changes: str) -> None:
    """A run of the platform with its default callbacks, by its own command line."""
    from prospero.cli import main

    sys.path.insert(0, str(HERE))
    own = ["plugins=[pace_callback]", "callbacks=[default,pace]", f"callbacks.pace.warmup_steps={WARMUP_STEPS}"]
    main("train", [*overrides(precision, layout, vocab_size), *own, *changes])


def unguarded(precision: str, layout: str, vocab_size: int) -> None:
    """The same run with nobody watching loss, gradient and progress."""
    platform(precision, layout, vocab_size, "trainer.guards.enabled=false", "trainer.watchdog_minutes=null")


def saving(precision: str, layout: str, vocab_size: int, *changes: str) -> None:
    """The same run with a checkpoint at every fourth step."""
    rhythm = ["callbacks.checkpoints.every_steps=4", "callbacks.checkpoints.every_minutes=null"]
    platform(precision, layout, vocab_size, *rhythm, *changes)


def saving_beside(precision: str, layout: str, vocab_size: int) -> None:
    """The same, written by a thread."""
    saving(precision, layout, vocab_size, "callbacks.checkpoints.asynchronous=true")


def compiled_blocks(precision: str, layout: str, vocab_size: int) -> None:
    """The same run, its blocks compiled."""
    platform(precision, layout, vocab_size, "trainer.compile=blocks")


def compiled(precision: str, layout: str, vocab_size: int) -> None:
    """The same run, model and loss compiled as one graph."""
    platform(precision, layout, vocab_size, "trainer.compile=whole")


def composed(precision: str, layout: str, vocab_size: int) -> Any:
    """Return the typed settings of the platform's run."""
    from prospero import compose

    return compose("train", overrides(precision, layout, vocab_size))


def bare(precision: str, layout: str, vocab_size: int, *, tuned: bool = True) -> None:
    """The same model, optimiser and batches in a loop of plain PyTorch; `tuned` computes as the platform chooses to."""
    import numpy as np
    import torch
    from contest import Pace
    from torch.nn import functional as F

    from prospero.data.prepare import prepare
    from prospero.model.numerics import apply_numerics, measure_numerics

    config = composed(precision, layout, vocab_size)
    prepared = prepare(config)
    torch.manual_seed(1)
    model = config.model.build(vocab_size=vocab_size, max_seq_len=LENGTH)
    if tuned:
        apply_numerics(model, measure_numerics(model, batch_size=BATCH, seq_len=LENGTH, precision=precision))
    optimizer = config.optimizer.build(model)
    tokens, generator, pace = prepared.splits["train"], np.random.default_rng(1), Pace(WARMUP_STEPS)
    while True:
        starts = generator.integers(0, tokens.n_tokens - LENGTH - 1, BATCH)
        rows = np.stack([tokens.tokens(start, start + LENGTH + 1) for start in starts]).astype(np.int64)
        batch = torch.from_numpy(rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(batch[:, :-1]).logits
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        pace()


def plain(precision: str, layout: str, vocab_size: int) -> None:
    """The bare loop with torch's own choices of product precision and attention kernel."""
    bare(precision, layout, vocab_size, tuned=False)


def hf_trainer(precision: str, layout: str, vocab_size: int) -> None:
    """Hugging Face's Trainer on its GPT-2 class, or its Llama class."""
    import numpy as np
    import torch
    from contest import Pace
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from prospero.data.prepare import prepare

    tokens = prepare(composed(precision, layout, vocab_size)).splits["train"]
    count = (tokens.n_tokens - 1) // LENGTH

    class Windows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> dict[str, Any]:
            ids = torch.from_numpy(tokens.tokens(index * LENGTH, (index + 1) * LENGTH).astype(np.int64))
            return {"input_ids": ids, "labels": ids}

    if layout == "gpt2":
        sizes = GPT2Config(
            vocab_size=vocab_size, n_positions=LENGTH, n_embd=384, n_layer=6, n_head=6,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )  # fmt: skip
        model: Any = GPT2LMHeadModel(sizes)
    else:
        llama = LlamaConfig(
            vocab_size=vocab_size, hidden_size=384, intermediate_size=1024, num_hidden_layers=6,
            num_attention_heads=6, max_position_embeddings=LENGTH,
        )  # fmt: skip
        model = LlamaForCausalLM(llama)
    pace = Pace(WARMUP_STEPS)

    class PaceCallback(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            pace()

    arguments = TrainingArguments(
        output_dir=str(OUTPUTS / "hf"), per_device_train_batch_size=BATCH, max_steps=1_000_000, learning_rate=LR,
        lr_scheduler_type="constant", max_grad_norm=1.0, bf16=precision == "bf16", use_cpu=True, report_to=[],
        save_strategy="no", logging_steps=10, disable_tqdm=True, dataloader_num_workers=0,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=Windows(), callbacks=[PaceCallback()]).train()


LOOPS = {
    "platform": platform, "unguarded": unguarded, "saving": saving, "saving_beside": saving_beside,
    "compiled_blocks": compiled_blocks, "compiled": compiled, "bare": bare, "plain": plain, "hf_trainer": hf_trainer,
}  # fmt: skip


def command(name: str, precision: str, layout: str, vocab_size: int) -> list[str]:
    """Return the command that starts a loop in a process of its own."""
    return [sys.executable, str(HERE / "loops.py"), name, precision, layout, str(vocab_size)]


if __name__ == "__main__":
    _, chosen, given_precision, given_layout, given_vocab = sys.argv
    LOOPS[chosen](given_precision, given_layout, int(given_vocab))
