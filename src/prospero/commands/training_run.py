"""The steps of `train`, each a small story: the folder, the parts built from their settings, the results written."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch

from prospero import log as logging_setup
from prospero import paths
from prospero.checkpoints.folders import remove_left_over
from prospero.checkpoints.manifest import verify_folder
from prospero.checkpoints.model_folder import describe_model, load_model, save_model_folder
from prospero.checkpoints.run_checkpoints import find_checkpoint, is_checkpoint, read_checkpoint
from prospero.commands.prepare import describe, prepare_data
from prospero.configuration import composition
from prospero.data.datamodule import LanguageDataModule
from prospero.errors import ConfigError, Interrupted, ProsperoError
from prospero.log import log
from prospero.model.numerics import NumericsChoice, apply_numerics, measure_numerics
from prospero.model.size import count_parameters, flops_per_token
from prospero.objective.objective import Objective
from prospero.plain import flat, plain
from prospero.processes import launch, ranks, signals
from prospero.processes.rendezvous import ALONE, Rendezvous, one_per_folder
from prospero.processes.run_lock import RunLock
from prospero.runs import find as find_run
from prospero.runs.environment import write_environment
from prospero.runs.folder import RunFolder
from prospero.runs.report import write_report
from prospero.runs.result import Status
from prospero.secret_values import is_secret, scrub
from prospero.training.callbacks import pruning
from prospero.training.callbacks.ema import averaged
from prospero.training.callbacks.progress import duration
from prospero.training.devices import gpus
from prospero.training.divergence import TrainingDiverged
from prospero.training.guards.rollback import Rollbacks
from prospero.training.horizon import UNLIMITED_STEPS, steps_of_run
from prospero.training.loggers import close_loggers
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.module import TrainingModule
from prospero.training.parallel import check_tensor_parallel
from prospero.training.run_facts import RunFacts
from prospero.training.trainer import Hardware

if TYPE_CHECKING:
    from prospero.data.prepare import PreparedData
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.model.base import LanguageModel
    from prospero.training.settings import TrainConfig


WRITTEN_AT_START = ("log.txt", "config.yaml", "environment.json", "code.diff", "numerics.json")

DECIDED_BY_RANK_0 = ("run_dir", "resume", "outputs_dir")
"""Settings that may differ between processes: the first two are taken from rank 0, the third is each machine's own."""


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch; what happens inside steps is seeded anew there, from (seed, step, rank)."""
    L.seed_everything(seed, workers=True, verbose=False)


@dataclass(slots=True)
class TrainingRun:
    """One run: its settings, its folder, and what is found out on the way."""

    config: "TrainConfig"
    folder: Path
    hardware: Hardware
    checkpoint: Path | None
    """The checkpoint to continue from."""
    plain_config: dict[str, Any]
    max_steps: int = 0
    tested: Path | None = None
    """The checkpoint that the final test and model/ are made of."""
    measured: dict[str, float] = field(default_factory=dict)
    """The results of the final validation and test."""
    fresh: bool = True
    """Whether the folder held no run before."""
    rendezvous: Rendezvous = ALONE
    """Where the processes of the run agree before they train."""
    lock: RunLock | None = None
    """Keeps a second process out of the folder; held by rank 0."""
    numerics: NumericsChoice | None = None
    """How the model computes on this machine."""
    loggers: list[Any] | None = None
    """Where metrics go, the same however often the run goes back."""
    trainer_in_use: L.Trainer | None = None
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def start(cls, config: "TrainConfig") -> "TrainingRun":
        """Look at the machine, make the run folder, and write down what is to be run before anything runs."""
        hardware = config.trainer.hardware()
        plain_config = composition.redact(plain(config))
        rendezvous = launch.join(hardware.devices, hardware.num_nodes)
        compared = flat(plain(config), without=DECIDED_BY_RANK_0)
        rendezvous.same("settings", compared, hidden=is_secret)
        folder = find_run.agree(
            rendezvous,
            outputs_dir=config.outputs_dir,
            run_dir=config.run_dir,
            name=config.run_name(),
            resume=config.resume is not None,
        )
        lock = RunLock(folder).take() if ranks.is_rank_zero() else None
        fresh = not (folder / "config.yaml").exists()
        if ranks.is_rank_zero():
            logging_setup.configure(folder / "log.txt")
            paths.write_text(folder / "config.yaml", composition.rerunnable(config, "train"))
            write_environment(folder, gpus=gpus())
        else:
            logging_setup.configure(level=logging_setup.SILENT)
        log.info("run folder: %s", folder)
        found = rendezvous.share("checkpoint", lambda: str(_checkpoint_to_resume(config, folder) or ""))
        checkpoint = Path(found) if found else None
        if checkpoint is not None:
            log.info("continuing from %s", checkpoint)
        elif not fresh:
            log.info("the folder holds no checkpoint yet: starting at the first step")
        return cls(config, folder, hardware, checkpoint, plain_config, fresh=fresh, rendezvous=rendezvous, lock=lock)

    @contextmanager
    def discarded_on_mistake(self) -> Iterator[None]:
        """Take back the folder of a new run whose settings or data turn out to be impossible before it trains."""
        try:
            yield
            self.rendezvous.all_ready()
        except (ProsperoError, Interrupted):
            self.take_back()
            raise

    def take_back(self) -> None:
        """Remove what a new run wrote before its first step, and the folder when nothing else is in it."""
        if self.fresh and ranks.is_rank_zero():
            logging_setup.configure()
            self.release()
            for name in WRITTEN_AT_START:
                (self.folder / name).unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def release(self) -> None:
        """Let other processes use the folder."""
        if self.lock is not None:
            self.lock.release()

    def prepared_data(self) -> "PreparedData":
        """Return the prepared data, made by one process for each cache folder while those that share it wait.

        Raises ConfigError when machines with caches of their own have prepared different data.
        """
        cache = Path(self.config.outputs_dir, "data")
        prepared = one_per_folder(self.rendezvous, cache, lambda: prepare_data(self.config))
        self.rendezvous.same("data", {"fingerprint": prepared.fingerprint})
        return prepared

    def data(self, prepared: "PreparedData") -> LanguageDataModule:
        """Return the batches of the prepared data."""
        config, splits = self.config, prepared.receipt["splits"]
        log.info(
            "data: %s; train %s tokens, val %s tokens; %d tokens in the vocabulary; fingerprint %s",
            prepared.receipt["source"]["description"],
            f"{splits['train']['tokens']:,}",
            f"{splits['val']['tokens']:,}",
            prepared.tokenizer.vocab_size,
            prepared.fingerprint[:12],
        )
        return LanguageDataModule(
            prepared,
            packing=config.packing,
            augmentation=config.augmentation,
            seq_len=config.seq_len,
            global_batch_size=config.global_batch_size,
            micro_batch_size=self.micro_batch_size,
            seed=config.seed,
            train_sequences=config.train_sequences,
            val_sequences=config.trainer.val_sequences,
            document_ids=getattr(config.model, "document_attention", False),
            rank=ranks.rank() // self.hardware.tensor_parallel,
            world_size=self.hardware.data_parallel_size,
        )

    @property
    def micro_batch_size(self) -> int:
        """Sequences of one forward pass: the setting, else a device's whole share of the global batch."""
        config, ranks, together = self.config, self.hardware.data_parallel_size, self.hardware.tensor_parallel
        if config.global_batch_size % ranks:
            who = f"{ranks} processes" if together == 1 else f"{ranks} groups of {together} processes"
            raise ConfigError(f"global_batch_size={config.global_batch_size} cannot be shared by {who}")
        return config.micro_batch_size or config.global_batch_size // ranks

    def model(self, tokenizer: "Tokenizer") -> "LanguageModel":
        """Return the network with its starting weights, and choose how it computes on this machine by measuring."""
        config = self.config
        model = config.model.build(vocab_size=tokenizer.vocab_size, max_seq_len=config.seq_len)
        check_tensor_parallel(model, self.hardware.tensor_parallel)
        if self.numerics is None:
            measured = self.rendezvous.share("numerics", lambda: asdict(self._measured_numerics(model)))
            self.numerics = NumericsChoice(**measured)
            log.info("numerics: %s", self.numerics.summary())
        apply_numerics(model, self.numerics)
        return model

    def _measured_numerics(self, model: "LanguageModel") -> NumericsChoice:
        return measure_numerics(
            model,
            batch_size=self.micro_batch_size,
            seq_len=self.config.seq_len,
            precision=self.hardware.precision.name,
            matmul_precision=self.config.trainer.matmul_precision.name,
            device="cpu" if self.hardware.accelerator.name == "cpu" else "cuda",
            remembered=self.folder / "numerics.json",
        )

    def objective(self) -> Objective:
        """Return loss + sum of weight x regulariser."""
        config = self.config
        return Objective(config.loss.build(), {name: part.build() for name, part in config.regularizers.items()})

    def module(self, model: "LanguageModel", objective: Objective, prepared: "PreparedData") -> TrainingModule:
        """Return the LightningModule: model, objective and how they are optimised."""
        config = self.config
        tokens_per_step = config.global_batch_size * config.seq_len
        self.max_steps = steps_of_run(**config.limits(), tokens_per_step=tokens_per_step)
        vocab_size = prepared.tokenizer.vocab_size
        return TrainingModule(
            model,
            objective,
            config.optimizer,
            config.schedule,
            total_steps=self.max_steps,
            token_bytes=prepared.tokenizer.token_bytes(),
            max_grad_norm=config.trainer.max_grad_norm,
            seed=config.seed,
            compile_blocks=config.trainer.compile,
            guards=config.trainer.guards,
            facts={
                "model": describe_model(config.model, vocab_size=vocab_size, max_seq_len=config.seq_len),
                "config": self.plain_config,
                "data_fingerprint": prepared.fingerprint,
                "tokenizer_fingerprint": prepared.tokenizer.fingerprint(),
            },
        )

    def trainer(self, module: TrainingModule, prepared: "PreparedData") -> L.Trainer:
        """Return Lightning's Trainer with our callbacks and loggers."""
        config = self.config
        facts = RunFacts(
            run_dir=self.folder,
            name=config.run_name(),
            group=os.environ.get("PROSPERO_SWEEP", ""),
            tags=self.plain_config["tags"],
            config=self.plain_config,
            tokenizer=prepared.tokenizer,
            tokens_per_step=config.global_batch_size * config.seq_len,
            flops_per_token=flops_per_token(module.model, config.seq_len),
            precision=self.hardware.precision.name,
            seed=config.seed,
            sampling=config.sampling,
        )
        if self.loggers is None:
            self.loggers = [MetricsFile(self.folder), *(part.build(facts) for part in config.logger.values())]
        trainer = self.trainer_in_use = config.trainer.build(
            run_dir=self.folder,
            max_steps=self.max_steps,
            accumulate=config.global_batch_size // (self.micro_batch_size * self.hardware.data_parallel_size),
            max_minutes=config.limits()["max_minutes"],
            callbacks=[*(part.build(facts) for part in config.callbacks.values()), *pruning.from_environment()],
            loggers=self.loggers,
        )
        return trainer

    def say_what_comes(self, module: TrainingModule, data: LanguageDataModule, trainer: L.Trainer) -> None:
        """Print one summary before the first step: parameters, tokens, FLOPs, and the time when it can be estimated."""
        config = self.config
        count = count_parameters(module.model)
        per_step = config.global_batch_size * config.seq_len
        flops = flops_per_token(module.model, config.seq_len)
        name = type(config.model).__name__.removesuffix("Config")
        log.info(
            "model: %s, %s parameters (%s outside embeddings)", name, f"{count.total:,}", f"{count.non_embedding:,}"
        )
        how = f"{config.global_batch_size} x {config.seq_len} = {per_step:,} tokens a step"
        if self.max_steps >= UNLIMITED_STEPS:
            log.info("training: %s minutes, %s, on %s", config.max_minutes, how, self.hardware.describe())
            return
        tokens = self.max_steps * per_step
        epochs = self.max_steps * config.global_batch_size / data.sequences_per_epoch
        log.info("training: %s steps, %s, on %s", f"{self.max_steps:,}", how, self.hardware.describe())
        seconds = self._seconds_of_step(module, data)
        time_ = f", about {duration(seconds * self.max_steps)} without validation" if seconds is not None else ""
        log.info("budget: %s tokens (%.2f epochs), %.3g FLOPs%s", f"{tokens:,}", epochs, float(flops * tokens), time_)

    def _seconds_of_step(self, module: TrainingModule, data: LanguageDataModule) -> float | None:
        """Time forward and backward of one micro-batch on a CPU, as an estimate; None elsewhere.

        The gradients are dropped and the random state is put back: nothing of the run changes.
        """
        if self.hardware.world_size > 1 or self.hardware.accelerator.name != "cpu":
            return None
        batch = next(iter(data.train_dataloader()))
        bf16 = self.hardware.precision.name == "bf16"
        seconds = 0.0
        with torch.random.fork_rng(devices=[]):
            for _ in range(2):  # the first warms up
                start = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    hidden = module.model(batch["input_ids"], document_ids=batch.get("document_ids")).logits
                hidden.float().logsumexp(-1).mean().backward()
                seconds = time.perf_counter() - start
        module.model.zero_grad(set_to_none=True)
        return seconds * self.config.global_batch_size / self.micro_batch_size

    def fit(
        self,
        module: TrainingModule,
        trainer: L.Trainer,
        data: LanguageDataModule,
        rebuild: Callable[[], tuple[TrainingModule, L.Trainer]],
    ) -> tuple[TrainingModule, L.Trainer]:
        """Train to the end; when training diverges go back to a good checkpoint and on with other data.

        Returns the module and the trainer that came to the end, `rebuild` having made them anew after each time.
        Raises TrainingDiverged when that does not help.
        """
        checkpoint = self.checkpoint
        rollbacks = Rollbacks(self.folder, self.config.trainer.guards, start=self.checkpoint).read()
        data.skip(rollbacks.ranges)
        while True:
            module.rollbacks = len(rollbacks.records)
            rollbacks.share = trainer.strategy.broadcast
            try:
                trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
                break
            except TrainingDiverged as error:
                checkpoint = rollbacks.go_back(error, module, data)
            data.consumed_sequences = 0
            seed_everything(self.config.seed)
            module, trainer = rebuild()
        if module.owes_validation and not module.leaving:
            trainer.validate(module, datamodule=data, verbose=False)
        return module, trainer

    @contextmanager
    def closing_loggers(self) -> Iterator[None]:
        """Close every logger, let the folder go and part from the other processes when all is over, however it ends."""
        exit_code, together = 1, False
        try:
            yield
            assert self.trainer_in_use is not None, "a run trains before it ends"
            exit_code, together = self.exit_code(self.trainer_in_use), True
        except Interrupted:
            if not signals.watch.deferred:
                self.take_back()
            raise
        finally:
            close_loggers(self.loggers or [], exit_code)
            self.release()
            ranks.leave(together=together)

    def test_the_best(self, trainer: L.Trainer, module: TrainingModule, data: LanguageDataModule) -> None:
        """Measure the best checkpoint by val/loss (the last where none was validated) on the test split."""
        self.measured = {k: v for k, v in module.latest_metrics.items() if k.startswith("val/")}
        if module.leaving:
            return
        self.tested = find_checkpoint(self.folder, "best")
        last = find_checkpoint(self.folder, "last")
        if self.tested is None:
            return
        if self.tested != last:
            checkpoint = read_checkpoint(self.tested, lazy=True)
            found = checkpoint["prospero"]["metrics"]
            self.measured = {k: v for k, v in found.items() if k.startswith("val/")}
            log.info("the best checkpoint, %s, is tested and kept as model/", self.tested.name)
        if "test" in data.prepared.splits:
            trainer.test(module, datamodule=data, ckpt_path=str(self.tested), verbose=False, weights_only=True)
            self.measured |= {k: v for k, v in module.latest_metrics.items() if k.startswith("test/")}
        if module.leaving:
            self.tested = None  # the test was broken off, and is made when the run is continued

    def write_results(self, module: TrainingModule, prepared: "PreparedData") -> None:
        """Write model/, the result file, the receipt and the report, and say where they are; on rank 0 alone."""
        if not ranks.is_rank_zero() or self.tested is None:
            return
        model, _, description = load_model(self.tested)
        weights = model.state_dict()
        if getattr(self.config.callbacks.get("ema"), "keep", False):
            weights = averaged(weights, read_checkpoint(self.tested)["ema"])
        facts = {"metrics": self.measured, "checkpoint": self.tested.name, "data_fingerprint": prepared.fingerprint}
        save_model_folder(self.folder / "model", weights, prepared.tokenizer, description["model"], facts=facts)
        bigram = prepared.receipt["bigram_bits_per_byte"]
        name = "val/bits_per_byte" if "val/bits_per_byte" in self.measured else "val/loss"
        result = {"objective": self.measured.get(name), "objective_name": name, **self.measured}
        result |= {"bigram_bits_per_byte": bigram, "steps": module.consumed_sequences // self.config.global_batch_size}
        result |= {"tokens": module.consumed_tokens, "training_seconds": round(module.seconds, 3)}
        result |= {"status": Status.stopped.value if self.exit_code(module.trainer) else Status.done.value}
        for callback in module.trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            result |= callback.result() if isinstance(callback, pruning.Pruning) else {}
        result["stop_reason"] = module.stop_reason
        paths.write_text(RunFolder(self.folder).result, json.dumps(result, indent=1) + "\n")
        paths.write_text(self.folder / "receipt.json", scrub(json.dumps(prepared.receipt, indent=1)) + "\n")
        self._report(module, prepared)
        self._say_results(module, bigram)

    def _report(self, module: TrainingModule, prepared: "PreparedData") -> None:
        write_report(
            self.folder,
            title=self.config.run_name(),
            config=self.plain_config,
            receipt_lines=describe(prepared),
            results={**self.measured, "bigram bits per byte on val": prepared.receipt["bigram_bits_per_byte"]},
            stop_reason=module.stop_reason or "",
        )

    def _say_results(self, module: TrainingModule, bigram: float) -> None:
        log.info("ended: %s, after %.0f s in all", module.stop_reason, time.perf_counter() - self.started)
        for split in ("val", "test"):
            if f"{split}/loss" in self.measured:
                log.info(
                    "%-4s  loss %.4f  perplexity %.2f  bits per byte %.4f",
                    split,
                    self.measured[f"{split}/loss"],
                    self.measured[f"{split}/perplexity"],
                    self.measured.get(f"{split}/bits_per_byte", float("nan")),
                )
        log.info("bigram model of the same tokens, on val: bits per byte %.4f", bigram)
        log.info("look at %s; write with: python generate.py run=%s", self.folder / "report.html", self.folder)

    def exit_code(self, trainer: L.Trainer) -> int:
        """Return 0, or 128 + signal when a signal ended training.

        A process that another one started leaves with 0: only what all agreed on comes here, and the first says it.
        """
        if ranks.is_launched_child():
            return 0
        return max(int(getattr(callback, "exit_code", 0)) for callback in trainer.callbacks)  # type: ignore[attr-defined]


def _checkpoint_to_resume(config: "TrainConfig", folder: Path) -> Path | None:
    """Return the checkpoint that `resume` asks for; `auto` may find none and then starts anew."""
    if config.resume is None:
        return None
    if config.resume in ("auto", "last", "best"):
        remove_left_over(folder / "checkpoints")
        found = find_checkpoint(folder, "best" if config.resume == "best" else "last")
        if found is None and config.resume != "auto":
            raise ConfigError(f"resume={config.resume}: {folder} holds no readable checkpoint; start with resume=auto")
        return found
    path = Path(config.resume)
    if path.is_dir() and not is_checkpoint(path):
        path = find_checkpoint(path) or path
    if not is_checkpoint(path):
        raise ConfigError(f"resume={config.resume} is neither auto, last, best nor the folder of a checkpoint or run")
    verify_folder(path)
    return path
