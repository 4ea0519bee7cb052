"""Whether examples that stand in one sequence see each other."""

from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.parts import PackingSettings
from prospero.data.shards import TokenShards
from prospero.log import log


def examples_mix(shards: TokenShards, packing: PackingSettings, *, document_ids: bool) -> bool:
    """Return whether an example is read with others before it, which it was not written for."""
    several = isinstance(packing, BestFitPackingConfig | ConcatPackingConfig)
    return shards.targets is not None and several and not document_ids


def say_if_examples_mix(shards: TokenShards, packing: PackingSettings, *, document_ids: bool) -> None:
    """Warn in one line where they do, and say what keeps them apart."""
    if examples_mix(shards, packing, document_ids=document_ids):
        log.warning(
            "several examples share a sequence and the model reads those before its own; keep them apart with "
            "packing=padded, or, for a Transformer, model.document_attention=true"
        )
