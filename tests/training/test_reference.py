"""The frozen reference: asked once, found again, seen when damaged; what a run of pairs refuses, and packed = alone."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from prospero import compose
from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.commands.init_from import begin_from
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig
from prospero.objective.objective import Share
from prospero.training.assembly import RunParts, assemble
from prospero.training.session import open_session

pytestmark = pytest.mark.heavy

MODEL = TransformerConfig(n_layers=2, d_model=16, n_heads=2)
WORDS = [
    "data=examples", "data.path=rows.jsonl", "rendering=preferences", "packing=pairs", "loss=dpo", "init_from=source",
    "split=hash", "split.val_fraction=0.2", "model.document_attention=true", "metrics=[loss,preference,reference_kl]",
    "monitor=val/preference/accuracy", "seq_len=32", "global_batch_size=8", "micro_batch_size=4", "max_steps=3",
    "trainer.accelerator=cpu", "callbacks=[]", "logger=[]",
]  # fmt: skip


def write_source(folder: Path, model: TransformerConfig | LSTMConfig = MODEL) -> None:
    torch.manual_seed(1)
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    state = model.build(tokenizer.vocab_size, 48).state_dict()
    description = describe_model(model, vocab_size=tokenizer.vocab_size, max_seq_len=48)
    save_model_folder(folder, state, tokenizer, description)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{n} + 1 = ", "chosen": f"{n + 1}", "rejected": f"{n}{'.' * (n % 3)}"} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_source(tmp_path / "source")
    return tmp_path


def assembled(name: str, *more: str) -> RunParts:
    """Put a run together as `train` does, and leave it before its first step."""
    config, source = begin_from(compose("train", [*WORDS, f"run_dir=runs/{name}", *more]))
    with open_session(config, source) as session:
        return assemble(session)


def numbers(run: RunParts) -> dict[str, np.ndarray]:
    return {split: run.data.facts_of(split)["reference"] for split in run.prepared.splits}


def test_at_the_start_the_loss_is_ln_2_and_every_batch_knows_its_reference(place):
    run = assembled("a")
    batch = next(iter(run.data.train_dataloader()))
    assert batch.facts["reference"].shape == (4, 2) and batch.sequences == 8
    result = run.module.objective(run.module.model.eval(), batch, Share())
    assert result.total.item() == pytest.approx(math.log(2) * 4 / 8, abs=1e-6)
    for loader in (run.data.val_dataloader(), run.data.test_dataloader()):
        assert torch.isfinite(next(iter(loader)).facts["reference"]).all()


def test_it_is_asked_once_and_found_again_whatever_the_loss(place, capsys):
    first = assembled("a")
    assert capsys.readouterr().err.count("40 pairs asked in") == 1
    again = assembled("b", "loss.dpo.beta=0.7", "adapter=lora")
    said = capsys.readouterr().err
    assert "pairs asked in" not in said and said.count("log-probabilities found in") == 1
    for split, rows in numbers(first).items():
        assert np.array_equal(rows, numbers(again)[split]) and np.isfinite(rows).all()
    assembled("c", "seq_len=40")
    assert "40 pairs asked in" in capsys.readouterr().err, "pairs that are laid out otherwise are asked anew"


def test_with_an_adapter_the_reference_is_the_model_without_it(place):
    adapted = numbers(assembled("a", "adapter=lora"))
    shutil.rmtree("outputs/references")
    for split, rows in numbers(assembled("b")).items():
        assert np.array_equal(adapted[split], rows)


@pytest.mark.parametrize("harm", ["cut", "changed", "receipt"])
def test_numbers_that_are_damaged_are_seen_kept_and_computed_again(place, capsys, harm):
    first = numbers(assembled("a"))
    (folder,) = [path for path in Path("outputs/references").iterdir() if path.is_dir()]
    if harm == "receipt":
        (folder / "reference.json").write_text("{")
    else:
        content = (folder / "val.npy").read_bytes()
        (folder / "val.npy").write_bytes(content[:-8] if harm == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    again = numbers(assembled("b"))
    assert capsys.readouterr().err.count("is damaged") == 1
    for split, rows in first.items():
        assert np.array_equal(again[split], rows)
    kept = [path for path in Path("outputs/references").iterdir() if path.is_dir()]
    assert len(kept) == 2, "what was damaged is put aside, not deleted"


def test_packed_is_alone(place):
    """Each answer has the log-probability that it has in a sequence of its own."""
    run = assembled("a")
    model, packing = run.module.model.eval(), run.data.packing_of("val")
    for row in range(len(packing)):
        batch = {name: torch.from_numpy(array) for name, array in packing.read(np.array([row])).items()}
        for half in (0, 1):
            mine = batch["document_ids"][0] == half
            ids, labels = batch["input_ids"][:, mine], batch["labels"][0, mine]
            with torch.no_grad():
                log_p = model(ids, document_ids=torch.zeros_like(ids), logits=True).logits[0].log_softmax(-1)
            answer = labels >= 0
            alone = log_p[answer].gather(-1, labels[answer, None]).sum().item()
            assert numbers(run)["val"][row, half] == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["init_from=null", "model=tiny"], "give init_from="),
        (["rendering=prompt_response", "rendering.response={chosen}"], "choose rendering=preferences"),
        (["packing=best_fit"], "packing=best_fit parts them"),
        (["loss=cross_entropy", "metrics=default", "monitor=val/loss"], "would learn the rejected answers"),
        (["loss=cross_entropy"], r"metrics=\[preference\] measures pairs"),
        (["augmentation=token_noise"], "augmentation=none"),
        (["model.document_attention=false"], "model.document_attention=true"),
        (["init_from=recurrent", "~model.document_attention"], "recurrent models"),
        (["seq_len=3"], "none of the .* pairs of the train split fits seq_len=3"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(place, changes, said):
    write_source(place / "recurrent", LSTMConfig(n_layers=1, d_model=8))
    taken = [change for change in changes if not change.startswith("~")]
    dropped = {change.removeprefix("~") for change in changes if change.startswith("~")}
    words = [word for word in WORDS if word.partition("=")[0] not in {c.partition("=")[0] for c in taken} | dropped]
    words = [word for word in words if not (taken[0] == "init_from=null" and word.startswith("model."))]
    with pytest.raises(Exception, match=said) as error:
        config, source = begin_from(compose("train", [*words, *taken, "run_dir=runs/a"]))
        with open_session(config, source) as session:
            assemble(session)
    assert "\n" not in str(error.value) and not Path("runs").exists()
    assert isinstance(error.value, ConfigError) or said.startswith("none of")
