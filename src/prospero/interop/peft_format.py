"""`to=peft`: what LoRA has added to a model, alone, as PEFT opens it over the model that it was trained on.

    base = AutoModelForCausalLM.from_pretrained(<the source, exported with to=huggingface>)
    model = PeftModel.from_pretrained(base, <this folder>)

Names come from the same table as those of to=huggingface. Where several matrices of ours are one of theirs (GPT-2's
c_attn), the A stand one below the other and B is block-diagonal: the rank is that many times as large, and so is alpha,
so that alpha / rank stays.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from prospero.checkpoints.manifest import verify_folder
from prospero.checkpoints.model_folder import ADAPTER_FILE, read_description, read_safetensors
from prospero.errors import ConfigError
from prospero.interop.families.rules import Layout, Rule
from prospero.interop.families.table import family_for
from prospero.interop.formats import Exported
from prospero.interop.hugging_face import hugging_face_config, write_json
from prospero.interop.output import new_folder
from prospero.interop.precision import cast, torch_dtype
from prospero.interop.settings import ExportConfig
from prospero.model.transformer import Transformer
from prospero.runs.folder import RunFolder

A, B = ".lora_A", ".lora_B"


def write_peft(exported: Exported, out: Path, settings: ExportConfig) -> str:
    """Write adapter_config.json and adapter_model.safetensors; ConfigError where there is no LoRA or no class."""
    folder, model = RunFolder(exported.source).adapter, exported.model
    if not (folder / ADAPTER_FILE).is_file():
        raise ConfigError(f"{exported.source} has no adapter: to=peft takes a run of adapter=lora that has ended")
    if not isinstance(model, Transformer):
        raise ConfigError("PEFT opens adapters of Transformers' classes, and recurrent models have none")
    verify_folder(folder)
    described = read_description(folder)
    adapter = described["model"]["adapter"]["settings"]
    family = family_for(model.config)
    theirs = hugging_face_config(exported, family, dtype=str(torch_dtype(settings.dtype))[6:])
    state = read_safetensors(folder / ADAPTER_FILE)
    tensors, modules, flipped = {}, {}, False
    for module, rule, first, second in _pairs(family.rules, model, state, theirs):
        tensors[f"base_model.model.{module}.lora_A.weight"] = first
        tensors[f"base_model.model.{module}.lora_B.weight"] = second
        modules[module] = len(first) // adapter["rank"]
        flipped = flipped or _transposes(rule, model, theirs)
    config = _config(
        adapter, modules, fan_in_fan_out=flipped, base=described["facts"].get("init_from", {}).get("given")
    )
    with new_folder(out) as place:
        write_json(place / "adapter_config.json", config)
        save_file(cast(tensors, settings.dtype), place / "adapter_model.safetensors", metadata={"format": "pt"})
        (place / "adapter_model.safetensors").chmod(0o644)
    return f"LoRA of {len(modules)} modules of {family.architecture}, rank {adapter['rank']}"


def _config(
    adapter: Mapping[str, Any], modules: Mapping[str, int], *, fan_in_fan_out: bool, base: str | None
) -> dict[str, Any]:
    several = {module: times for module, times in modules.items() if times > 1}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": adapter["rank"],
        "lora_alpha": adapter["alpha"],
        "lora_dropout": adapter["dropout"],
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "target_modules": sorted(modules),
        "rank_pattern": {module: times * adapter["rank"] for module, times in several.items()},
        "alpha_pattern": {module: times * adapter["alpha"] for module, times in several.items()},
    }


def _pairs(
    rules: tuple[Rule, ...], model: Transformer, state: Mapping[str, Tensor], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, Rule, Tensor, Tensor]]:
    """Yield (their module, rule, A, B) of each of their modules that has an adapted part."""
    for rule in rules:
        for layer in range(model.config.n_layers) if rule.in_layers else ():
            parts = [f"blocks.{layer}.{name}" for name in rule.ours]
            adapted = [part for part in parts if part + A in state]
            if not adapted:
                continue
            layout = Layout(model.config, theirs, tuple(len(model.get_parameter(f"{part}.weight")) for part in parts))
            firsts = [state[part + A] for part in adapted]
            columns = sum(len(first) for first in firsts)
            seconds, start = [], 0
            for part, rows in zip(parts, layout.sizes):
                second = torch.zeros(rows, columns)
                if part in adapted:
                    own = state[part + B]
                    second[:, start : start + own.shape[1]] = own
                    start += own.shape[1]
                seconds.append(second)
            joined = rule.join(seconds, layout)
            if _transposes(rule, model, theirs):
                joined = joined.T
            yield rule.theirs.format(i=layer), rule, torch.cat(firsts).contiguous(), joined.contiguous()


def _transposes(rule: Rule, model: Transformer, theirs: Mapping[str, Any]) -> bool:
    """Whether their class keeps the matrix as input x output."""
    sizes = tuple(len(model.get_parameter(f"blocks.0.{name}.weight")) for name in rule.ours)
    probe = rule.join([torch.zeros(rows, 1) for rows in sizes], Layout(model.config, theirs, sizes))
    return probe.shape[0] == 1
