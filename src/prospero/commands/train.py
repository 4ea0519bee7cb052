"""`train`: from raw text to a trained, measured model, in one run folder.

`train(config)` reads as the recipe. Nothing heavy is imported at the top: composing a configuration, `--help` and the
parent of a sweep need the settings alone.
"""

from prospero.training.settings import TrainConfig

EXAMPLES = [
    ("python train.py", "the embedded default: minutes on a CPU, no account, no download"),
    ("python train.py model=base trainer=gpu max_steps=20000", "GPT-2 124M class on a GPU"),
    ("python train.py model=lstm optimizer=muon schedule=wsd 'regularizers=[l2,z_loss]'", "other parts"),
    ("python train.py data=files data.path=corpus.jsonl.zst cleaning=web tokenizer.vocab_size=8192", "your own text"),
    ("python train.py data=files data.path=shakespeare.txt tokenizer=char split=tail model=tiny", "one long document"),
    ("python train.py max_minutes=10 'callbacks=[default,early_stopping]'", "stop by time or when val/loss rises"),
    (
        "python train.py 'callbacks=[default,evaluation]' 'evaluation.tasks=[choice]' monitor=val/choice/accuracy",
        "tasks on the way",
    ),
    ("python train.py logger=wandb name=first tags=[demo]", "W&B, offline when no key is found"),
    ("python train.py -m model=tiny,lstm_tiny optimizer.lr=1e-3,3e-3 seed=1,2", "a sweep, with a table at the end"),
    ("python train.py init_from=last adapter=lora max_steps=50", "train the newest run's model on, here by an adapter"),
    ("python train.py run_dir=outputs/a resume=auto", "start, or continue after a kill, by the same command"),
    ("python train.py debug=overfit", "does it learn one batch by heart? (debug: see `ls conf/debug`)"),
    ("python train.py experiment=770m --cfg job", "a size and what belongs to it; prints settings, does nothing"),
]


def train(config: TrainConfig) -> int:
    """Train a model as the settings say, measure it, and leave everything in the run folder; return the exit code."""
    from prospero.commands.init_from import begin_from
    from prospero.commands.plan import plan_of
    from prospero.commands.teaching import teaching_of
    from prospero.planning.preflight import say
    from prospero.training.assembly import assemble
    from prospero.training.guards.rollback import fit
    from prospero.training.results import test_the_best, write_results
    from prospero.training.session import open_session

    config, source = begin_from(config)
    with open_session(config, source, teaching_of(config)) as session:
        run = assemble(session)
        session.begin(run.prepared.fingerprint)
        say(plan_of(run))
        run = fit(run)
        return write_results(run, test_the_best(run))
