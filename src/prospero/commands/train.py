"""`train`: from raw text to a trained, measured model, in one run folder.

`train(config)` reads as the recipe. Nothing heavy is imported at the top: composing a configuration, `--help` and the
parent of a sweep need the settings alone.
"""

from typing import Any

from prospero.processes import signals
from prospero.training.settings import TrainConfig


def train(config: TrainConfig) -> int:
    """Train a model as the settings say, measure it, and leave everything in the run folder; return the exit code."""
    with signals.watched():
        from prospero.commands.training_run import TrainingRun, seed_everything

        run = TrainingRun.start(config)
        seed_everything(config.seed)
        with run.discarded_on_mistake():
            prepared = run.prepared_data()
            data = run.data(prepared)

            def parts() -> Any:
                model = run.model(prepared.tokenizer)
                objective = run.objective()
                module = run.module(model, objective, prepared)
                return module, run.trainer(module, prepared)

            module, trainer = parts()
        with run.closing_loggers():
            run.say_what_comes(module, data, trainer)
            module, trainer = run.fit(module, trainer, data, parts)
            run.test_the_best(trainer, module, data)
            run.write_results(module, prepared)
        return run.exit_code(trainer)
