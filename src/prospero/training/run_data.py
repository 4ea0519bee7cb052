"""A run's data: prepared once for all processes, then cut into the batches that its model reads."""

from pathlib import Path

from prospero.data.datamodule import LanguageDataModule
from prospero.data.mixture.order import MixtureOrder
from prospero.data.mixture.preparation import prepare
from prospero.data.mixture.settings import mixing_of
from prospero.data.mixture.training import mixture_lines
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError
from prospero.log import log
from prospero.model.size import flops_per_token
from prospero.processes import ranks
from prospero.processes.rendezvous import one_per_folder
from prospero.training.bounds import evaluated_sequences, max_steps
from prospero.training.horizon import UNLIMITED_STEPS
from prospero.training.network import Network
from prospero.training.reference import attach_reference
from prospero.training.resume_check import check_mixture
from prospero.training.session import Session


def prepare_data(session: Session) -> PreparedData:
    """Return the prepared data, made by one process for each cache folder while those that share it wait.

    Raises ConfigError when machines with caches of their own have prepared different data, or a checkpoint was trained
    on another mixture.
    """
    if session.checkpoint is not None:
        check_mixture(session.checkpoint, mixing_of(session.config.data), own_folder=session.goes_on_in_place)
    cache = Path(session.config.outputs_dir, "data")
    prepared = one_per_folder(session.rendezvous, cache, lambda: prepare(session.config))
    session.rendezvous.same("data", {"fingerprint": prepared.fingerprint})
    return prepared


def build_data(session: Session, prepared: PreparedData, network: Network) -> LanguageDataModule:
    """Return the batches of the prepared data that the model reads, with what a teacher or a reference says of them."""
    model, config, splits = network.model, session.config, prepared.receipt["splits"]
    log.info(
        "data: %s; train %s tokens, val %s tokens; %d tokens in the vocabulary; fingerprint %s",
        prepared.receipt["source"]["description"],
        f"{splits['train']['tokens']:,}",
        f"{splits['val']['tokens']:,}",
        prepared.tokenizer.vocab_size,
        prepared.fingerprint[:12],
    )
    data = LanguageDataModule(
        prepared,
        packing=config.packing,
        augmentation=config.augmentation,
        seq_len=config.seq_len,
        global_batch_size=config.global_batch_size,
        micro_batch_size=session.micro_batch_size,
        seed=config.seed,
        num_workers=config.data.num_workers,
        train_sequences=config.train_sequences,
        document_ids=model.reads_document_ids,
        image_shape=model.image_shape,
        training_document_ids=session.teaching is not None and session.teaching.reads_document_ids,
        training_facts=None if session.teaching is None else session.teaching.store,
        rank=ranks.rank() // session.hardware.tensor_parallel,
        world_size=session.hardware.data_parallel_size,
    )
    _say_mixture(data, max_steps(config, flops_per_token(model, config.seq_len)))
    data.val_sequences, data.test_sequences = evaluated_sequences(config, data, flops_per_token(model, config.seq_len))
    if session.teaching is not None:
        session.teaching.check(config, prepared, data.sequences_per_epoch)
        session.rendezvous.same("teacher", {"fingerprint": session.teaching.fingerprint})
    attach_reference(session, data, network)
    return data


def _say_mixture(data: LanguageDataModule, steps: int) -> None:
    """Say how the parts of a mixture are read; ConfigError where all end before the run does."""
    order = data.training_order()
    if not isinstance(order, MixtureOrder):
        return
    ends = order.quotas.ends
    if ends is not None and ends < steps:
        wanted = "has no limit of steps" if steps == UNLIMITED_STEPS else f"is {steps:,} steps long"
        raise ConfigError(
            f"the parts of the mixture have text for {ends:,} steps (max_epochs of each), and this run {wanted}; raise "
            f"or leave out a max_epochs, or set max_steps={ends}"
        )
    for line in mixture_lines(data.prepared, order, None if steps == UNLIMITED_STEPS else steps):
        log.info("%s", line)
