"""`export to=safetensors`: the same tensors under the same names, in the type that was asked for."""

import json

import pytest
import torch
from safetensors import safe_open

from prospero.checkpoints.model_folder import describe_model, load_model, save_model_folder
from prospero.commands.export import export
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.interop.settings import ExportConfig, ExportDtype
from prospero.model.transformer import TransformerConfig

SIZES = {"vocab_size": 257, "max_seq_len": 16}
CONFIG = TransformerConfig(n_layers=1, d_model=16, n_heads=2, tie_embeddings=True)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = CONFIG.build(**SIZES)
    tokenizer = ByteTokenizerConfig().build()
    return save_model_folder(tmp_path / "model", model.state_dict(), tokenizer, describe_model(CONFIG, **SIZES))


def test_one_file_holds_all_tensors_and_describes_the_model(folder, tmp_path):
    out = tmp_path / "new" / "a.safetensors"
    assert export(ExportConfig(run=str(folder), to="safetensors", out=str(out), dtype=ExportDtype.bfloat16)) == 0
    state = load_model(folder)[0].state_dict()
    with safe_open(out, "pt") as file:
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), state[name].bfloat16()) for name in state)
        assert json.loads(file.metadata()["prospero"])["settings"]["d_model"] == 16


def test_a_folder_opens_as_a_model_folder(folder, tmp_path):
    assert export(ExportConfig(run=str(folder), to="safetensors", out=str(tmp_path / "copy"))) == 0
    model, tokenizer, _ = load_model(tmp_path / "copy")
    wanted = load_model(folder)[0].state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())
    assert tokenizer is not None and tokenizer.encode("é") == [195, 169]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"to": "safetensor"}, "Did you mean 'safetensors'"),
        ({"out": ""}, "Say where to write"),
        ({"out": "model"}, "is a folder that is not empty"),
        ({"max_shard_size": "5 pounds"}, "write it as 5GB"),
        ({"dtype": ExportDtype.float16}, "too large for dtype=float16"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(folder, tmp_path, monkeypatch, settings, said):
    monkeypatch.chdir(tmp_path)
    if "dtype" in settings:
        model = load_model(folder)[0]
        state = {name: tensor * 1e6 for name, tensor in model.state_dict().items()}
        save_model_folder(folder, state, None, describe_model(CONFIG, **SIZES))
    with pytest.raises(ConfigError, match=said):
        export(ExportConfig(**{"run": "model", "to": "safetensors", "out": "new/a.safetensors", **settings}))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
