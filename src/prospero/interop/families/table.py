"""The table of families. Adding one is adding it here; an export takes the first one that fits."""

from prospero.errors import ConfigError, DataError, suggest
from prospero.interop.families.family import Family
from prospero.interop.families.gemma import GEMMA, GEMMA2, GEMMA3
from prospero.interop.families.gpt import GPT2, GPT_NEO, GPT_NEOX, OPT
from prospero.interop.families.llama import ARCEE, LLAMA, MISTRAL, OLMO2, PHI3, QWEN2, QWEN3, STABLELM, STARCODER2
from prospero.model.prefix import PrefixKind
from prospero.model.transformer import TransformerConfig

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        LLAMA,
        MISTRAL,
        QWEN2,
        QWEN3,
        ARCEE,
        STARCODER2,
        STABLELM,
        GPT2,
        PHI3,
        GEMMA,
        GEMMA2,
        GEMMA3,
        OLMO2,
        GPT_NEOX,
        GPT_NEO,
        OPT,
    )
}
"""Their `model_type` -> the family."""


def family_of(model_type: object, place: object) -> Family:
    """Return the family that config.json names; DataError with the known ones for another."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        said = str(model_type)[:60]
        raise DataError(
            f"{place} is of model_type={said}, a family that Prospero does not read.{suggest(said, FAMILIES)} "
            f"It reads {', '.join(FAMILIES)}."
        )
    return FAMILIES[model_type]


def family_for(config: TransformerConfig) -> Family:
    """Return the class of Transformers that computes what `config` does; ConfigError that names what none has."""
    if config.prefix.kind is not PrefixKind.none:
        raise ConfigError(
            f"No class of Transformers computes model.prefix.kind={config.prefix.kind.name}, a picture before the "
            "text. Export it with to=safetensors"
        )
    candidates = [family for family in FAMILIES.values() if family.is_written]
    obstacles = {family.model_type: family.obstacles(config) for family in candidates}
    for family in candidates:
        if not obstacles[family.model_type]:
            return family
    nearest = min(candidates, key=lambda family: len(obstacles[family.model_type]))
    odd = ", ".join(f"model.{name}" for name in obstacles[nearest.model_type])
    raise ConfigError(
        f"No class of Transformers computes what this model does: the nearest is {nearest.architecture}, which has no "
        f"{odd}. Export it with to=safetensors, or train a model without."
    )
