"""Training waits for neither transformers nor SciPy nor Matplotlib; what torchmetrics took from them works as ever."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

CODE = """
import sys
import prospero.training.assembly
found = {"transformers", "scipy", "matplotlib"} & {name.partition(".")[0] for name in sys.modules}
assert "torchmetrics" in sys.modules and not found, f"{found} was imported, or a stand-in stayed"

import importlib.util
if importlib.util.find_spec("scipy"):
    import scipy.signal
    assert scipy.signal.firwin(3, 0.5).shape == (3,)

assert "matplotlib" not in sys.modules, "it waits until a metric is drawn"
import torch, torchmetrics
metric = torchmetrics.MeanMetric()
metric.update(torch.tensor(2.0))
figure, axes = metric.plot()
import matplotlib
assert isinstance(figure, matplotlib.figure.Figure) and isinstance(axes, matplotlib.axes.Axes)
figure, axes = torchmetrics.MeanMetric().plot(torch.tensor([1.0, 2.0]), ax=axes)

assert "transformers" not in sys.modules, "it waits until a metric is made of it"
from torchmetrics.functional.text import bert
from torchmetrics.text import BERTScore
assert not isinstance(bert.AutoModel, type)
import transformers
config = transformers.BertConfig(
    vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
)
assert isinstance(bert.AutoModel.from_config(config), transformers.BertModel)
assert type(bert.AutoTokenizer.from_pretrained) is type(transformers.AutoTokenizer.from_pretrained)
class Tokenizer:
    def __call__(self, texts, *rest, **options):
        import torch
        ids = [[1, *(2 + ord(letter) % 27 for letter in text), 29] for text in texts]
        assert len({len(row) for row in ids}) == 1
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), len(ids[0]), dtype=torch.long)}
model = transformers.BertModel(config).eval()
score = BERTScore(model=model, user_tokenizer=Tokenizer(), num_layers=1, user_forward_fn=lambda model, batch: model(
    batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state)
same = score(["abcd"], ["abcd"])["f1"]
assert abs(float(same) - 1) < 1e-5, same
"""


def test_each_is_imported_when_it_is_used():
    """In one process: a start with its imports takes five seconds."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def test_who_has_imported_it_before_keeps_it():
    code = """
import transformers, prospero.training.assembly, sys
from torchmetrics.functional.text import bert
assert sys.modules["transformers"] is transformers and bert.AutoModel is transformers.AutoModel
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
