"""What a loss of pairs asks of the rest of a run; whatever does not go together is said before anything is made."""

from prospero import registry
from prospero.data.augmentation.none import NoAugmentationConfig
from prospero.data.packing.pairs import PairPackingConfig
from prospero.errors import ConfigError
from prospero.evaluation.metrics.collection import pair_metrics
from prospero.model.base import LanguageModel
from prospero.objective.losses.pair import PairLossConfig
from prospero.training.settings import TrainConfig


def learns_from_pairs(config: TrainConfig) -> bool:
    """Whether one of the losses is of pairs."""
    return any(isinstance(part, PairLossConfig) for part in config.loss.values())


def check_preferences(config: TrainConfig) -> None:
    """Raise ConfigError when the loss, the rendering, the packing and the rest are not all of pairs, or none is."""
    rendering = None if config.rendering is None else config.rendering.build()
    makes_pairs = rendering is not None and rendering.documents_per_example == 2
    lays_out_pairs = isinstance(config.packing, PairPackingConfig)
    losses = f"loss=[{','.join(config.loss)}]"
    if not learns_from_pairs(config):
        for name in pair_metrics(config.metrics):
            raise ConfigError(f"metrics=[{name}] measures pairs, which {losses} is not about; choose loss=dpo")
        if makes_pairs:
            raise ConfigError(
                f"the rendering makes pairs, and {losses} would learn the rejected answers like the chosen; choose "
                "loss=dpo packing=pairs, or rendering=prompt_response rendering.response='{chosen}' for those alone"
            )
        if lays_out_pairs:
            raise ConfigError(f"packing=pairs is for a loss of pairs, which {losses} is not; choose loss=dpo")
        return
    if not makes_pairs:
        raise ConfigError(f"{losses} learns from pairs, and the data hold none; choose rendering=preferences")
    if not lays_out_pairs:
        packing = registry.name_of("packing", type(config.packing))
        raise ConfigError(f"{losses} needs each pair in one sequence, and packing={packing} parts them; packing=pairs")
    if config.init_from is None:
        raise ConfigError(
            f"{losses} holds the model to the one that it begins as; give init_from=<a run, a model folder or a name>"
        )
    if not isinstance(config.augmentation, NoAugmentationConfig):
        raise ConfigError(
            f"{losses} compares the model with a reference that read the text as it is; choose augmentation=none"
        )


def check_reads_pairs(model: LanguageModel) -> None:
    """Raise ConfigError for a model to which the rejected answer would follow on the chosen one."""
    if not model.reads_document_ids:
        raise ConfigError(
            "packing=pairs puts chosen and rejected answer into one sequence, and this model would read one after the "
            "other; give model.document_attention=true (recurrent models have no such thing)"
        )
