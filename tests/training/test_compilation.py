"""A compiled step computes what the step as written does, and `trainer.compile=auto` chooses by what it measures."""

import logging

import pytest
import torch

from prospero import registry
from prospero.errors import ConfigError
from prospero.model.transformer import TransformerConfig
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.losses.distill import DistillConfig
from prospero.objective.losses.focal import FocalConfig
from prospero.objective.objective import Objective, Share
from prospero.training import compilation
from prospero.training.compilation import CompileChoice, check_compilation, decide
from prospero.training.distillation.frozen import FrozenTeacher
from prospero.training.distillation.teaching import Teaching
from prospero.training.trainer import Accelerator, TrainerConfig
from tests.grids import grid
from tests.training.tiny import TinyData, sequence, tiny_module, tiny_trainer

PENALTIES = ["z_loss", "label_smoothing", "confidence_penalty", "activation"]


def batch(model):
    from prospero.batch import Batch

    rows = torch.stack([torch.cat(sequence(index)) for index in range(4)]) % model.vocab_size
    inputs, labels = rows[:, :-1].contiguous(), rows[:, 1:].clone()
    labels[0, :3] = -100
    return Batch(
        inputs={"input_ids": inputs}, labels=labels, sequences=4, tokens=labels.numel(),
        target_tokens=int((labels != -100).sum()),
    )  # fmt: skip


def gradients(*, part, chunk_tokens=None):
    torch.manual_seed(5)
    model = TransformerConfig(n_layers=2, d_model=16, n_heads=2).build(vocab_size=13, max_seq_len=16)
    losses = {"cross_entropy": CrossEntropyConfig(chunk_tokens=chunk_tokens), "focal": FocalConfig(weight=0.5)}
    losses |= {"distill": DistillConfig(chunk_tokens=chunk_tokens, temperature=2.0)}
    terms = {name: registry.config_class("regularizers", name)() for name in PENALTIES}
    built = {name: config.build() for name, config in losses.items()}
    teacher = TransformerConfig(n_layers=1, d_model=8, n_heads=2, init_std=0.5).build(vocab_size=13, max_seq_len=16)
    Teaching(loaded=FrozenTeacher(teacher, 13)).teach(built.values(), torch.float32, 13)
    objective = Objective(built, {k: c.build() for k, c in terms.items()})
    objective.compile(part)
    result = objective(model, batch(model), Share())
    result.total.backward()
    return result, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.skipif(not compilation.has_compiler(), reason="there is no C++ compiler")
