"""TensorFlow opens an exported folder: KerasHub's classes on that backend give our logits and our greedy text.

In a process of its own: TensorFlow and torch bring each their own libraries. See docs/EXPORT.md for the how-to.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from prospero.checkpoints.model_folder import describe_model
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.interop.formats import Exported
from prospero.interop.hugging_face import write_hugging_face
from prospero.interop.settings import ExportConfig
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.norms import Norm
from prospero.model.transformer import Position, TransformerConfig

V, T, PROMPT = 280, 32, 4
SMALL = {"n_layers": 2, "d_model": 64, "n_heads": 4}
OLD = {"norm": Norm.layer, "position": Position.learned, "activation": Activation.gelu, "bias": True}
MODELS = {
    "GPT2": TransformerConfig(**SMALL, **OLD, tie_embeddings=True),
    "Llama": TransformerConfig(**SMALL, n_kv_heads=2),
    "Qwen3": TransformerConfig(**SMALL, n_kv_heads=2, qk_norm=True, head_dim=16),
}
READ = """
import json, os, sys
os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
import keras_hub
import numpy as np

folder, name, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
# KerasHub's converter of Llama does not read rms_norm_eps; the others do.
eps = {"layer_norm_epsilon": asked["eps"]} if name == "Llama" else {}
backbone = getattr(keras_hub.models, name + "Backbone").from_preset(folder, dtype="float32", **eps)
model = getattr(keras_hub.models, name + "CausalLM")(backbone=backbone, preprocessor=None)
ids = np.array(asked["ids"])
logits = np.asarray(model({"token_ids": ids, "padding_mask": np.ones_like(ids)}))
model.compile(sampler="greedy")
tokens, mask = (np.zeros((1, asked["length"]), int) for _ in range(2))
tokens[0, : len(asked["prompt"])], mask[0, : len(asked["prompt"])] = asked["prompt"], 1
text = model.generate({"token_ids": tokens, "padding_mask": mask}, stop_token_ids=None)["token_ids"]
print(json.dumps({"logits": logits.tolist(), "text": np.asarray(text)[0].tolist()}))
"""


@pytest.mark.processes
@pytest.mark.parametrize("name", MODELS)
def test_keras_hub_reads_the_folder(name, tmp_path, long_form):
    if not long_form:
        pytest.skip("TensorFlow takes half a minute to come up: pytest --long")
    for package in ("tensorflow", "keras_hub", "safetensors"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'prospero[tensorflow]'")
    config, generator = MODELS[name], torch.Generator().manual_seed(0)
    model = config.build(V, T).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.normal_(float("norm" in key and key.endswith("weight")), 0.2, generator=generator)
    words = "the cat sat on the mat and the dog on the log " * 20
    tokenizer = BPETokenizerConfig(vocab_size=270).build(lambda: iter([words]))
    description = {"model": describe_model(config, vocab_size=V, max_seq_len=T), "facts": {}}
    folder = tmp_path / "exported"
    write_hugging_face(Exported(model, tokenizer, description, tmp_path), folder, ExportConfig(out=str(folder)))

    ids = torch.randint(V, (2, 16), generator=generator)
    text = ids[0, :PROMPT].tolist()
    asked = {"ids": ids.tolist(), "prompt": list(text), "length": 12, "eps": config.norm_eps}
    with torch.no_grad():
        wanted = model(ids).logits
        while len(text) < asked["length"]:
            text.append(int(model(torch.tensor([text])).logits[0, -1].argmax()))
    command = [sys.executable, "-c", READ, str(folder), name, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    read = json.loads(done.stdout.strip().splitlines()[-1])
    assert (torch.tensor(read["logits"]) - wanted).abs().max() < 1e-4
    assert read["text"] == text
