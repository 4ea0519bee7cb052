"""The maker of a run's batches from its settings, and what those must be for it."""

from typing import TYPE_CHECKING

from prospero.data.augmentation.none import NoAugmentationConfig
from prospero.data.datamodule import LanguageDataModule
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.prepare import PreparedData
from prospero.data.prompts import Prompts
from prospero.errors import ConfigError
from prospero.evaluation.rewards.base import TOTAL, Reward, RewardFacts
from prospero.objective.losses.grpo import GRPOConfig
from prospero.training.batch_maker import BatchMaker
from prospero.training.callbacks.rollouts import RolloutSamplesConfig
from prospero.training.rollouts.maker import RolloutMaker
from prospero.training.rollouts.settings import RolloutsConfig

if TYPE_CHECKING:
    from prospero.training.settings import TrainConfig


def learns_from_rewards(config: "TrainConfig") -> bool:
    """Whether the run's loss is of rollouts."""
    return any(isinstance(loss, GRPOConfig) for loss in config.loss.values())


def check_rollouts(config: "TrainConfig") -> None:
    """Raise ConfigError, before data are prepared, for settings that do not go with rollouts, or only with them."""
    if not learns_from_rewards(config):
        if config.reward:
            raise ConfigError(f"reward=[{','.join(config.reward)}] is read by loss=grpo, which is not chosen")
        if config.rollouts != RolloutsConfig():
            raise ConfigError("rollouts.* are read by loss=grpo, which is not chosen")
        if any(isinstance(part, RolloutSamplesConfig) for part in config.callbacks.values()):
            raise ConfigError("the callback rollouts shows what loss=grpo draws, which is not chosen; leave it out")
        return
    if not config.reward:
        raise ConfigError("loss=grpo learns from rewards; choose at least one: reward=[answer]")
    if TOTAL in config.reward:
        raise ConfigError(f"reward.{TOTAL} has the name of the sum of all; give it another")
    if len(config.loss) > 1:
        others = ", ".join(name for name, loss in config.loss.items() if not isinstance(loss, GRPOConfig))
        raise ConfigError(f"loss=grpo stands alone: what the model wrote itself is no target for {others}")
    if not isinstance(config.packing, PaddedPackingConfig):
        raise ConfigError("loss=grpo reads one prompt a sequence; choose packing=padded")
    if not isinstance(config.augmentation, NoAugmentationConfig):
        raise ConfigError("loss=grpo reads prompts as they are; choose augmentation=none")
    if config.trainer.compile_mode != "off":
        raise ConfigError(
            f"trainer.compile={config.trainer.compile_mode} is for batches of one length, which completions have not; "
            "leave it out with loss=grpo"
        )
    for name in ("max_tokens", "max_flops"):
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} is not known beforehand where the model writes its own text; give max_steps")


def build_rewards(config: "TrainConfig", prompts: Prompts) -> dict[str, Reward]:
    """Return the rewards by name; ConfigError where the records lack what one reads."""
    facts = {"outputs_dir": config.outputs_dir, "fields": prompts.fields}
    return {name: part.build(RewardFacts(name=name, **facts)) for name, part in config.reward.items()}


def build_maker(config: "TrainConfig", prepared: PreparedData, data: LanguageDataModule) -> BatchMaker:
    """Return what makes the batches of training: as the loader gives them, or of rollouts."""
    if not learns_from_rewards(config):
        return BatchMaker()
    prompts = Prompts(prepared, "train")
    if len(data.train_packing) != len(prompts):
        raise ConfigError(
            f"some of the {len(prompts)} examples are longer than seq_len={config.seq_len}; give a larger one"
        )
    longest = prompts.longest_prompt
    if longest + config.rollouts.max_new_tokens > config.seq_len:
        raise ConfigError(
            f"the longest prompt has {longest} tokens, and {config.rollouts.max_new_tokens} more do not fit in "
            f"seq_len={config.seq_len}; give seq_len={longest + config.rollouts.max_new_tokens} or more, or a smaller "
            "rollouts.max_new_tokens"
        )
    return RolloutMaker(config.rollouts, prompts, build_rewards(config, prompts), data)