@pytest.mark.parametrize(
    ("part", "chunk_tokens"),
    grid([("whole", None), ("whole", 8), ("terms", None), ("terms", 8)], lambda case: case != ("whole", 8)),
)
def test_what_is_compiled_has_the_same_loss_parts_and_gradients(part, chunk_tokens):
    ours, our_gradients = gradients(part=part, chunk_tokens=chunk_tokens)
    theirs, their_gradients = gradients(part=None, chunk_tokens=chunk_tokens)
    assert {"cross_entropy", "focal", "distill", *PENALTIES} == set(ours.parts)
    for name, part in theirs.parts.items():
        torch.testing.assert_close(ours.parts[name], part, rtol=1e-5, atol=1e-6, msg=lambda m, k=name: f"{k}: {m}")
    for name, gradient in their_gradients.items():
        torch.testing.assert_close(
            our_gradients[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, k=name: f"{k}: {m}"
        )


@pytest.mark.heavy
def test_it_can_be_left_again():
    objective = Objective({"cross_entropy": CrossEntropyConfig().build()})
    as_written = objective._forward, objective._term_sums
    objective.compile("whole")
    assert objective._forward != as_written[0]
    objective.compile("terms")
    assert objective._forward == as_written[0] and objective._term_sums != as_written[1]
    objective.compile(None)
    assert (objective._forward, objective._term_sums) == as_written


def fit(tmp_path, monkeypatch, seconds, *, max_steps=6, resume=None, limit=None):
    """Train with `auto` and a clock that answers `seconds` for a step as written and then for a compiled one."""
    answers, asked, compiled = iter(seconds), [], []

    def step_seconds(trainer, module, batch):
        asked.append(compiled[-1] if compiled else False)
        return next(answers)

    monkeypatch.setattr(compilation, "step_seconds", step_seconds)
    monkeypatch.setattr(Objective, "compile", lambda self, part: compiled.append(part == "whole"))
    choice = CompileChoice(limit)
    trainer = tiny_trainer(tmp_path, callbacks=[choice], max_steps=max_steps)
    trainer.fit(tiny_module(), datamodule=TinyData(), ckpt_path=resume)
    return choice, asked, compiled


@pytest.mark.skipif(not compilation.has_compiler(), reason="there is no C++ compiler")
@pytest.mark.parametrize(
    ("seconds", "mode", "asked"),
    [
        ([1.0], "off", [False]),  # 6 steps of 1 s: compiling costs more than a third of them
        ([100.0, 80.0], "whole", [False, True]),
        ([100.0, 99.0], "off", [False, True]),
        ([100.0, 130.0], "off", [False, True]),
    ],
)
def test_auto_weighs_what_a_run_gains(tmp_path, monkeypatch, seconds, mode, asked):
    choice, measured, compiled = fit(tmp_path, monkeypatch, seconds)
    assert (choice.mode, measured) == (mode, asked)
    assert compiled[-1] == (mode == "whole")
    assert choice.result() == {"compile": mode}


@pytest.mark.skipif(not compilation.has_compiler(), reason="there is no C++ compiler")
def test_a_run_limited_by_minutes_counts_those(tmp_path, monkeypatch):
    assert fit(tmp_path, monkeypatch, [100.0], limit=0.1, max_steps=3)[0].mode == "off"


def test_a_run_that_goes_on_computes_as_before_and_measures_nothing(tmp_path, monkeypatch, caplog):
    logging.getLogger("prospero").propagate = True
    choice = CompileChoice(None)
    choice.load_state_dict({"mode": "whole"})
    compiled = []
    monkeypatch.setattr(Objective, "compile", lambda self, part: compiled.append(part == "whole"))
    monkeypatch.setattr(compilation, "step_seconds", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(compilation, "has_compiler", lambda: True)
    with caplog.at_level(logging.INFO, logger="prospero"):
        tiny_trainer(tmp_path, callbacks=[choice], max_steps=2).fit(tiny_module(), datamodule=TinyData())
    assert compiled == [True] and "compile: whole (as before)" in caplog.text
    assert choice.state_dict() == {"mode": "whole"}


def test_a_compiled_run_goes_on_as_written_where_there_is_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "has_compiler", lambda: False)
    choice = CompileChoice(None)
    choice.load_state_dict({"mode": "whole"})
    tiny_trainer(tmp_path, callbacks=[choice], max_steps=2).fit(tiny_module(), datamodule=TinyData())
    assert choice.state_dict() == {"mode": "off"} and "no C++ compiler here" in choice.why


def test_measuring_leaves_weights_gradients_and_random_numbers_alone(tmp_path):
    module = tiny_module()
    trainer = tiny_trainer(tmp_path, max_steps=1)
    trainer.fit(module, datamodule=TinyData())
    before = [p.detach().clone() for p in module.parameters()]
    torch.manual_seed(3)
    clock = iter([0.0, 9.0, 10.0, 12.0, 20.0, 21.0, 30.0, 33.0])
    found = compilation.step_seconds(trainer, module, compilation.first_batch(trainer), clock=lambda: next(clock))
    assert found == 2.0, "the median of 2, 1 and 3; the 9 s of the first are not counted"
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))


def test_decide():
    assert [decide(gain) for gain in (0.9, 1.0, 1.01, 1.02, 1.3)] == ["off", "off", "off", "whole", "whole"]


def test_settings_of_before_and_mistakes():
    modes = {value: TrainerConfig(compile=value).compile_mode for value in ("off", "blocks", "whole", "auto")}
    assert modes == {"off": "off", "blocks": "blocks", "whole": "whole", "auto": "auto"}
    assert TrainerConfig(compile=True).compile_mode == "blocks" and TrainerConfig(compile=False).compile_mode == "off"
    with pytest.raises(ConfigError, match=r"trainer.compile=bloks is not possible. Did you mean 'blocks'\?"):
        TrainerConfig(compile="bloks")
    with pytest.raises(ConfigError, match=r"does not go with a sharded model; use trainer.compile=blocks"):
        check_compilation("whole", "cpu", sharded=True, tensor_parallel=1)


def test_without_a_compiler_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(compilation, "has_compiler", lambda: False)
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler on a CPU, and none was found"):
        TrainerConfig(compile="whole", accelerator=Accelerator.cpu).hardware()
    TrainerConfig(compile="auto", accelerator=Accelerator.cpu).hardware()
    choice = CompileChoice(None)
    tiny_trainer(tmp_path, callbacks=[choice], max_steps=1).fit(tiny_module(), datamodule=TinyData())
    assert (choice.mode, choice.why) == ("off", "there is no C++ compiler")
