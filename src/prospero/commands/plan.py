"""The numbers of an assembled run, for what is said before its first step."""

from prospero.evaluation.bounds import Bound
from prospero.model.size import count_parameters, flops_per_token
from prospero.planning.preflight import RunPlan, measure_seconds
from prospero.training.assembly import RunParts
from prospero.training.horizon import UNLIMITED_STEPS
from prospero.training.tasks import evaluation_of


def plan_of(run: RunParts) -> RunPlan:
    """Return the numbers of an assembled run, a step timed where that is quick: on one CPU process."""
    config, hardware, module, data = run.session.config, run.session.hardware, run.module, run.data
    steps = module.how.total_steps if module.how.total_steps < UNLIMITED_STEPS else None
    seconds, evaluation = None, evaluation_of(config)
    every = None if evaluation is None else evaluation.every_steps
    if steps is not None and hardware.world_size == 1 and hardware.accelerator.name == "cpu":
        batch = next(iter(data.train_dataloader()))
        bf16 = hardware.precision.name == "bf16"
        if module.objective.facts <= batch.facts.keys():  # else what is learnt from is made on the way
            seconds = measure_seconds(module.objective, module.model, batch, module.metrics, bf16=bf16)
    return RunPlan(
        model_name=type(config.model).__name__.removesuffix("Config"),
        parameters=count_parameters(module.model),
        flops_per_token=flops_per_token(module.model, config.seq_len),
        max_steps=steps,
        max_minutes=config.max_minutes,
        global_batch_size=config.global_batch_size,
        seq_len=config.seq_len,
        sequences_per_epoch=data.sequences_per_epoch,
        hardware=hardware.describe(),
        validation=_bound(run, "val"),
        validations=1 if steps is None else config.trainer.validations(steps, every),
        tasks={task.name: task.size for task in run.session.tasks},
        test=_bound(run, "test") if "test" in run.prepared.splits else None,
        seconds=seconds,
    )


def _bound(run: RunParts, split: str) -> Bound:
    return Bound(
        sequences=run.data.evaluated_sequences(split),
        of_sequences=run.data.sequences_of(split),
        seq_len=run.data.seq_len,
        setting=f"trainer.{split}_sequences",
    )
