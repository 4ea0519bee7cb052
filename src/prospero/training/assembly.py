"""A run's parts, built from its settings: data, model, objective, metrics, module, trainer."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import lightning as L

from prospero.data.datamodule import LanguageDataModule
from prospero.data.prepare import PreparedData
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.collection import TokenMetrics, check_monitor, refuse_text_metrics
from prospero.evaluation.monitor import Monitor
from prospero.model.size import count_parameters, flops_per_token
from prospero.objective.objective import Objective
from prospero.objective.preference import objective_of
from prospero.processes import ranks
from prospero.training.bounds import check_micro_batch
from prospero.training.callbacks import pruning
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.module import TrainingModule
from prospero.training.network import Network, build_network, check_adapter
from prospero.training.optimization import optimization_of
from prospero.training.preference import check_preferences
from prospero.training.resume_check import check_data, fingerprints, part_names
from prospero.training.rollouts.building import build_maker, check_rollouts
from prospero.training.run_data import build_data, prepare_data
from prospero.training.run_facts import RunFacts
from prospero.training.session import Session
from prospero.training.settings import TrainConfig
from prospero.training.tasks import build_analyses, build_tasks, trained_before


@dataclass(slots=True)
class RunParts:
    """The parts of a run, put together."""

    session: Session
    prepared: PreparedData
    data: LanguageDataModule
    module: TrainingModule
    trainer: L.Trainer
    monitor: Monitor

    def rebuilt(self, *, begins: bool) -> "RunParts":
        """Return the run with a module and a trainer as at its start, the data as they are; for going back.

        It `begins` anew where no checkpoint is to be loaded.
        """
        network = build_network(self.session, self.prepared, begins=begins)
        module, trainer, monitor = _build_trained(self.session, self.prepared, self.data, network)
        return RunParts(self.session, self.prepared, self.data, module, trainer, monitor)


def assemble(session: Session) -> RunParts:
    """Prepare the data and build every part of the run."""
    check_micro_batch(session.config, session.micro_batch_size)
    if not session.config.tasks:
        refuse_text_metrics(session.config.metrics)
    measured = [*session.config.tasks, *session.config.analyses]
    check_monitor(session.config.monitor, session.config.metrics, measured)
    check_adapter(session.config)
    check_preferences(session.config)
    check_rollouts(session.config)
    prepared = prepare_data(session)
    if session.checkpoint is not None and ranks.is_rank_zero():
        check_data(session.checkpoint, prepared, own_folder=session.goes_on_in_place)
    network = build_network(session, prepared, begins=session.checkpoint is None)
    session.tasks = build_tasks(session.config, prepared, session.source, document_ids=network.model.reads_document_ids)
    session.analyses = build_analyses(session.config, prepared, network.description, session.folder.path)
    data = build_data(session, prepared, network)
    module, trainer, monitor = _build_trained(session, prepared, data, network)
    return RunParts(session, prepared, data, module, trainer, monitor)


def build_objective(config: TrainConfig, sources: Sequence[str] = ()) -> Objective:
    """Return sum of weight x loss + sum of weight x regulariser; of pairs where a loss is; `sources` are told apart."""
    losses = {name: part.build() for name, part in config.loss.items()}
    return objective_of(losses, {name: part.build() for name, part in config.regularizers.items()}, sources)


def build_metrics(config: TrainConfig, data: LanguageDataModule) -> TokenMetrics:
    """Return what a validation measures."""
    sizes, names = data.prepared.tokenizer.token_bytes(), data.source_names
    facts = MetricFacts(token_bytes=sizes, seq_len=config.seq_len, source_names=names, by_source=data.is_mixture)
    return TokenMetrics.build(config.metrics, facts)


def _build_trained(
    session: Session, prepared: PreparedData, data: LanguageDataModule, network: Network
) -> tuple[TrainingModule, L.Trainer, Monitor]:
    config = session.config
    network.model.embedding_noise = data.augmentation.embedding_noise
    metrics = build_metrics(config, data)
    monitor = metrics.monitor(config.monitor, [*session.tasks, *session.analyses])
    module = build_module(session, prepared, data, network, metrics)
    return module, build_trainer(session, prepared, module, monitor), monitor


def build_module(
    session: Session, prepared: PreparedData, data: LanguageDataModule, network: Network, metrics: TokenMetrics
) -> TrainingModule:
    """Return the LightningModule: model, objective, metrics and how they are optimised."""
    config, per_token = session.config, flops_per_token(network.model, session.config.seq_len)
    how = optimization_of(config, per_token)
    facts = {"model": network.description, "config": session.plain_config}
    facts |= {"init_from": session.source.plain()} if session.source is not None else {}
    facts |= {"parts": part_names(config), **fingerprints(prepared)}
    sources = data.source_names if data.is_mixture else []
    model, objective, guards = network.model, build_objective(config, sources), config.trainer.guards
    if session.teaching is not None:
        compute_dtype, vocabulary = session.hardware.precision.compute_dtype, prepared.tokenizer.vocab_size
        session.teaching.teach(objective.losses.values(), compute_dtype, vocabulary)
    maker = build_maker(config, prepared, data)
    return TrainingModule(model, objective, metrics, how, guards=guards, facts=facts, fill=network.fill, maker=maker)


def build_trainer(session: Session, prepared: PreparedData, module: TrainingModule, monitor: Monitor) -> L.Trainer:
    """Return Lightning's Trainer with the run's callbacks and loggers."""
    config = session.config
    facts = RunFacts(
        run_dir=session.folder.path,
        name=config.run_name(),
        group=os.environ.get("PROSPERO_SWEEP", ""),
        tags=session.plain_config["tags"],
        config=session.plain_config,
        tokenizer=prepared.tokenizer,
        data_fingerprint=prepared.fingerprint,
        trained_on=[*(folder for folder in trained_before(config, session.source) if folder), prepared.directory],
        tokens_per_step=config.global_batch_size * config.seq_len,
        flops_per_token=flops_per_token(module.model, config.seq_len),
        size=count_parameters(module.model),
        precision=session.hardware.precision.name,
        seed=config.seed,
        monitor=monitor,
        higher_is_better=module.metrics.directions([*session.tasks, *session.analyses]),
        sampling=config.sampling,
        tasks=session.tasks,
        analyses=session.analyses,
    )
    if not session.loggers:
        others = [part.build(facts) for part in config.logger.values()]
        session.loggers = [MetricsFile(session.folder.path), *others]
    return config.trainer.build(
        run_dir=session.folder.path,
        max_steps=module.how.total_steps,
        accumulate=config.global_batch_size // (session.micro_batch_size * session.hardware.data_parallel_size),
        max_minutes=config.limits()["max_minutes"],
        callbacks=[*(part.build(facts) for part in config.callbacks.values()), *pruning.from_environment(monitor)],
        loggers=session.loggers,
    )
