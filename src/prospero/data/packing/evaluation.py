"""How validation and test are packed: always alike, so that losses can be compared across packings of the training."""

from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPacking
from prospero.data.packing.packing import Packing
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.packing.pairs import PairPackingConfig
from prospero.data.shards import TokenShards


def evaluation_packing(shards: TokenShards, seq_len: int, *, document_ids: bool) -> Packing:
    """Return text as one long row; pairs one a sequence, the prompts of long ones cut; other examples apart.

    Several examples stand in a sequence only where the model tells them apart.
    """
    if shards.targets is None:
        return ConcatPacking(shards, seq_len)
    if shards.documents_per_example == 2:
        return PairPackingConfig().build(shards, seq_len)
    packing = BestFitPackingConfig() if document_ids else PaddedPackingConfig()
    return packing.build(shards, seq_len)
