"""Numbers in YAML are read as they are when typed, and an error in a preset names its file."""

import pytest
from omegaconf import IntegerNode
from omegaconf.errors import ValidationError

from prospero import cli
from prospero.configuration import composition

PRESET = """# @package _global_
max_tokens: 50e6
max_steps: 1_000
micro_batch_size: ${global_batch_size}
global_batch_size: 1.6e1
optimizer: {lr: 5e-4, betas: [5e-1, 0.9]}
trainer: {log_every_steps: 1E+1}
callbacks: {checkpoints: {every_steps: 1e3}}
"""


def composed(folder, preset):
    composition.register()
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(preset)
    words = ["optimizer=adamw", "experiment=mine", f"hydra.searchpath=[{folder}]"]
    return composition.typed(composition.composed("train", words))


def test_numbers_in_a_preset_are_those_of_the_command_line(tmp_path):
    config = composed(tmp_path, PRESET)
    numbers = [config.max_tokens, config.max_steps, config.micro_batch_size, config.global_batch_size]
    numbers += [config.trainer.log_every_steps, config.callbacks["checkpoints"].every_steps]
    assert numbers == [50_000_000, 1000, 16, 16, 10, 1000] and {type(number) for number in numbers} == {int}
    assert [config.optimizer.lr, *config.optimizer.betas] == [0.0005, 0.5, 0.9]


def test_a_setting_without_a_type_keeps_its_float(tmp_path):
    config = composed(tmp_path, "# @package _global_\ntrainer: {lightning: {limit_val_batches: 1.0}}\n")
    assert type(config.trainer.lightning["limit_val_batches"]) is float  # all batches; 1 would be one batch


def test_elsewhere_omegaconf_is_as_it_was():
    with pytest.raises(ValidationError):
        IntegerNode(1e3)


REFUSED = {
    "max_steps: 1e-3": "max_steps=0.001 is of the wrong type: max_steps is a whole number.",
    "max_steps: 50e30": "max_steps=5e+31 is of the wrong type: max_steps is a whole number.",
    "max_step: 3": "There is no setting 'max_step'. Did you mean 'max_steps'?",
    "seq_len: null": "seq_len=null: seq_len cannot be null.",
    "tags: a": "tags=... is of the wrong type: tags is a list, write tags=[...].",
    "optimizer: {lr: fast}": "optimizer.lr=fast is of the wrong type: optimizer.lr is a number.",
    "optimizer: {lrr: 3}": "There is no setting 'optimizer.lrr'. Did you mean 'optimizer.lr'?",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_mistake_in_a_preset_is_one_line_with_its_file(line, tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{line}\n")
    with pytest.raises(SystemExit) as left:
        cli.main("train", ["experiment=mine", f"hydra.searchpath=[{tmp_path}]", "--cfg", "job"])
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: In 'experiment/mine': {REFUSED[line]}\n"
