"""What a run leaves at its end: the test of its best checkpoint, model/, the result file, the receipt, the report."""

import json
import time
from dataclasses import dataclass, field

from prospero import paths
from prospero.checkpoints.model_folder import (
    ADAPTER_FILE,
    adapter_of,
    load_model,
    merge_adapter,
    save_model_folder,
)
from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.data.describe import describe
from prospero.log import log
from prospero.processes import ranks
from prospero.runs.doctor.examination import brief
from prospero.runs.report import write_report
from prospero.runs.result import Status
from prospero.runs.usage import all_starts, in_words, total
from prospero.secret_values import scrub
from prospero.training.assembly import RunParts
from prospero.training.callbacks.base import StepCallback
from prospero.training.callbacks.ema import CHECKPOINT_KEY as EMA_KEY
from prospero.training.callbacks.ema import EMAConfig, put_average
from prospero.training.checkpoint_io import folder_strategy
from prospero.training.lightning_seams import callbacks_of


@dataclass(slots=True)
class Outcome:
    """What a run has come to."""

    best: Checkpoint | None
    """What was tested and becomes model/; None when none was saved, or the run was broken off."""
    measured: dict[str, float] = field(default_factory=dict)
    """The numbers of its validation and its test."""


def test_the_best(run: RunParts) -> Outcome:
    """Measure the best checkpoint by the monitor (the last where none was validated) on the test split. Collective."""
    session, state = run.session, run.module.state
    outcome = Outcome(None, {name: value for name, value in state.metrics.items() if name.startswith("val/")})
    if state.stopping_to_resume:
        return outcome
    best = _shared_best(run)
    if best is None:
        return outcome
    outcome.best = best
    if best.step != run.trainer.global_step:
        found = best.manifest.get("metrics") or best.memory["metrics"]
        outcome.measured = {name: value for name, value in found.items() if name.startswith("val/")}
        log.info("the best checkpoint, %s, is tested and kept as model/", best.path.name)
    if "test" in run.prepared.splits:
        folder_strategy(run.trainer).opened = best
        run.trainer.test(run.module, datamodule=run.data, ckpt_path=str(best.path), verbose=False, weights_only=True)
        outcome.measured |= {name: value for name, value in state.metrics.items() if name.startswith("test/")}
    if state.stopping_to_resume:
        outcome.best = None  # the test was broken off, and is made when the run is continued
    session.end(state.exit_code)
    return outcome


def _shared_best(run: RunParts) -> Checkpoint | None:
    """Let rank 0 find and verify the best checkpoint; the others take its word."""
    found: Checkpoint | None = None
    if ranks.is_rank_zero():
        found = run.session.checkpoints.best(run.monitor.name, higher_is_better=run.monitor.higher_is_better)
    path = run.trainer.strategy.broadcast(str(found.path) if found is not None else "")
    if not path:
        return None
    return found if found is not None else Checkpoint.open(path).trust()


def write_results(run: RunParts, outcome: Outcome) -> int:
    """Write what is left of the run, and say where it is; on rank 0 alone. Return the program's exit code."""
    session, state = run.session, run.module.state
    exit_code = session.end(state.exit_code)
    if session.usage is not None:
        session.usage.update()
        run.trainer.strategy.barrier("usage")
    for logger in session.loggers:
        logger.log_summary({"stop_reason": state.stop_reason, "training_seconds": round(state.seconds, 3)})
    if not ranks.is_rank_zero() or (outcome.best is None and state.stopping_to_resume):
        return exit_code
    if outcome.best is not None:
        _write_model(run, outcome.best, outcome.measured)
    bigram = run.prepared.receipt["bigram_bits_per_byte"]
    result = {"objective": outcome.measured.get(run.monitor.name), "objective_name": run.monitor.name}
    result |= {"objective_direction": run.monitor.direction, **outcome.measured}
    result |= {"bigram_bits_per_byte": bigram, "steps": state.sequences // session.config.global_batch_size}
    result |= {"tokens": state.tokens, "training_seconds": round(state.seconds, 3)}
    result |= {"status": Status.stopped.value if exit_code else Status.done.value}
    higher = run.module.metrics.higher_is_better()
    for callback in callbacks_of(run.trainer):
        found = callback.result() if isinstance(callback, StepCallback) else {}
        higher += found.pop("higher_is_better", [])
        result |= found
    result["higher_is_better"] = higher
    result["stop_reason"] = state.stop_reason
    result["usage"] = used = total(all_starts(session.folder))
    paths.write_text(session.folder.result, json.dumps(result, indent=1) + "\n")
    paths.write_text(session.folder.receipt, scrub(json.dumps(run.prepared.receipt, indent=1)) + "\n")
    write_report(
        session.folder.path,
        title=session.config.run_name(),
        config=session.plain_config,
        receipt_lines=describe(run.prepared),
        results={**outcome.measured, "bigram bits per byte on val": bigram},
        stop_reason=state.stop_reason or "",
        usage_lines=in_words(used),
    )
    for logger in session.loggers:
        logger.log_files(session.folder)
    _say_results(run, outcome, bigram)
    for line in in_words(used):
        log.info("%s", line)
    return exit_code


def _write_model(run: RunParts, best: Checkpoint, measured: dict[str, float]) -> None:
    """Write model/: the weights that were evaluated, unless the callback ema says which of the two to keep."""
    ema = next((part for part in run.session.config.callbacks.values() if isinstance(part, EMAConfig)), None)
    model, _, config = load_model(best, raw=ema is not None, merged=False)
    if ema is not None and ema.keep:
        put_average(model, best.read(lazy=True)[EMA_KEY]["weights"])
    facts = {"metrics": measured, "checkpoint": best.path.name, "data_fingerprint": run.prepared.fingerprint}
    facts |= {"init_from": run.session.source.plain()} if run.session.source is not None else {}
    adapter = adapter_of(config["model"])
    added = {} if adapter is None else adapter.added(model.state_dict())
    if added:
        save_model_folder(run.session.folder.adapter, added, None, config["model"], facts=facts, file=ADAPTER_FILE)
        log.info("the adapter alone is %s; model/ holds it folded in", run.session.folder.adapter)
    description = merge_adapter(model, config["model"])
    folder, tokenizer = run.session.folder.model, run.prepared.tokenizer
    save_model_folder(folder, model.state_dict(), tokenizer, description, facts=facts)


def _say_results(run: RunParts, outcome: Outcome, bigram: float) -> None:
    seconds = time.perf_counter() - run.session.started
    log.info("ended: %s, after %.0f s in all", run.module.state.stop_reason, seconds)
    for split in ("val", "test"):
        numbers = [
            f"{name.removeprefix(f'{split}/').replace('_', ' ')} {value:.4f}"
            for name, value in outcome.measured.items()
            if name.startswith(f"{split}/") and name.count("/") == 1
        ]
        if numbers:
            log.info("%-4s  %s", split, "  ".join(numbers))
    log.info("bigram model of the same tokens, on val: bits per byte %.4f", bigram)
    folder = run.session.folder
    if outcome.best is None:
        log.info("look at %s; no checkpoint was saved, so there is no test and no model/", folder.report)
    else:
        log.info("look at %s; write with: python generate.py run=%s", folder.report, folder.path)
    for line in brief(folder.path):
        log.info("%s", line)
