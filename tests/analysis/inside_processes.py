"""Analyses inside training under several strategies in the same processes; started with torchrun.

    torchrun --nproc-per-node N inside_processes.py FOLDER CASE...

Each rank writes FOLDER/CASE_RANK.json: the numbers that it published, or the error.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from prospero.analysis.ablation import AblationConfig
from prospero.analysis.attention import AttentionConfig
from prospero.analysis.induction import InductionConfig
from prospero.analysis.logit_lens import LogitLensConfig
from prospero.analysis.neurons import NeuronsConfig
from prospero.analysis.patching import PatchingConfig
from prospero.analysis.probes import ProbesConfig
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts, build_analyses
from prospero.model.transformer import TransformerConfig
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective
from prospero.optim.adamw import AdamWConfig
from prospero.paths import write_text
from prospero.training.callbacks.analysis import AnalysisConfig
from prospero.training.module import TrainingModule
from prospero.training.optimization import Optimization
from prospero.training.run_facts import RunFacts
from prospero.training.trainer import StrategyName
from tests.analysis.small_models import SEQ_LEN, TOKENIZER, text_file
from tests.training.tiny import Fall, TinyData, tiny_metrics, tiny_trainer

CASES: dict[str, dict[str, Any]] = {
    "one": {"devices": 1},
    "ddp": {"devices": 2, "strategy": StrategyName.ddp},
    "fsdp": {"devices": 2, "strategy": StrategyName.fsdp},
    "tensor_parallel": {"devices": 2, "strategy": StrategyName.tensor_parallel},
}
SHAPE = {"n_layers": 2, "n_heads": 4}


def settings(folder: Path) -> dict[str, Any]:
    """Return the settings of all analyses, few items each."""
    text = {"path": text_file(folder), "limit": 5}
    return {
        "logit_lens": LogitLensConfig(**text),
        "attention": AttentionConfig(**text),
        "induction": InductionConfig(period=3, repeats=2, limit=5),
        "ablation": AblationConfig(**text),
        "patching": PatchingConfig(clean="f(ab", corrupted="f[ab", answer=")", wrong="]"),
        "neurons": NeuronsConfig(**text, per_point=1),
        "probes": ProbesConfig(path=programs(folder), properties=["bracket_depth"], tokens=300),
    }


def programs(folder: Path) -> str:
    """Write some small programs and return their folder."""
    where = folder / "programs"
    where.mkdir(exist_ok=True)
    for number in range(12):
        text = f"a{number} = f([{number}, (b, {number * 7})])\n" * 2
        write_text(where / f"{number:02}.py", text)  # whole at any moment: another rank reads it
    return str(where)


def train(folder: Path, case: str) -> dict[str, Any]:
    """Train a step that changes nothing, and return what was published."""
    torch.manual_seed(5)
    how = Optimization(optimizer=AdamWConfig(lr=0.0), schedule=Fall(), total_steps=1, seed=3)
    model = TransformerConfig(**SHAPE, d_model=16, init_std=0.3).build(TOKENIZER.vocab_size, SEQ_LEN)
    objective = Objective({"cross_entropy": CrossEntropyConfig().build()}, {})
    module = TrainingModule(model, objective, tiny_metrics(), how)
    known = AnalysisFacts(tokenizer=TOKENIZER, model_kind="transformer", seq_len=SEQ_LEN, training=True, **SHAPE)
    analyses = build_analyses(settings(folder), known)
    facts = RunFacts(run_dir=folder / case, tokenizer=TOKENIZER, analyses=analyses)
    callback = AnalysisConfig(every_steps=1, rows=2, pictures=False).build(facts)
    trainer = tiny_trainer(folder / case, max_steps=1, val_every_steps=1, callbacks=[callback], **CASES[case])
    ranks = 1 if case == "tensor_parallel" else CASES[case]["devices"]
    try:
        trainer.fit(module, datamodule=TinyData(4, 4 // ranks))
    except ConfigError as error:
        return {"error": str(error), "rank": trainer.global_rank}
    numbers = {key: value for key, value in module.state.metrics.items() if key.split("/")[1] in settings(folder)}
    return {"numbers": numbers, "rank": trainer.global_rank}


def main(folder: str, *cases: str) -> None:
    torch.set_num_threads(1)
    for case in cases:
        found = train(Path(folder), case)
        (Path(folder) / f"{case}_{found['rank']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
