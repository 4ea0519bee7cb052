"""A run of captions, from pictures to PNG files and texts: resumed, by two processes, begun from a text model."""

import json
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests import programs

from prospero import compose
from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.commands.export import export
from prospero.commands.generate import GenerateConfig, generate
from prospero.commands.init_from import begin_from
from prospero.commands.pictures import PicturesConfig, pictures
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.generation.sampling import SamplingConfig
from prospero.interop.settings import ExportConfig
from prospero.model.adapters.base import Adapter
from prospero.model.adapters.freeze import FreezeConfig
from prospero.model.transformer import TransformerConfig
from prospero.training.initial_weights import InitialWeights

pytestmark = pytest.mark.processes
ROOT = Path(__file__).parents[2]
SETTINGS = [
    "experiment=captions", "data.pictures=400", "max_steps=4", "global_batch_size=8", "model.d_model=32",
    "model.prefix.d_model=16", "model.prefix.n_layers=1", "trainer.log_every_steps=1",
    "callbacks.evaluation.limit=2", "callbacks.checkpoints.every_steps=2", "callbacks.checkpoints.keep_last=2",
    "trainer.val_every_steps=0", "dedup=none",
    "trainer.val_sequences=16", "trainer.test_sequences=16", "trainer.accelerator=cpu",
]  # fmt: skip
GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=6)


def train(folder, *words):
    program(folder, *SETTINGS, *words)


def program(folder, *words):
    command = [sys.executable, str(ROOT / "train.py"), *words]
    done = programs.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    train(folder, "run_dir=outputs/train/a")
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def weights(place, name):
    return load_file(place / "outputs" / "train" / name / "model" / "model.safetensors")


def test_a_run_that_goes_on_from_its_middle_ends_with_the_same_weights(place):
    train(place, "resume=outputs/train/a/checkpoints/step_00000002", "run_dir=outputs/train/b")
    first, again = weights(place, "a"), weights(place, "b")
    assert first.keys() == again.keys() and all(first[name].equal(again[name]) for name in first)
    assert any(name.startswith("prefix.encoder.") for name in first)


@pytest.mark.deep
def test_two_processes_train_the_same_model(place):
    train(place, "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "run_dir=outputs/train/two")
    one, two = weights(place, "a"), weights(place, "two")
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5


def test_pictures_are_written_and_captioned(here, capsys):
    assert pictures(PicturesConfig(run="a", out="pngs", n=3)) == 0
    rows = [json.loads(line) for line in Path("pngs/captions.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == ["test_0.png", "test_1.png", "test_2.png"]
    assert all(Path("pngs", row["image"]).is_file() and row["caption"] for row in rows)
    capsys.readouterr()
    texts = []
    for row in rows:
        assert generate(GenerateConfig(sampling=GREEDY, run="a", image=f"pngs/{row['image']}")) == 0
        texts.append(capsys.readouterr().out)
    batch = GenerateConfig(sampling=GREEDY, run="a", prompts="pngs/captions.jsonl", out="texts.jsonl", batch_size=2)
    assert generate(batch) == 0
    lines = [json.loads(line) for line in Path("texts.jsonl").read_text().splitlines()]
    assert [line["text"] + "\n" for line in lines] == texts
    assert [line["image"] for line in lines] == [row["image"] for row in rows]
    assert generate(GenerateConfig(sampling=SamplingConfig(temperature=0.0, beams=2, max_new_tokens=6), run="a",
                                   image="pngs/test_0.png")) == 0  # fmt: skip


def test_what_does_not_go_with_pictures_is_one_line(here):
    with pytest.raises(ConfigError, match="reads a picture before the text; give image="):
        generate(GenerateConfig(sampling=GREEDY, run="a", prompt="x"))
    Path("plain.txt").write_text("x\n")
    with pytest.raises(ConfigError, match=r"prompt 1 of plain.txt: the model reads a picture"):
        generate(GenerateConfig(sampling=GREEDY, run="a", prompts="plain.txt", out="t.jsonl"))
    with pytest.raises(ConfigError, match="image= is one picture for one prompt"):
        GenerateConfig(sampling=GREEDY, image="a.png", prompts="b.jsonl", out="c.jsonl")
    for to, out in (("huggingface", "hf"), ("gguf", "m.gguf"), ("onnx", "m.onnx")):
        with pytest.raises(ConfigError, match=r"prefix.kind=image"):
            export(ExportConfig(run="a", to=to, out=out))
    with pytest.raises(ConfigError, match="choose train, val or test"):
        PicturesConfig(out="x", split="none")


def test_a_text_model_gets_eyes(here):
    text = TransformerConfig(n_layers=1, d_model=16, n_heads=2)
    state = text.build(257, 32).state_dict()
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    save_model_folder(Path("text"), state, tokenizer, describe_model(text, vocab_size=257, max_seq_len=32))
    words = ["init_from=text", "data=shapes", "rendering=caption", "model.prefix.kind=image", "seq_len=32"]
    config, source = begin_from(compose("train", words))
    model = config.model.build(257, 32)
    drawn = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    InitialWeights(source, Adapter()).fill(model)
    for name, tensor in model.state_dict().items():
        assert tensor.equal(drawn[name] if name.startswith("prefix.") else state[name]), name
    freeze = FreezeConfig(train=["prefix"]).build()
    freeze.apply(model)
    assert {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"prefix"}
    with pytest.raises(ConfigError, match="the picture's part is new to init_from"):
        begin_from(compose("train", [*words, "adapter=lora"]))
    with pytest.raises(ConfigError, match=r"model.norm_eps=0.1 contradicts init_from"):
        begin_from(compose("train", [*words, "model.norm_eps=0.1"]))
    blind, _ = begin_from(compose("train", ["init_from=outputs/train/a", "model.prefix.blind=true", "seq_len=16"]))
    assert blind.model.prefix.blind and blind.model.prefix.d_model == 16
    with pytest.raises(ConfigError, match=r"model.prefix.patch_size=4 contradicts init_from"):
        begin_from(compose("train", ["init_from=outputs/train/a", "model.prefix.patch_size=4", "seq_len=16"]))
