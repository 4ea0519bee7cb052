"""Model folders and checkpoints: what goes in comes out, and damage is told in one line."""

import random
from pathlib import Path

import pytest
import torch

from prospero.checkpoints.manifest import verify_folder
from prospero.checkpoints.model_folder import (
    build_model,
    describe_model,
    load_model,
    read_safetensors,
    save_model_folder,
)
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import DataError
from prospero.model.transformer import Position, TransformerConfig
from prospero.plain import from_plain, plain
from prospero.registry import PARTS
from tests.checkpoints import stored
from tests.checkpoints.stored import SEQ_LEN, VOCAB, TwoNamesConfig


@pytest.fixture
def two_names(monkeypatch):
    monkeypatch.setitem(PARTS["model"], "two_names", stored.TWO_NAMES)


@pytest.fixture
def folder(tmp_path, two_names) -> Path:
    torch.manual_seed(0)
    config = TwoNamesConfig()
    model = config.build(VOCAB, SEQ_LEN)
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    description = describe_model(config, vocab_size=VOCAB, max_seq_len=SEQ_LEN)
    return save_model_folder(tmp_path / "model", model.state_dict(), tokenizer, description, facts={"step": 3})


@pytest.fixture
def run_dir(tmp_path) -> Path:
    stored.write(tmp_path, 5, {"val/loss": 1.0})
    stored.write(tmp_path, 6, {"val/loss": 2.0})
    return tmp_path


def test_a_model_folder_gives_the_same_logits_tied_weights_and_tokenizer(folder):
    torch.manual_seed(0)
    original = TwoNamesConfig().build(VOCAB, SEQ_LEN).eval()
    model, tokenizer, config = load_model(folder)
    ids = torch.arange(SEQ_LEN)[None]
    assert torch.equal(model(ids).logits, original(ids).logits)
    assert model.head.weight is model.embedding.weight
    assert tokenizer is not None and tokenizer.decode(tokenizer.encode("häh")) == "häh"
    assert config["facts"] == {"step": 3}
    assert not model.training


def test_settings_survive_as_plain_values():
    config = TransformerConfig(n_layers=1, d_model=16, n_heads=2, position=Position.learned)
    values = plain(config)
    assert values["position"] == "learned"
    assert from_plain(TransformerConfig, values) == config
    description = describe_model(config, vocab_size=32, max_seq_len=8)
    assert description["name"] == "transformer"
    assert build_model(description).vocab_size == 32


def test_a_checkpoint_and_a_run_folder_load_without_a_model_folder(run_dir):
    model, tokenizer, config = load_model(run_dir / "checkpoints" / "step_00000006")
    best, _, _ = load_model(run_dir)
    assert tokenizer is None
    assert config["facts"]["step"] == 6
    assert config["facts"]["config"] == {"seed": 3}
    for found, step in ((model, 6), (best, 5)):
        assert all(torch.equal(tensor, stored.weights(step)[name]) for name, tensor in found.state_dict().items())
    stored.save_tokenizer(run_dir)
    assert load_model(run_dir)[1].decode([104, 105]) == "hi"


@pytest.mark.processes
def test_loading_needs_no_lightning(folder):
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['lightning'] = None; sys.path.insert(0, '.')\n"
        "from prospero.checkpoints.model_folder import read_safetensors, build_model, describe_model\n"
        "from prospero.model.transformer import TransformerConfig as T\n"
        f"read_safetensors(__import__('pathlib').Path({str(folder / 'model.safetensors')!r}))\n"
        "build_model(describe_model(T(n_layers=1, d_model=16, n_heads=2), vocab_size=8, max_seq_len=4))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_every_flipped_bit_and_every_cut_is_found(run_dir, folder, kind):
    place = run_dir / "checkpoints" / "step_00000006" if kind == "checkpoint" else folder
    files = sorted(place.iterdir())
    assert {"manifest.json"} < {path.name for path in files}
    sizes = [path.stat().st_size for path in files]
    chance = random.Random(5)
    verify_folder(place)
    missed = []
    for _ in range(1000):
        path = chance.choices(files, weights=sizes)[0]
        bit = chance.randrange(8 * path.stat().st_size)
        stored.flip(path, bit)
        missed += [] if refused_folder(place) else [(path.name, bit)]
        stored.flip(path, bit)
    manifest = place / "manifest.json"
    for bit in range(0, 8 * manifest.stat().st_size, 7):
        stored.flip(manifest, bit)
        missed += [] if refused_folder(place) else [("manifest.json", bit)]
        stored.flip(manifest, bit)
    for path in files:
        content = path.read_bytes()
        for size in {0, 1, len(content) // 2, len(content) - 1}:
            path.write_bytes(content[:size])
            missed += [] if refused_folder(place) else [(path.name, f"cut to {size}")]
        path.unlink()
        missed += [] if refused_folder(place) else [(path.name, "missing")]
        path.write_bytes(content)
    verify_folder(place)
    assert missed == []


def refused_folder(place: Path) -> bool:
    try:
        verify_folder(place)
    except DataError as error:
        return "\n" not in str(error)
    return False


def test_missing_and_damaged_files_are_one_line(folder, tmp_path):
    def refused(path, message):
        with pytest.raises(DataError, match=message) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "nowhere", ".*nowhere does not exist; give a run folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no model")
    (tmp_path / "x").write_bytes(b"no checkpoint")
    refused(tmp_path / "x", "x is a file; give a run folder")
    (tmp_path / "step_00000001").mkdir()
    refused(tmp_path / "step_00000001", "there is no .*manifest.json, so .* cannot be trusted")
    tensors = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(tensors[:-10])
    refused(folder, "model.safetensors is damaged: it has")
    (folder / "manifest.json").unlink()
    refused(folder, "model.safetensors is damaged")
    (folder / "model.safetensors").write_bytes(tensors)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"width"', '"widht"'))
    refused(folder, "has no setting 'widht'. Did you mean 'width'?")
    (folder / "config.json").write_text(text.replace("two_names", "two_namse"))
    refused(folder, "there is no model 'two_namse'. Did you mean 'two_names'?")
    (folder / "config.json").write_text(text[:30])
    refused(folder, "config.json is damaged")


