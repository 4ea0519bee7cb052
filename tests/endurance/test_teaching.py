"""Distillation and captions: killed and resumed a run ends as undisturbed. Only in the long form:

pytest tests/endurance --long
"""

import contextlib
import io
import os

import pytest
import torch

from prospero import compose
from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.commands.distill import distill
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.model.transformer import TransformerConfig
from prospero.runs.folder import RunFolder
from prospero.runs.usage import all_starts, total
from tests.endurance.killing import Victim, after_rows, during_a_save, repeatable_metrics

pytestmark = [pytest.mark.processes, pytest.mark.deep]

STEPS = 24
COMMON = [
    "optimizer=adamw", "optimizer.lr=0.005", "schedule=linear", "trainer.log_every_steps=1",
    "trainer.val_every_steps=8", "trainer.val_sequences=8", "trainer.test_sequences=8", "trainer.num_threads=1",
    "global_batch_size=8", "micro_batch_size=2", "callbacks=[checkpoints]", "callbacks.checkpoints.every_steps=5",
    "model=tiny", "model.d_model=32", "model.n_layers=2", "model.n_heads=2", f"max_steps={STEPS}",
]  # fmt: skip
TEXT = [
    "data=files", "data.path=text.txt", "split=tail", "dedup=none", "cleaning=none", "tokenizer=byte", "seq_len=48",
]  # fmt: skip
TEACHER = ["loss=distill", "loss.distill.teacher=teacher"]
CASES = {
    "live": [*COMMON, *TEXT, *TEACHER],
    "stored": [*COMMON, *TEXT, "loss=distill"],
    "captions": [
        *COMMON, "data=shapes", "data.pictures=400", "rendering=caption", "split=hash", "packing=padded", "seq_len=16",
        "tokenizer.vocab_size=320", "model.prefix.kind=image", "model.dropout=0.1",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teaching")
    (folder / "text.txt").write_text("".join(f"The {n}th line, and {n * n % 97} more.\n" for n in range(900)))
    torch.manual_seed(1)
    config = TransformerConfig(n_layers=2, d_model=32, n_heads=2)
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    state = config.build(tokenizer.vocab_size, 64).state_dict()
    state = {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in state.items()}
    description = describe_model(config, vocab_size=tokenizer.vocab_size, max_seq_len=64)
    save_model_folder(folder / "teacher", state, tokenizer, description)
    return folder


def stored(place, words):
    """Let the teacher speak beforehand, and return the words of a run that learns from that."""
    before = os.getcwd()
    os.chdir(place)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert distill(compose("distill", [*words, "loss.distill.teacher=teacher", "top_k=16"])) == 0
    finally:
        os.chdir(before)
    return [*words, said.getvalue().split()[-1]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_it_ends_the_same(case, place):
    words = stored(place, CASES[case]) if case == "stored" else CASES[case]
    calm, killed = (Victim(words, place, place / f"{case}_{kind}") for kind in ("calm", "killed"))
    calm.live_to_the_end()
    for moment in (during_a_save(after=8), after_rows(13), after_rows(19)):
        assert killed.killed_when(moment)
    killed.live_to_the_end()
    rows = repeatable_metrics(calm.run_dir)
    assert repeatable_metrics(killed.run_dir) == rows and len(rows) == STEPS
    weights = "model/model.safetensors"
    assert (killed.run_dir / weights).read_bytes() == (calm.run_dir / weights).read_bytes()
    used = [total(all_starts(RunFolder(run.run_dir))) for run in (calm, killed)]
    assert [run["starts"] for run in used] == [1, 4] and used[0]["machine_hours"] > 0
    losses = [float(row["train/loss"]) for row in rows]
    assert losses[-1] < losses[0]
