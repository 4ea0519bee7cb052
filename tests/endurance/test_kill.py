"""A run killed with -9 at random moments and started again by the same command ends as the run that nobody killed.

The long form, ten kills for every way to train: pytest tests/endurance --long
"""

import random
from pathlib import Path

import pytest

from tests.endurance.killing import Victim, after_rows, after_seconds, during_a_save, repeatable_metrics

pytestmark = pytest.mark.processes

STEPS, SHORT_STEPS = 120, 60
SETTINGS = [
    "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "model.n_layers=2", "model.d_model=48",
    "model.n_heads=2", "model.dropout=0.1", "seq_len=32", "global_batch_size=8",
    "micro_batch_size=2", "trainer.log_every_steps=1", "trainer.val_every_steps=20", "trainer.val_sequences=8",
    "trainer.num_threads=1",
    "trainer.test_sequences=8", "callbacks=[checkpoints,throughput,vitals]", "callbacks.checkpoints.every_steps=7",
    "callbacks.checkpoints.keep_last=2", "seed=7",
]  # fmt: skip
WAYS = {
    "one process": [],
    "ddp": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
    "fsdp": ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2"],
    "asynchronous saves": ["callbacks.checkpoints.asynchronous=true"],
}
SHORT_KILLS = {"one process": 2, "ddp": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("endurance")
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(3000)]
    (folder / "text.txt").write_text("".join(lines))
    return folder


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_killed_again_and_again_ends_the_same(way, place, long_form):
    if way not in SHORT_KILLS and not long_form:
        pytest.skip("only in the long form: pytest tests/endurance --long")
    name, steps = way.replace(" ", "_"), STEPS if long_form else SHORT_STEPS
    words = [*SETTINGS, *WAYS[way], f"max_steps={steps}"]
    calm, killed = (Victim(words, place, place / f"{name}_{kind}") for kind in ("calm", "killed"))
    calm.live_to_the_end()

    chance = random.Random(name)
    kills = 10 if long_form else SHORT_KILLS[way]
    for number in range(kills):
        least = steps * number // (kills + 1)  # rows that an earlier life may have written already
        if number == 0:
            moment = during_a_save(after=10 if way != "ddp" else 30)
        elif number == 1 and long_form:
            moment = after_seconds(chance.uniform(0.5, 5.0))  # imports, preparation, the first steps
        else:
            moment = after_rows(least + chance.randrange(1, steps // (kills + 1)))
        fresh = number == 0 and way == "one process"  # hashes text by a seed of its own, unlike the copies
        ended = f"{way} ended before kill {number}"
        assert killed.killed_when(moment, whole_group=number % 2 == 0, fresh=fresh), ended
    killed.live_to_the_end()

    assert repeatable_metrics(killed.run_dir) == repeatable_metrics(calm.run_dir)
    assert [row["step"] for row in repeatable_metrics(killed.run_dir)] == [str(n) for n in range(1, steps + 1)]
    for file in ("model/model.safetensors", "model/tokenizer.json"):
        assert (killed.run_dir / file).read_bytes() == (calm.run_dir / file).read_bytes()
    assert not list(Path(killed.run_dir / "checkpoints").glob(".step_*")), "the leavings of killed saves stayed"
