"""Fine-tuning on examples: killed and resumed it ends as undisturbed, and two processes train as one.

Two processes, noise on the embeddings, and more kills: pytest tests/endurance --long. (That two processes train as one
where sequences have unequal numbers of targets is tested in tests/training/test_parity.py always.)
"""

import json

import pytest
import torch

from prospero.checkpoints.model_folder import describe_model, read_safetensors, save_model_folder
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.model.transformer import TransformerConfig
from tests.endurance.killing import Victim, after_rows, during_a_save, repeatable_metrics

pytestmark = pytest.mark.processes

STEPS = 24
SETTINGS = [
    "data=examples", "data.path=rows.jsonl", "rendering=prompt_response", "cleaning=none", "packing=best_fit",
    "init_from=source", "model.document_attention=true", "optimizer=adamw", "optimizer.lr=0.01", "schedule=linear",
    "seq_len=48", "global_batch_size=8", "micro_batch_size=2", "trainer.log_every_steps=1", "trainer.val_every_steps=8",
    "trainer.num_threads=1", "callbacks=[checkpoints]", "callbacks.checkpoints.every_steps=5", f"max_steps={STEPS}",
]  # fmt: skip
TWO = ["trainer.accelerator=cpu", "trainer.devices=2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fine_tuning")
    rows = [{"prompt": f"{a} + {b} = ", "response": f"{a + b}{'.' * (b % 7)}"} for a in range(40) for b in range(20)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    torch.manual_seed(1)
    config, tokenizer = (
        TransformerConfig(n_layers=2, d_model=32, n_heads=2),
        ByteTokenizerConfig().build(lambda: iter(())),
    )
    state = config.build(tokenizer.vocab_size, 64).state_dict()
    description = describe_model(config, vocab_size=tokenizer.vocab_size, max_seq_len=64)
    save_model_folder(folder / "source", state, tokenizer, description)
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("noise", ["none", "neftune"])
def test_killed_or_spread_it_ends_the_same(noise, place, long_form):
    if not long_form:
        pytest.skip("only in the long form: pytest tests/endurance --long")
    words = [*SETTINGS, f"augmentation={noise}"]
    calm, killed = (Victim(words, place, place / f"{noise}_{kind}") for kind in ("calm", "killed"))
    calm.live_to_the_end()
    for moment in [during_a_save(after=8), *([after_rows(13), after_rows(19)] if long_form else [])]:
        assert killed.killed_when(moment)
    killed.live_to_the_end()
    rows = repeatable_metrics(calm.run_dir)
    assert repeatable_metrics(killed.run_dir) == rows and len(rows) == STEPS
    weights = "model/model.safetensors"
    assert (killed.run_dir / weights).read_bytes() == (calm.run_dir / weights).read_bytes()
    losses = [float(row["train/loss"]) for row in rows]
    assert losses[-1] < losses[0] - 1
    if noise != "none" or not long_form:
        return  # ranks draw noise of their own, as of dropout
    for strategy in ("ddp", "fsdp"):
        spread = Victim([*words, f"trainer={strategy}", *TWO], place, place / strategy)
        spread.live_to_the_end()
        theirs = repeatable_metrics(spread.run_dir)
        for name in ("train/loss", "val/loss", "test/loss"):
            expected = [float(row[name]) for row in rows if row[name]]
            found = [float(row[name]) for row in theirs if row[name]]
            assert found == pytest.approx(expected, rel=1e-5), (strategy, name)
        ours = read_safetensors(spread.run_dir / weights)
        for key, value in read_safetensors(calm.run_dir / weights).items():
            torch.testing.assert_close(ours[key], value, rtol=1e-3, atol=2e-5)
