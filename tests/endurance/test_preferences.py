"""Preferences: killed and resumed a run ends as undisturbed, and two processes train as one.

With copies besides shards, an adapter, a loss of the chosen, and killed more often: pytest tests/endurance --long
"""

import json
import math

import pytest
import torch

from prospero.checkpoints.model_folder import describe_model, read_safetensors, save_model_folder
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.model.transformer import TransformerConfig
from tests.endurance.killing import Victim, after_rows, during_a_save, repeatable_metrics

pytestmark = pytest.mark.processes

STEPS = 16
SETTINGS = [
    "data=examples", "data.path=rows.jsonl", "rendering=preferences", "cleaning=none", "packing=pairs", "loss=dpo",
    "init_from=source", "model.document_attention=true", "optimizer=adamw", "optimizer.lr=0.003", "schedule=linear",
    "metrics=[loss,preference,reference_kl]", "monitor=val/preference/accuracy", "trainer.log_every_steps=1",
    "seq_len=48", "global_batch_size=8", "micro_batch_size=2", "trainer.val_every_steps=8", "trainer.num_threads=1",
    "callbacks=[checkpoints]", "callbacks.checkpoints.every_steps=5", f"max_steps={STEPS}",
]  # fmt: skip
TWO = ["trainer.accelerator=cpu", "trainer.devices=2"]
CASES = {"plain": [], "lora": ["adapter=lora"], "rpo": ["loss=[dpo,cross_entropy]", "regularizers=[z_loss]"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preferences")
    rows = [
        {"prompt": f"{a} + {b} = ", "chosen": f"{a + b}", "rejected": f"{a + b + 1}{'.' * (b % 4)}"}
        for a in range(20)
        for b in range(10)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    torch.manual_seed(1)
    config = TransformerConfig(n_layers=2, d_model=32, n_heads=2)
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    state = config.build(tokenizer.vocab_size, 64).state_dict()
    description = describe_model(config, vocab_size=tokenizer.vocab_size, max_seq_len=64)
    save_model_folder(folder / "source", state, tokenizer, description)
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
def test_killed_or_spread_it_ends_the_same(case, place, long_form):
    if case != "plain" and not long_form:
        pytest.skip("only in the long form: pytest tests/endurance --long")
    words = [*SETTINGS, *CASES[case]]
    calm, killed = (Victim(words, place, place / f"{case}_{kind}") for kind in ("calm", "killed"))
    calm.live_to_the_end()
    for moment in [during_a_save(after=8), *([after_rows(11), after_rows(13)] if long_form else [])]:
        assert killed.killed_when(moment)
    killed.live_to_the_end()
    rows = repeatable_metrics(calm.run_dir)
    assert repeatable_metrics(killed.run_dir) == rows and len(rows) == STEPS
    weights = "model/model.safetensors"
    assert (killed.run_dir / weights).read_bytes() == (calm.run_dir / weights).read_bytes()
    losses = [float(row["train/loss"]) for row in rows]
    if case != "rpo":
        assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
        assert float(rows[0]["train/preference/margin"]) == pytest.approx(0, abs=1e-6)
    least = 0.7 if case == "rpo" else 0.8  # of 18 pairs; beside a loss of the chosen text 16 steps teach 14 of them
    assert losses[-1] < losses[0] - 0.05 and float(rows[-1]["val/preference/accuracy"]) > least
    for strategy in ["fsdp", "ddp"] if long_form else []:
        spread = Victim([*words, f"trainer={strategy}", *TWO], place, place / f"{case}_{strategy}")
        spread.live_to_the_end()
        theirs = repeatable_metrics(spread.run_dir)
        for name in ("train/loss", "train/preference/margin", "val/loss", "val/reference_kl"):
            expected = [float(row[name]) for row in rows if row[name]]
            found = [float(row[name]) for row in theirs if row[name]]
            assert found == pytest.approx(expected, rel=1e-5, abs=2e-6), name
        ours = read_safetensors(spread.run_dir / weights)
        for key, value in read_safetensors(calm.run_dir / weights).items():
            torch.testing.assert_close(ours[key], value, rtol=1e-3, atol=2e-5)
