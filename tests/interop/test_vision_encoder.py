"""Vision models of Hugging Face's before a text: frozen and not, and coming back without their folder."""

import json
import shutil

import pytest
import torch

from prospero.checkpoints.model_folder import build_model, describe_model
from prospero.errors import ConfigError, DataError
from prospero.model.prefix import PrefixConfig, PrefixKind
from prospero.model.transformer import TransformerConfig

transformers = pytest.importorskip("transformers")
SIZES = {
    "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16,
    "patch_size": 8,
}  # fmt: skip
KINDS = {
    "vit": (transformers.ViTConfig, transformers.ViTModel),
    "clip": (transformers.CLIPVisionConfig, transformers.CLIPVisionModel),
    "siglip": (transformers.SiglipVisionConfig, transformers.SiglipVisionModel),
}
IMAGES = torch.arange(2 * 3 * 16 * 16).reshape(2, 3, 16, 16).remainder(251).to(torch.uint8)
IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])


@pytest.fixture(params=KINDS)
def folder(request, tmp_path):
    torch.manual_seed(3)
    config, model = KINDS[request.param]
    made = model(config(**SIZES)).eval()
    made.save_pretrained(tmp_path / "vision")
    return tmp_path / "vision", made


def settings(folder, **changes) -> TransformerConfig:
    prefix = {"kind": PrefixKind.image, "image_size": 16, "encoder": str(folder)} | changes
    return TransformerConfig(n_layers=1, d_model=16, n_heads=2, prefix=PrefixConfig(**prefix))


@pytest.mark.heavy
def test_its_states_are_those_of_the_folder_and_only_the_projector_trains_where_it_is_frozen(folder):
    place, made = folder
    model = settings(place, frozen=True).build(11, 8)
    theirs = made(pixel_values=IMAGES.float() / 127.5 - 1).last_hidden_state[:, -4:]
    torch.testing.assert_close(model.prefix.encoder(IMAGES.float() / 127.5 - 1), theirs, atol=1e-5, rtol=1e-5)
    assert model.prefix_len == 4
    names = {
        name.split(".")[1] for name, p in model.named_parameters() if name.startswith("prefix.") and p.requires_grad
    }
    assert names == {"projector"}
    assert not model.train().prefix.encoder.training


@pytest.mark.heavy
def test_not_frozen_every_parameter_that_is_trained_has_a_gradient(folder):
    place, _ = folder
    model = settings(place).build(11, 8).train()
    model(IDS, images=IMAGES).logits.square().sum().backward()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert [name for name in trained if model.get_parameter(name).grad is None] == []
    assert sum(name.startswith("prefix.encoder.") for name in trained) > 20


@pytest.mark.heavy
def test_a_model_comes_back_when_the_folder_is_gone(folder):
    place, _ = folder
    config = settings(place)
    model = config.build(11, 8).eval()
    description = json.loads(json.dumps(describe_model(model.described(config), vocab_size=11, max_seq_len=8)))
    shutil.rmtree(place)
    again = build_model(description).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(IDS, images=IMAGES).logits, model(IDS, images=IMAGES).logits)
    with pytest.raises(DataError, match="cannot be read as a vision model"):
        config.build(11, 8)


def test_another_size_and_what_is_no_vision_model_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", **SIZES}))
    with pytest.raises(ConfigError, match=r"reads 3 channels of 16 x 16 pixels; give prefix.channels=3"):
        settings(tmp_path, image_size=32).build(11, 8)
    with pytest.raises(DataError, match="no weights in safetensors"):
        settings(tmp_path).build(11, 8)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(DataError, match="no vision model of square patches"):
        settings(tmp_path).build(11, 8)
