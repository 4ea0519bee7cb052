"""TrainerConfig: what is asked of a machine that lacks it is one clear line; the rest reaches Lightning."""

import pytest
import torch

from prospero.errors import ConfigError
from prospero.training import trainer as room
from prospero.training.loop import StepLoop
from prospero.training.strategies import FSDP2Strategy
from prospero.training.trainer import Accelerator, Precision, StrategyName, TrainerConfig

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@no_gpu
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": StrategyName.fsdp}, "trainer=fsdp needs a GPU; none was found. To try it on CPU: "
         "trainer.accelerator=cpu trainer.devices=2"),
        ({"accelerator": Accelerator.gpu}, "trainer.accelerator=gpu needs a GPU; .* trainer.devices=2"),
        ({"accelerator": Accelerator.mps}, "trainer.accelerator=mps needs an Apple GPU"),
        ({"accelerator": Accelerator.cpu, "precision": Precision.float16}, "trainer.precision=float16 needs a GPU"),
    ],
)  # fmt: skip
def test_what_the_machine_lacks_is_said_in_one_line(settings, message):
    if settings.get("accelerator") is Accelerator.mps and torch.backends.mps.is_available():
        pytest.skip("this machine has MPS")
    with pytest.raises(ConfigError, match=message) as caught:
        TrainerConfig(**settings).hardware()
    assert "\n" not in str(caught.value)


def test_bf16_where_the_processor_has_none(monkeypatch):
    monkeypatch.setattr(room, "_cpu_accepts_bf16", lambda: False)
    with pytest.raises(ConfigError, match=r"trainer.precision=bf16: this processor has no bf16 arithmetic"):
        TrainerConfig(accelerator=Accelerator.cpu, precision=Precision.bf16).hardware()


@pytest.mark.parametrize(("native", "expected"), [(True, Precision.bf16), (False, Precision.float32)])
def test_auto_precision_follows_the_processor(monkeypatch, native, expected):
    monkeypatch.setattr(room, "_cpu_computes_bf16", lambda: native)
    assert TrainerConfig(accelerator=Accelerator.cpu).hardware().precision is expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epoch": 3}, "Did you mean 'max_epochs'? It is decided by another setting; use max_steps or max_tokens"),
        ({"profilr": "simple"}, "lightning.Trainer has no argument 'profilr'. Did you mean 'profiler'?"),
        ({"max_steps": 3}, "trainer.lightning.max_steps is decided by another setting; use max_steps"),
        ({"gradient_clip_val": 1}, "use trainer.max_grad_norm"),
    ],
)
def test_further_arguments_of_lightning_are_checked(arguments, message):
    with pytest.raises(ConfigError) as caught:
        TrainerConfig(lightning=arguments)
    assert message in str(caught.value)


def test_every_name_that_is_ours_is_an_argument_of_lightning():
    import inspect

    import lightning as L

    assert set(room._OURS) <= set(inspect.signature(L.Trainer.__init__).parameters)


@pytest.mark.parametrize("name", ["devices", "log_every_steps", "num_threads", "val_every_steps", "max_grad_norm"])
def test_impossible_numbers(name):
    with pytest.raises(ConfigError, match=f"trainer.{name}=-1"):
        TrainerConfig(**{name: -1})


def test_settings_reach_lightning(tmp_path):
    config = TrainerConfig(
        accelerator=Accelerator.cpu, val_every_steps=7, log_every_steps=3, lightning={"limit_val_batches": 2}
    )
    trainer = config.build(run_dir=tmp_path, max_steps=11, accumulate=2)
    assert (trainer.max_steps, trainer.accumulate_grad_batches, trainer.log_every_n_steps) == (11, 2, 3)
    assert (trainer.val_check_interval, trainer.check_val_every_n_epoch, trainer.limit_val_batches) == (14, None, 2)
    assert isinstance(trainer.callbacks[0], StepLoop)
    assert not trainer.loggers


def test_strategies(monkeypatch):
    two = {"accelerator": Accelerator.cpu, "devices": 2, "precision": Precision.float32}
    assert TrainerConfig(**two).hardware().strategy is StrategyName.ddp
    hardware = TrainerConfig(**two, strategy=StrategyName.fsdp).hardware()
    assert isinstance(hardware.build_strategy(), FSDP2Strategy)
    assert hardware.describe() == "2 x cpu, fsdp, float32"
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    hardware = TrainerConfig(accelerator=Accelerator.cpu).hardware()  # as torchrun on two machines would start it
    assert (hardware.devices, hardware.num_nodes, hardware.world_size) == (2, 2, 4)


@pytest.mark.parametrize(
    ("every", "also", "steps", "count"),
    [(10, None, 40, 4), (10, None, 41, 5), (0, None, 41, 1), (10, 15, 40, 5), (0, 15, 40, 3), (10, 20, 40, 4)],
)
def test_how_many_validations_a_run_makes(every, also, steps, count):
    assert TrainerConfig(val_every_steps=every).validations(steps, also) == count
