"""`prospero import`: a model folder with a receipt, or one line that says what is wrong and nothing written."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from prospero.checkpoints.model_folder import load_model
from prospero.commands.generate import GenerateConfig, generate
from prospero.commands.import_model import ImportConfig, import_model
from prospero.errors import ConfigError, DataError
from prospero.generation.sampling import SamplingConfig
from prospero.interop import hub
from prospero.printable import printable_lines
from prospero.runs.find import find
from tests.interop.foreign import foreign_model, input_ids, saved, trained_tokenizer, transformers


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("source") / "hf"
    saved("gpt2", folder)
    return folder


@pytest.fixture
def folder(source, tmp_path):
    return shutil.copytree(source, tmp_path / "hf")


def run(folder, tmp_path, **settings):
    return import_model(ImportConfig(source=str(folder), outputs_dir=str(tmp_path / "outputs"), **settings))


def test_a_model_is_found_by_its_name_and_says_where_it_came_from(folder, tmp_path):
    assert run(folder, tmp_path, name="mine") == 0
    place = find("mine", str(tmp_path / "outputs"))
    model, tokenizer, config = load_model(place)
    assert place.name == "mine" and tokenizer is not None and tokenizer.encode("é") == trained_tokenizer().encode("é")
    receipt = config["facts"]["imported"]
    assert (receipt["family"], receipt["source"]) == ("gpt2", str(folder))
    assert set(receipt["files"]) == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    with torch.no_grad():
        wanted = foreign_model("gpt2")(input_ids()).logits
        torch.testing.assert_close(model(input_ids()).logits, wanted, atol=1e-4, rtol=0)


def test_the_text_of_the_folder_and_of_the_imported_model_is_transformers_own(folder, tmp_path, capsys):
    theirs, prompt = foreign_model("gpt2"), "Once upon a time"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode(prompt, return_tensors="pt")
    wanted = tokenizer.decode(theirs.generate(ids, max_new_tokens=12, do_sample=False)[0])
    run(folder, tmp_path, name="mine")
    capsys.readouterr()
    greedy = SamplingConfig(temperature=0.0, max_new_tokens=12)
    for place in ("mine", str(folder)):
        generate(GenerateConfig(sampling=greedy, run=place, outputs_dir=str(tmp_path / "outputs"), prompt=prompt))
        assert capsys.readouterr().out.rstrip("\n") == printable_lines(wanted).rstrip("\n")


def test_a_name_that_is_taken_is_not_replaced(folder, tmp_path):
    run(folder, tmp_path)
    before = (tmp_path / "outputs/models/hf/config.json").read_bytes()
    with pytest.raises(ConfigError, match="hf exists; it is not replaced"):
        run(folder, tmp_path)
    assert (tmp_path / "outputs/models/hf/config.json").read_bytes() == before
    with pytest.raises(ConfigError, match="Did you mean 'hf'"):
        find("hff", str(tmp_path / "outputs"))


def test_the_hub_out_of_reach_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "why_unreachable", lambda wanted: "no route to the hub")
    with pytest.raises(DataError, match="no route to the hub") as error:
        run("nobody/nothing-of-this-name", tmp_path)
    assert "\n" not in str(error.value) and "--local-dir <folder>) and give source=<folder>" in str(error.value)
    assert not (tmp_path / "outputs").exists()


def edited(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config |= changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


def tensors(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def cut(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def sharded(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def outside(folder):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))


QKV = "transformer.h.0.attn.c_attn.weight"
MISTAKES = {
    "no config": (lambda f: (f / "config.json").unlink(), "holds no config.json"),
    "damaged config": (lambda f: (f / "config.json").write_text("{"), "config.json is damaged"),
    "unknown family": (lambda f: edited(f, model_type="gpt22"), "model_type=gpt22, a family .* Did you mean 'gpt2'"),
    "no family": (lambda f: edited(f, model_type="absent"), "names no model_type"),
    "a key that changes the mathematics": (lambda f: edited(f, alibi=True), "says alibi=True, which Prospero does not"),
    "a known key with another value": (
        lambda f: edited(f, scale_attn_by_inverse_layer_idx=True),
        "says scale_attn_by_inverse_layer_idx=True; Prospero knows scale_attn_by_inverse_layer_idx=False",
    ),
    "an activation": (lambda f: edited(f, activation_function="mish"), "activation_function=mish; Prospero knows"),
    "a size that is missing": (lambda f: edited(f, n_layer="absent"), "does not say n_layer"),
    "a size that is none": (lambda f: edited(f, n_layer="two"), "says n_layer=two; a whole number above 0"),
    "quantised": (lambda f: edited(f, quantization_config={"bits": 4}), "the weights are quantised"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
    "a pickle": (pickled, "pytorch_model.bin, a pickle, which may run any code"),
    "a file cut short": (cut, "model.safetensors is damaged, perhaps cut short"),
    "a shard that is missing": (sharded, "lacks model-00002-of-00002.safetensors, 1 of 2 files of weights"),
    "files outside": (outside, "names files outside of its folder"),
    "a tensor that is missing": (lambda f: tensors(f, lambda s: s.pop(QKV)), f"lacks {QKV}; it is not imported"),
    "a tensor too many": (
        lambda f: tensors(f, lambda s: s.update({"transformer.h.0.gate": torch.ones(2)})),
        "holds transformer.h.0.gate, which the model that config.json describes does not have",
    ),
    "a tensor of another shape": (
        lambda f: tensors(f, lambda s: s.update({"transformer.wpe.weight": torch.ones(47, 64)})),
        r"transformer.wpe.weight has the shape \[47, 64\]; config.json makes positions.weight \[48, 64\] of it",
    ),
    "fused rows of another number": (
        lambda f: tensors(f, lambda s: s.update({QKV: torch.ones(64, 190)})),
        r"c_attn.weight has the shape \[64, 190\], which does not fit",
    ),
    "whole numbers": (
        lambda f: tensors(f, lambda s: s.update({"transformer.wpe.weight": torch.ones(48, 64, dtype=torch.int8)})),
        "transformer.wpe.weight is int8",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer: tokenizer.json is missing"),
    "a damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "is not a tokenizer.json"),
    "a separator it lacks": (
        lambda f: (f / "tokenizer_config.json").write_text('{"eos_token": "<end>"}'),
        "names eos_token='<end>', which the tokenizer lacks",
    ),
    "more ids than rows": (
        lambda f: (
            edited(f, vocab_size=270),
            tensors(f, lambda s: s.update({"transformer.wte.weight": torch.ones(270, 64)})),
        ),
        "the tokenizer has 280 ids and the embedding 270 rows",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_is_one_line_and_nothing_is_written(mistake, folder, tmp_path):
    change, said = MISTAKES[mistake]
    change(folder)
    with pytest.raises(DataError, match=said) as error:
        run(folder, tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": ""}, "Say what to import"),
        ({"source": "a/b/c"}, "does not exist"),
        ({"source": "./a"}, "does not exist"),
        ({"source": "gpt2", "name": "a/b"}, "cannot be the name"),
        ({"source": "gpt2", "name": "last"}, "cannot be the name"),
        ({"source": ".", "name": "here", "revision": "v2"}, "is for names on the hub"),
    ],
)
def test_settings_that_cannot_be(settings, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        import_model(ImportConfig(**settings))


def test_code_in_the_folder_is_not_run(folder, tmp_path):
    edited(folder, auto_map={"AutoModelForCausalLM": "modeling.Mine"})
    (folder / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert run(folder, tmp_path) == 0
    assert not (tmp_path / "ran").exists()


def test_the_files_of_a_bare_model_and_its_masks_are_read(folder, tmp_path):
    """GPT-2 on the hub: no `transformer.` before the names, and the causal mask among the tensors."""
    state = {key.removeprefix("transformer."): t for key, t in load_file(folder / "model.safetensors").items()}
    state["h.0.attn.bias"] = torch.ones(1, 1, 48, 48).tril()
    save_file(state, folder / "model.safetensors")
    assert run(folder, tmp_path) == 0
    model, _, _ = load_model(tmp_path / "outputs/models/hf")
    with torch.no_grad():
        wanted = foreign_model("gpt2")(input_ids()).logits
        torch.testing.assert_close(model(input_ids()).logits, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("spelling", ["hub", "both", "contradiction"])
def test_both_spellings_of_the_rotation_are_read(spelling, tmp_path):
    saved("llama3", tmp_path / "hf")
    config = json.loads((tmp_path / "hf/config.json").read_text())
    said = config.pop("rope_parameters")
    config |= {"rope_theta": said["rope_theta"], "rope_scaling": {k: v for k, v in said.items() if k != "rope_theta"}}
    if spelling != "hub":
        config["rope_parameters"] = said if spelling == "both" else {**said, "rope_theta": 500.0}
    (tmp_path / "hf/config.json").write_text(json.dumps(config))
    if spelling == "contradiction":
        with pytest.raises(DataError, match=r"rope_theta=1000.0, and 500.0 in rope_parameters"):
            run(tmp_path / "hf", tmp_path)
        return
    run(tmp_path / "hf", tmp_path)
    model, _, _ = load_model(tmp_path / "outputs/models/hf")
    with torch.no_grad():
        wanted = foreign_model("llama3")(input_ids()).logits
        torch.testing.assert_close(model(input_ids()).logits, wanted, atol=1e-4, rtol=0)
