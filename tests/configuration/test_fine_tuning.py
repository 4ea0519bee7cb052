"""The presets of fine-tuning train on what their task asks, word for word."""

import pytest

from prospero import compose

TASKS = {"summarize": "summarize", "dialogue": "dialogue", "code": "function_bodies", "content": "content"}


@pytest.mark.heavy
@pytest.mark.parametrize("name", TASKS)
def test_an_example_is_the_tasks_prompt_and_its_reference(name):
    config = compose("train", [f"experiment={name}", "init_from=last"])
    (task,) = config.tasks.values()
    number = {"summarize": "rouge_l", "code": "parses"}.get(name, "bits_per_byte")
    assert list(config.tasks) == [TASKS[name]] and config.monitor == f"val/{TASKS[name]}/{number}"
    assert config.rendering.prompt == task.template
    reference, end = config.rendering.response.split("}")
    assert reference == "{" + task.references
    assert end.strip() in [*task.decoding.stop, ""], "the response ends with what stops the model"
    source = config.data.build()
    assert source.read == task.template[1:].partition("}")[0]
    assert (source.keep.start is None) == (task.keep.value == "beginning")
    assert not config.cleaning and config.init.required and config.split == compose("train", []).split
