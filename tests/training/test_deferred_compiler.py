"""A run that compiles nothing imports no compiler; once something compiles, all is as if it had been there."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

CODE = """
import sys
import prospero.training.assembly
heavy = {"torch._dynamo", "torch._inductor", "torch.distributed.tensor", "sympy"}
assert "lightning.pytorch" in sys.modules and not heavy & set(sys.modules), heavy & set(sys.modules)

import lightning as L, torch
from torch import nn
class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        if not torch.compiler.is_compiling():
            self.log("loss", loss)
        return loss
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters())
module = Module()
options = dict(max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)
options |= dict(accelerator="cpu", enable_model_summary=False)
fit = lambda trained: L.Trainer(**options).fit(trained, torch.utils.data.DataLoader(torch.ones(8, 2), batch_size=4))
fit(module)
optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
optimizer.load_state_dict(optimizer.state_dict())
assert not heavy & set(sys.modules), heavy & set(sys.modules)

from lightning.fabric.wrappers import OptimizedModule
compiled = torch.compile(module.layer, backend="eager")
assert isinstance(compiled, OptimizedModule) and not isinstance(module.layer, OptimizedModule)
assert "torch._dynamo" in sys.modules and torch._dynamo.OptimizedModule is not OptimizedModule
calls = []
def step(x):
    calls.append(torch.compiler.is_compiling())
    optimizer.zero_grad()
    return x + 1
assert torch.compile(step, backend="eager")(torch.ones(1)) == 2
optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
fit(Module())
fit(torch.compile(Module(), backend="eager"))  # Lightning takes it off again, and says nothing
assert type(vars(torch.optim.Optimizer.zero_grad.__wrapped__)["__dynamo_disable"].disabled).__name__ == "function"
"""


def test_the_compiler_is_imported_when_something_compiles():
    """In one process: a start with its imports takes seconds."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_module_that_takes_more_from_it_gets_the_real_one(tmp_path):
    (tmp_path / "other.py").write_text("from torch._dynamo import OptimizedModule, explain\n")
    code = (
        "import sys; from prospero.training import deferred_compiler as d; d.IMPORTERS = ('other',); import other;"
        "assert other.explain is sys.modules['torch._dynamo'].explain"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
