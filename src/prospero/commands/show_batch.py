"""`show batch`: one batch of a training run in the terminal, with the tokens that carry loss in colour."""

from dataclasses import dataclass

from prospero.errors import ConfigError
from prospero.training.settings import TrainConfig

EXAMPLES = [
    (
        "prospero show batch data=examples data.path=talks.jsonl rendering=chatml packing=best_fit",
        "what will be learnt",
    ),
    ("prospero show batch experiment=770m step=1000 --cfg job", "settings are those of train"),
]


@dataclass(kw_only=True, slots=True)
class ShowBatchConfig(TrainConfig):
    """All settings of a training run, and which of its batches is shown."""

    step: int = 1
    """The step whose global batch is shown, counted from 1."""
    shown_sequences: int = 4
    """Sequences of the batch that are printed; all of them are counted."""

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        for name, least in (("step", 1), ("shown_sequences", 0)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name}={value} is impossible; give {least} or more")


def show_batch(config: ShowBatchConfig) -> int:
    """Prepare the data, where they are not there yet, and print a batch; nothing is trained and no run is made."""
    import sys

    import torch

    from prospero import log
    from prospero.commands.init_from import begin_from
    from prospero.data.mixture.preparation import prepare
    from prospero.data.mixture.training import training_order, training_packing
    from prospero.data.packing.apart import say_if_examples_mix
    from prospero.data.shown_batch import lines, rows

    log.configure()
    config, _ = begin_from(config)
    prepared = prepare(config)
    with torch.device("meta"):
        model = config.model.build(vocab_size=prepared.tokenizer.vocab_size, max_seq_len=config.seq_len)
    say_if_examples_mix(prepared.splits["train"], config.packing, document_ids=model.reads_document_ids)
    packing = training_packing(prepared, config.packing, config.seq_len)
    size, limit = config.global_batch_size, config.train_sequences
    order = training_order(prepared, packing, sequences=limit, step_size=size, seed=config.seed)
    indices = order((config.step - 1) * size, config.step * size)
    found = rows(packing.read(indices), prepared.tokenizer.eot_id)
    for line in lines(found, prepared.tokenizer, colour=sys.stdout.isatty(), shown=config.shown_sequences):
        print(line)
    return 0
