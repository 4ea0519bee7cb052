"""Real small runs: seven made sick on purpose, each named first, and ten healthy ones, of which nothing is said."""

import json
from pathlib import Path

import pytest
import torch
from tests.grids import grid

from prospero import compose, load_model, train
from prospero.checkpoints.model_folder import save_model_folder
from prospero.commands.doctor import doctor

pytestmark = pytest.mark.heavy

SMALL = [
    "data=stdlib_docs", "tokenizer=byte", "model=tiny", "seq_len=64", "global_batch_size=16", "max_steps=120",
    "trainer.log_every_steps=5", "trainer.val_every_steps=30", "trainer.val_sequences=64", "trainer.test_sequences=8",
    "trainer.accelerator=cpu", "trainer.watchdog_minutes=null", "callbacks=[checkpoints,throughput,vitals]",
    "plugins=[tests.commands.sick_parts]",
]  # fmt: skip

SICK = {
    "rate_too_high": ["optimizer.lr=2.0", "max_steps=40"],
    "rate_too_high of adamw": ["optimizer=adamw", "optimizer.lr=0.24"],
    "rate_too_low": ["optimizer.lr=0.0002"],
    "rate_too_low of adamw": ["optimizer=adamw", "optimizer.lr=2.4e-5"],
    "data_bound": ["augmentation=slow", "max_steps=12", "trainer.log_every_steps=3"],
    "overfit": ["optimizer=adamw", "train_sequences=16", "max_steps=240"],
    "spike": ["augmentation=garbage"],
    "batch_too_small": ["global_batch_size=1", "max_steps=1000", "trainer.val_every_steps=500"],
}
HEALTHY = {
    "tiny": [],
    "adamw": ["optimizer=adamw"],
    "lion": ["optimizer=lion", "schedule=cosine"],
    "soap": ["optimizer=soap"],
    "sgd": ["optimizer=sgd"],
    "schedule_free": ["optimizer=schedule_free", "schedule=constant"],
    "lstm_tiny": ["model=lstm_tiny", "optimizer=adamw"],
    "gru_tiny": ["model=gru_tiny"],
    "gpt2": ["model=gpt2", "model.n_layers=2", "model.d_model=64", "model.n_heads=2", "optimizer=adamw"],
    "best_fit": ["packing=best_fit", "schedule=inverse_sqrt", "micro_batch_size=4"],
}


ALWAYS = ("rate_too_high", "data_bound")
"""What no text matters for: these read a small one that is prepared at once."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("doctor")


def examined(outputs: Path, name: str, words: list[str]) -> dict:
    """Train and examine; return what doctor.json holds."""
    folder = outputs / "train" / name.replace(" ", "_")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert train(compose("train", [*SMALL, *words, f"outputs_dir={outputs}", f"run_dir={folder}"])) == 0
        assert doctor(compose("doctor", [f"run={folder}", f"outputs_dir={outputs}"])) == 0
    finally:
        torch.set_num_threads(threads)
    return json.loads((folder / "doctor.json").read_text())


@pytest.mark.parametrize("name", grid(SICK, lambda name: name in ALWAYS))
def test_a_sick_run_is_named_first(name, outputs):
    text = outputs / "text.txt"
    text.write_text("".join(f"Line {n} says that {n} and {n} is {2 * n}.\n" for n in range(3000)))
    other = ["data=files", f"data.path={text}"] if name in ALWAYS else []
    found = examined(outputs, name, [*SICK[name], *other])
    assert found["findings"][0]["rule"] == name.partition(" ")[0]
    assert found["findings"][0]["severity"] in ("problem", "warning")


@pytest.mark.deep
def test_dead_units_are_named_first(outputs):
    """A model whose units are switched off by their biases, trained on."""
    relu = ["model.activation=relu", "model.bias=true", "max_steps=3"]
    examined(outputs, "before", relu)
    model, tokenizer, config = load_model(outputs / "train" / "before")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, tensor in state.items():
        if name.endswith("feed_forward.up.bias"):
            tensor[: len(tensor) * 6 // 10] = -50.0
    save_model_folder(outputs / "off", state, tokenizer, config["model"], facts=config["facts"])
    found = examined(outputs, "dead", ["model.activation=relu", "model.bias=true", f"init_from={outputs / 'off'}"])
    assert found["findings"][0]["rule"] == "dead_units" and found["findings"][0]["number"] > 55


@pytest.mark.deep
@pytest.mark.parametrize("name", HEALTHY)
def test_of_a_healthy_run_nothing_is_said(name, outputs):
    found = examined(outputs, name, HEALTHY[name])
    assert [finding["rule"] for finding in found["findings"]] == []
