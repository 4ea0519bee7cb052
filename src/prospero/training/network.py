"""A run's network: built, with an adapter where one is asked for, and with its first weights, drawn or a source's."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from prospero.checkpoints.model_folder import describe_model
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError
from prospero.log import log
from prospero.model.adapters.none import NoAdapterConfig
from prospero.model.base import LanguageModel
from prospero.model.numerics import NumericsChoice, apply_numerics, keep_freed_memory, measure_numerics
from prospero.spread import is_spread
from prospero.training.initial_weights import InitialWeights
from prospero.training.layout import check_tensor_parallel
from prospero.training.session import Session
from prospero.training.settings import TrainConfig


@dataclass(slots=True)
class Network:
    """The network of a run before it is spread over processes."""

    model: LanguageModel
    description: dict[str, Any]
    """What it is built from again."""
    fill: Callable[[LanguageModel], None] = lambda model: None
    """Reads its first weights once it is spread, each process its part."""


def build_network(session: Session, prepared: PreparedData, *, begins: bool) -> Network:
    """Return the network; how it computes on this machine is chosen once. It `begins` unless a checkpoint follows.

    Raises ConfigError for an adapter, a vocabulary or a number of processes that does not go with the model.
    """
    config, hardware, source = session.config, session.hardware, session.source
    sizes = _sizes(session, prepared)
    adapter_settings = config.adapter or NoAdapterConfig()
    adapter = adapter_settings.build()
    spread = hardware.strategy.sharded
    model = _without_memory(config, sizes) if spread and source is not None else None
    model = model or config.model.build(**sizes)
    adapter.apply(model)
    _check_new_tokens_are_trained(session, prepared, model)
    check_tensor_parallel(model, hardware.tensor_parallel)
    model.compute_dtype = hardware.precision.compute_dtype
    _choose_numerics(session, model)
    initial = None if source is None or not begins else InitialWeights(source, adapter)
    if initial is not None:
        log.info("weights: begin as those of %s", initial.describe(model))
    network = Network(model, describe_model(model.described(config.model), **sizes, adapter=adapter_settings))
    if spread:
        network.fill = partial(_fill, initial, on_cpu=hardware.cpu_offload)
    elif initial is not None:
        initial.fill(model)
    return network


def build_reference(session: Session, prepared: PreparedData) -> LanguageModel:
    """Return the model of the run's source as it is, without an adapter, whole, for this process alone.

    Raises DataError when its weights cannot be read.
    """
    assert session.source is not None and session.numerics is not None, "the run's own network was built before"
    with torch.random.fork_rng([]):
        model: LanguageModel = session.config.model.build(**_sizes(session, prepared))
    model.compute_dtype = session.hardware.precision.compute_dtype
    apply_numerics(model, session.numerics)
    InitialWeights(session.source, NoAdapterConfig().build()).fill(model)
    return model


def check_adapter(config: TrainConfig) -> None:
    """Raise ConfigError, before data are prepared, for an adapter whose names the model does not have."""
    if config.adapter is None or isinstance(config.adapter, NoAdapterConfig):
        return
    with torch.random.fork_rng([]), torch.device("meta"):
        model: LanguageModel = config.model.build(vocab_size=8, max_seq_len=config.seq_len)
    if not _recurrent(model):  # torch cannot adapt those without their memory: they are seen once they are built
        config.adapter.build().apply(model)


def _recurrent(model: LanguageModel) -> bool:
    return any(isinstance(module, nn.RNNBase) for module in model.modules())


def _without_memory(config: TrainConfig, sizes: dict[str, int]) -> LanguageModel | None:
    """Return a network whose parameters take no memory until it is spread: its weights come from elsewhere.

    None for recurrent layers, which torch does not build so, and where a picture's part may not be among them.
    """
    with torch.device("meta"):
        model: LanguageModel = config.model.build(**sizes)
    if _recurrent(model) or model.image_shape is not None:
        return None
    keep_freed_memory()
    return model


def _fill(initial: InitialWeights | None, model: LanguageModel, *, on_cpu: bool) -> None:
    """Give a network that is spread its memory, and its first weights; without `initial` a checkpoint brings them."""
    if any(parameter.is_meta for parameter in model.parameters()):
        spread = next(p for p in model.parameters() if is_spread(p))
        device = "cpu" if on_cpu else spread.device_mesh.device_type
        model._apply(lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor)
    if initial is not None:
        initial.fill(model)


def _sizes(session: Session, prepared: PreparedData) -> dict[str, int]:
    """Return vocab_size and max_seq_len: those of the source where there is one, with rows for added tokens."""
    source, tokens = session.source, prepared.tokenizer.vocab_size
    if source is None:
        return {"vocab_size": tokens, "max_seq_len": session.config.seq_len}
    if tokens > source.vocab_size and not session.config.init.resize_vocab:
        new = _new_control_tokens(session, prepared)
        if new:
            raise ConfigError(
                f"the rendering adds control tokens ({', '.join(new)}), and the model of init_from={source.given} has "
                f"no rows for them; init.resize_vocab=true adds them, or choose rendering.template=plain"
            )
        raise ConfigError(
            f"the tokenizer has {tokens} tokens and the model of init_from={source.given} has rows for "
            f"{source.vocab_size}; init.resize_vocab=true adds the others"
        )
    return {"vocab_size": max(tokens, source.vocab_size), "max_seq_len": source.max_seq_len}


def _new_control_tokens(session: Session, prepared: PreparedData) -> list[str]:
    """Return the control tokens that the rendering has added to the tokenizer of the settings."""
    settings = session.config.tokenizer
    if settings.needs_texts():
        return []
    before = set(settings.build(lambda: iter(())).control_names)
    return [name for name in prepared.tokenizer.control_names if name not in before]


def _check_new_tokens_are_trained(session: Session, prepared: PreparedData, model: LanguageModel) -> None:
    """Raise ConfigError where an adapter would leave the rows of new control tokens as they are, never learnt."""
    if session.source is None or model.output_weight().requires_grad:
        return
    new = _new_control_tokens(session, prepared)
    if new:
        raise ConfigError(
            f"the rendering adds control tokens ({', '.join(new)}) whose rows the adapter would not train; choose "
            "rendering.template=plain, which needs none, or adapter=none"
        )


def _choose_numerics(session: Session, model: LanguageModel) -> None:
    if session.numerics is None:
        measured = session.rendezvous.share("numerics", lambda: asdict(_measured_numerics(session, model)))
        session.numerics = NumericsChoice(**measured)
        log.info("numerics: %s", session.numerics.summary())
    apply_numerics(model, session.numerics)


def _measured_numerics(session: Session, model: LanguageModel) -> NumericsChoice:
    return measure_numerics(
        model,
        batch_size=session.micro_batch_size,
        seq_len=session.config.seq_len,
        precision=session.hardware.precision.name,
        matmul_precision=session.config.trainer.matmul_precision.name,
        device="cpu" if session.hardware.accelerator.name == "cpu" else "cuda",
        remembered=session.folder.numerics,
    )
