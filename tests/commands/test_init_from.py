"""`init_from`: what a run takes from its source, what it refuses, and a run that goes on without the source."""

import csv
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import torch
from tests import programs

from prospero import compose
from prospero.checkpoints.model_folder import describe_model, load_model, save_model_folder
from prospero.checkpoints.source import Source
from prospero.commands.export import export
from prospero.commands.init_from import begin_from
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.pretrained import PretrainedTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.interop.settings import ExportConfig
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig

ROOT = Path(__file__).parents[2]
MODEL = TransformerConfig(n_layers=1, d_model=16, n_heads=2)
VOCAB, SEQ_LEN = 257, 32


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write_source(tmp_path / "source")
    return tmp_path


def write_source(folder):
    torch.manual_seed(1)
    description = describe_model(MODEL, vocab_size=VOCAB, max_seq_len=SEQ_LEN)
    state = MODEL.build(VOCAB, SEQ_LEN).state_dict()
    save_model_folder(folder, state, ByteTokenizerConfig().build(lambda: iter(())), description)


@pytest.fixture
def config(place):
    return compose("train", ["init_from=source", "seq_len=32", "outputs_dir=out"])


@pytest.mark.heavy
def test_architecture_and_tokenizer_come_from_the_source(config):
    taken, source = begin_from(replace(config, model={"dropout": 0.25}))
    assert taken.model == replace(MODEL, dropout=0.25)
    assert source.vocab_size == VOCAB and source.path == "source"
    assert taken.tokenizer.path == str(Path("out", "tokenizers", source.tokenizer[:16]))
    assert taken.tokenizer.build().fingerprint() == source.tokenizer
    again, _ = begin_from(replace(config, model=MODEL, tokenizer=ByteTokenizerConfig()))
    assert again.model == MODEL and isinstance(again.tokenizer, ByteTokenizerConfig)


def test_without_it_nothing_changes():
    config = compose("train", ["model=tiny"])
    assert begin_from(config) == (config, None)


def test_a_preset_that_goes_on_from_a_model_says_what_is_missing():
    config = compose("train", ["model=tiny", "init.required=true"])
    with pytest.raises(ConfigError, match=r"goes on from a model, and init_from= is not given: init_from=last takes"):
        begin_from(config)


@pytest.mark.heavy
def test_what_the_source_was_trained_on_is_remembered_through_a_chain(place):
    tokenizer, state = ByteTokenizerConfig().build(lambda: iter(())), MODEL.build(VOCAB, SEQ_LEN).state_dict()
    description = describe_model(MODEL, vocab_size=VOCAB, max_seq_len=SEQ_LEN)
    before = {"init_from": {"trained_on": ["a", None]}}
    earlier = {"init_from": {"given": "somewhere"}}  # of a version that did not say it
    for name, facts, known in (("first", {}, ["x"]), ("next", before, ["a", None, "x"]), ("old", earlier, [None, "x"])):
        save_model_folder(place / name, state, tokenizer, description, facts={**facts, "data_fingerprint": "x"})
        assert (
            begin_from(compose("train", [f"init_from={name}", "seq_len=32", "outputs_dir=out"]))[1].trained_on == known
        )
    plain = Source.open("source", place / "source").plain()
    assert plain["trained_on"] == [None]
    del plain["trained_on"]
    assert Source.from_plain(plain, place).trained_on == [None]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"n_layers": 3}}, "model.n_layers=3 contradicts init_from=source, whose weights have n_layers=1"),
        ({"model": LSTMConfig()}, "model is a lstm, and init_from=source holds a transformer; leave model= out"),
        ({"model": {"d_embedding": 3}}, "has no setting 'd_embedding'"),
        ({"seq_len": 33}, "seq_len=33 is more than the 32 tokens that source reads at once; give seq_len=32 or less"),
        ({"tokenizer": {"vocab_size": 300}}, "tokenizer.vocab_size=300 contradicts init_from=source"),
        ({"init_from": "sauce"}, "init_from=sauce: There is no run 'sauce'.* the hub did not give it"),
        ({"init_from": "./sauce"}, "There is no run './sauce'"),
        ({"init_from": "file"}, "init_from=file is a file"),
    ],
)
def test_what_contradicts_the_source_or_is_none_is_refused(config, place, changes, said):
    (place / "file").write_text("")
    with pytest.raises(ConfigError, match=said):
        begin_from(replace(config, **changes))
    assert not (place / "out").exists()


def test_a_folder_without_a_model_is_refused(config, place):
    (place / "empty").mkdir()
    with pytest.raises(DataError, match="init_from=empty holds no model"):
        begin_from(replace(config, init_from="empty"))


