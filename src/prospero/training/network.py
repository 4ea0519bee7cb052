"""A run's network: built, with an adapter where one is asked for, and with its first weights, drawn or a source's."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from prospero.checkpoints.model_folder import describe_model
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError
from prospero.log import log
from prospero.model.adapters.none import NoAdapterConfig
from prospero.model.base import LanguageModel
from prospero.model.numerics import NumericsChoice, apply_numerics, measure_numerics
from prospero.training.initial_weights import InitialWeights
from prospero.training.session import Session
from prospero.training.tensor_parallel import check_tensor_parallel


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
    model: LanguageModel = config.model.build(**sizes)
    adapter.apply(model)
    check_tensor_parallel(model, hardware.tensor_parallel)
    model.compute_dtype = hardware.precision.compute_dtype
    _choose_numerics(session, model)
    network = Network(model, describe_model(config.model, **sizes, adapter=adapter_settings))
    if source is not None and begins:
        initial = InitialWeights(source, adapter)
        log.info("weights: begin as those of %s", initial.describe(model))
        if hardware.strategy.sharded:
            network.fill = initial.fill
        else:
            initial.fill(model)
    return network


def _sizes(session: Session, prepared: PreparedData) -> dict[str, int]:
    """Return vocab_size and max_seq_len: those of the source where there is one, with rows for added tokens."""
    source, tokens = session.source, prepared.tokenizer.vocab_size
    if source is None:
        return {"vocab_size": tokens, "max_seq_len": session.config.seq_len}
    if tokens > source.vocab_size and not session.config.init.resize_vocab:
        raise ConfigError(
            f"the tokenizer has {tokens} tokens and the model of init_from={source.given} has rows for "
            f"{source.vocab_size}; init.resize_vocab=true adds the others"
        )
    return {"vocab_size": max(tokens, source.vocab_size), "max_seq_len": source.max_seq_len}


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