def test_an_average_stands_for_every_name_of_a_tied_weight(tmp_path, two_names):
    torch.manual_seed(0)
    last, average = (TwoNamesConfig().build(VOCAB, SEQ_LEN) for _ in range(2))
    tree = {
        "state_dict": {f"model.{name}": tensor for name, tensor in last.state_dict().items()},
        "evaluation_weights": {name: p.detach() for name, p in average.named_parameters()},
        "prospero": {"model": describe_model(TwoNamesConfig(), vocab_size=VOCAB, max_seq_len=SEQ_LEN)},
    }
    assert len(tree["state_dict"]) == 2 and len(tree["evaluation_weights"]) == 1
    folder = stored.write_folder(tmp_path / "step_00000001", tree)
    for raw, expected in ((False, average), (True, last)):
        model, _, _ = load_model(folder, raw=raw)
        assert model.head.weight is model.embedding.weight
        assert torch.equal(model.head.weight, expected.head.weight)


def test_a_model_that_the_settings_do_not_describe_is_refused(folder, tmp_path):
    def rewritten(state, message):
        description = describe_model(TwoNamesConfig(), vocab_size=VOCAB, max_seq_len=SEQ_LEN)
        with pytest.raises(DataError, match=message) as caught:
            load_model(save_model_folder(tmp_path / "other", state, None, description))
        assert "\n" not in str(caught.value)

    rewritten({}, "does not fit the model its settings describe: it lacks embedding.weight")
    whole = {"embedding.weight": torch.zeros(VOCAB, 4)}
    rewritten({**whole, "bias": torch.zeros(1)}, "it holds bias, which the model does not have")
    rewritten({"embedding.weight": torch.zeros(VOCAB, 5)}, "does not fit the model: size mismatch for embedding.weight")


def test_descriptions_that_cannot_be_built_are_refused():
    description = describe_model(stored.MODEL, vocab_size=VOCAB, max_seq_len=SEQ_LEN)
    with pytest.raises(DataError, match="the model is of format version 2; this Prospero reads version 1"):
        build_model({**description, "format_version": 2})
    with pytest.raises(DataError, match=r"there is no model 'transformr'. Did you mean 'transformer'"):
        build_model({**description, "name": "transformr"})
    with pytest.raises(DataError, match="TwoNamesConfig is not in the table of parts"):
        describe_model(TwoNamesConfig(), vocab_size=VOCAB, max_seq_len=SEQ_LEN)


def test_a_damaged_model_folder_is_named_and_one_without_a_manifest_says_so(folder, caplog):
    (folder / "manifest.json").unlink()
    load_model(folder)
    assert "has no manifest.json, so damage to it would not be found" in caplog.text
    (folder / "config.json").write_text("[]")
    with pytest.raises(DataError, match=r"config\.json is damaged: it holds no table"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json is damaged \(Expecting"):
        load_model(folder)


def test_a_checkpoint_that_does_not_say_its_model_is_refused(tmp_path):
    tree = {"state_dict": {}, "prospero": {"step": 1}}
    with pytest.raises(DataError, match="does not say what model it holds; it was not written by a run of Prospero"):
        load_model(stored.write_folder(tmp_path / "step_00000001", tree))


def test_a_safetensors_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*a\.safetensors"):
        read_safetensors(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"12345678")
    with pytest.raises(DataError, match=r"a\.safetensors is damaged \(.*; copy or train it again") as caught:
        read_safetensors(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)