def test_a_tokenizer_that_adds_tokens_is_taken_when_rows_may_be_added(config, place):
    inner = tokenizers.Tokenizer.from_file(str(place / "source" / "tokenizer.json"))
    inner.add_tokens(["longword"])
    inner.save(str(place / "more.json"))
    more = PretrainedTokenizerConfig(path=str(place / "more.json"))
    with pytest.raises(ConfigError, match=r"another one than that of init_from=source.* init\.resize_vocab=true"):
        begin_from(replace(config, tokenizer=more))
    grown = replace(config, tokenizer=more, init=replace(config.init, resize_vocab=True))
    assert begin_from(grown)[0].tokenizer == more

    plain = json.loads((place / "more.json").read_text())
    vocabulary = plain["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    (place / "other.json").write_text(json.dumps(plain))
    other = PretrainedTokenizerConfig(path=str(place / "other.json"))
    with pytest.raises(ConfigError, match=r"adds tokens, and the tokenizer given has '[AB]' as"):
        begin_from(replace(grown, tokenizer=other))


def test_a_hugging_face_folder_is_imported_once(config, place):
    export(ExportConfig(run="source", out="hf"))
    taken, source = begin_from(replace(config, init_from="hf", model={}))
    assert Path(source.path).parent == Path("out", "models") and source.given == "hf"
    assert taken.model.d_model == MODEL.d_model and taken.tokenizer.build().encode("hi") == [104, 105]
    before = (Path(source.path) / "manifest.json").stat().st_mtime_ns
    assert begin_from(replace(config, init_from="hf"))[1] == source
    assert (Path(source.path) / "manifest.json").stat().st_mtime_ns == before
    (place / "bare").mkdir()
    (place / "bare" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(DataError, match="bare"):
        begin_from(replace(config, init_from="bare"))


SETTINGS = [
    "data=files", "data.path=text.txt", "split=tail", "dedup=none", "cleaning=none", "callbacks=[checkpoints]",
    "schedule=constant", "optimizer=adamw", "trainer.accelerator=cpu", "trainer.precision=float32", "seq_len=32",
    "global_batch_size=4", "trainer.log_every_steps=1", "trainer.val_sequences=8",
    "trainer.test_sequences=8", "init_from=source",
    "adapter=lora", "adapter.rank=2",
]  # fmt: skip


def program(*words, folder):
    command = [sys.executable, str(ROOT / "train.py"), *SETTINGS, *words]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROSPERO_")}
    done = programs.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def losses(run):
    with open(run / "metrics.csv", newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a source and a run of four steps that began there."""
    folder = tmp_path_factory.mktemp("init_from")
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(1000)]
    (folder / "text.txt").write_text("".join(lines))
    write_source(folder / "source")
    return folder, program("run_dir=a", "max_steps=4", folder=folder)


@pytest.mark.processes
def test_a_run_by_an_adapter_leaves_the_adapter_and_a_folded_model(trained):
    folder, said = trained
    assert "weights: begin as those of source (transformer, " in said and "of them are trained" in said
    model, _, config = load_model(folder / "a")
    base, _, _ = load_model(folder / "source")
    assert config["facts"]["init_from"]["given"] == "source" and "adapter" not in config["model"]
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, base.state_dict()[name])]
    assert {name.split(".")[0] for name in changed} == {"blocks"} and len(changed) == 7
    assert sorted(path.name for path in (folder / "a" / "adapter").iterdir()) == [
        "adapter.safetensors", "config.json", "manifest.json",
    ]  # fmt: skip


@pytest.mark.processes
def test_two_processes_that_share_the_weights_train_the_same(trained):
    folder, _ = trained
    program("run_dir=two", "max_steps=4", "trainer.strategy=fsdp", "trainer.devices=2", folder=folder)
    one, two = losses(folder / "a"), losses(folder / "two")
    assert len(one) == 4 and two == pytest.approx(one, rel=1e-5)


@pytest.mark.processes
def test_it_goes_on_bit_for_bit_without_its_source(trained):
    folder, _ = trained
    program("run_dir=b", "max_steps=2", folder=folder)
    shutil.move(folder / "source", folder / "elsewhere")
    try:
        program("run_dir=b", "max_steps=4", "resume=auto", folder=folder)
    finally:
        shutil.move(folder / "elsewhere", folder / "source")
    saved = [next((folder / name / "checkpoints" / "step_00000004").glob("*.safetensors")) for name in "ab"]
    assert saved[0].read_bytes() == saved[1].read_bytes()
