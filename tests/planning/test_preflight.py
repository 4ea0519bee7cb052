"""The summary before a run: its lines, its estimate of time, and that measuring leaves no trace."""

import pytest
import torch

from prospero.evaluation.bounds import Bound
from prospero.model.size import ParameterCount
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective
from prospero.objective.regularizers.l2 import L2Config
from prospero.planning.preflight import RunPlan, StepSeconds, describe_plan, measure_seconds
from tests.objective.fakes import TinyModel, tiny_batch
from tests.training.tiny import tiny_metrics


def plan(**settings) -> RunPlan:
    def bound(sequences: int, split: str) -> Bound:
        return Bound(sequences=sequences, of_sequences=500, seq_len=10, setting=f"trainer.{split}_sequences")

    values = {
        "model_name": "Transformer",
        "parameters": ParameterCount(total=1000, embedding=400, by_module={}),
        "flops_per_token": 6e3,
        "max_steps": 200,
        "max_minutes": None,
        "global_batch_size": 4,
        "seq_len": 10,
        "sequences_per_epoch": 400,
        "hardware": "1 x cpu, float32",
        "validation": bound(100, "val"),
        "validations": 3,
        "test": bound(500, "test"),
        "seconds": StepSeconds(training=0.1, measuring=0.03),
    }
    return RunPlan(**{**values, **settings})


def test_the_lines_of_a_run_of_steps():
    assert describe_plan(plan()) == [
        "model: Transformer, 1,000 parameters (600 outside embeddings)",
        "training: 200 steps, 4 x 10 = 40 tokens a step, on 1 x cpu, float32",
        "evaluation: 3 x validation of 1,000 of 5,000 tokens (all: trainer.val_sequences=all); "
        "test of all 5,000 tokens",
        # 800 sequences x 0.1 s, and (300 + 500) x 0.03 s
        "budget: 8,000 tokens (2.00 epochs), 4.8e+07 FLOPs, about 1m44s, 24s of it evaluation",
    ]


def test_tasks_are_named_with_their_items():
    (line,) = [line for line in describe_plan(plan(tasks={"choice": 1200, "cloze": 3})) if "tasks" in line]
    assert line.endswith(
        "test of all 5,000 tokens; tasks choice (1,200 items), cloze (3 items), whose time comes on top"
    )


def test_a_run_of_minutes_without_a_test_says_no_budget():
    lines = describe_plan(plan(max_steps=None, max_minutes=5.0, test=None))
    assert lines[1] == "training: 5 minutes, 4 x 10 = 40 tokens a step, on 1 x cpu, float32"
    assert lines[2].startswith("evaluation: validation of 1,000") and len(lines) == 3


@pytest.mark.parametrize("end", [{}, {"max_steps": None, "max_minutes": 5.0}])
def test_a_model_that_text_and_length_do_not_suit_is_told_in_the_last_line(end):
    large = ParameterCount(total=778_109_440, embedding=0, by_module={})
    lines = describe_plan(plan(parameters=large, **end))
    assert lines[-1].startswith("this does not suit 778 M parameters: the text has 4,000 tokens")
    assert "experiment=770m" in lines[-1] and sum("experiment=" in line for line in lines) == 1


def test_measuring_leaves_no_trace():
    torch.manual_seed(0)
    model, metrics = TinyModel(), tiny_metrics()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    objective = Objective({"cross_entropy": CrossEntropyConfig().build()}, {"l2": L2Config().build()})
    found = measure_seconds(objective, model, tiny_batch(vocab_size=11), metrics, bf16=False)
    assert found.training > 0 and found.measuring > 0
    assert torch.equal(torch.get_rng_state(), state) and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(metric.update_count == 0 for metric in metrics.members.values())
