"""`prospero export to=peft`: PEFT opens it over the exported model and computes what the folded model does."""

import pytest
import torch

from prospero.checkpoints.model_folder import ADAPTER_FILE, describe_model, save_model_folder
from prospero.commands.export import export
from prospero.errors import ConfigError
from prospero.interop.settings import ExportConfig
from prospero.model.adapters.lora import LoRAConfig
from prospero.runs.folder import RunFolder
from tests.interop.foreign import transformers
from tests.interop.test_hugging_face import CLASSES, SHAPE, SIZES, TransformerConfig, model_folder

CASES = [(name, settings[-1]) for name, settings in CLASSES.items()]


def run_of(folder, config, adapter):
    """Write a run whose model/ holds an adapter folded in, and adapter/ the adapter alone; return the folded model."""
    model = model_folder(folder.parent / "base", config)
    built = adapter.build()
    built.apply(model)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    described = describe_model(config, **SIZES, adapter=adapter)
    save_model_folder(RunFolder(folder).adapter, built.added(model.state_dict()), None, described, file=ADAPTER_FILE)
    built.merge(model)
    plain = describe_model(config, **SIZES)
    save_model_folder(RunFolder(folder).model, model.state_dict(), None, plain)
    return model.eval()


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "settings"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.parametrize("targets", [None, ["v", "up"]], ids=["all", "v-up"])
def test_peft_computes_what_the_folded_model_does(name, settings, targets, tmp_path):
    peft = pytest.importorskip("peft")
    config = TransformerConfig(**SHAPE, **settings)
    ours = run_of(tmp_path / "run", config, LoRAConfig(rank=2, alpha=6.0, targets=targets))
    export(ExportConfig(run=str(tmp_path / "base"), out=str(tmp_path / "hf")))
    export(ExportConfig(run=str(tmp_path / "run"), to="peft", out=str(tmp_path / "peft")))
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", attn_implementation="eager").eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        plain = base(ids).logits
        theirs = peft.PeftModel.from_pretrained(base, tmp_path / "peft").eval()(ids).logits
        assert (plain - theirs).abs().max() > 0.1
        torch.testing.assert_close(theirs, ours(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_run_without_an_adapter_is_refused(tmp_path):
    model_folder(tmp_path / "base", TransformerConfig(**SHAPE))
    with pytest.raises(ConfigError, match="to=peft takes a run of adapter=lora that has ended"):
        export(ExportConfig(run=str(tmp_path / "base"), to="peft", out=str(tmp_path / "peft")))
    assert not (tmp_path / "peft").exists()
