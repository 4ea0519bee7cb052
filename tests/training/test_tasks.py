"""The settings of tasks inside training, as they are typed; which of them go together."""

from types import SimpleNamespace

import pytest

from hydra_plugins.prospero_process_launcher.judging import direction_of, monitor_of
from prospero.configuration import composition
from prospero.configuration.compose import compose
from prospero.configuration.words import spelt_out
from prospero.configuration.written import rerunnable
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.evaluation.metrics.collection import TokenMetrics, check_monitor
from prospero.plain import plain
from prospero.training.resume_check import changes, part_names
from prospero.training.tasks import build_tasks
from tests.training.counting_task import Counting, CountingConfig

PLUGIN = "plugins=[tests.training.counting_task]"
CHOSEN = [PLUGIN, "callbacks=[default,evaluation]", "evaluation.tasks=[counting]"]


def test_both_spellings_are_the_same_settings():
    short = [*CHOSEN, "evaluation.every_steps=3", "evaluation.tasks.counting.items=5", "evaluation.limit=null"]
    long = [PLUGIN, "callbacks=[default,evaluation]", "tasks=[counting]", "callbacks.evaluation.every_steps=3"]
    config = compose("train", short)
    assert config == compose("train", [*long, "tasks.counting.items=5", "callbacks.evaluation.limit=null"])
    assert config.tasks == {"counting": CountingConfig(items=5)}
    assert (config.callbacks["evaluation"].every_steps, config.callbacks["evaluation"].limit) == (3, None)


@pytest.mark.parametrize(
    ("word", "spelt"),
    [
        ("evaluation.tasks=[a,b]", "tasks=[a,b]"),
        ("evaluation.tasks.a.limit=3", "tasks.a.limit=3"),
        ("+evaluation.tasks.a.x=3", "+tasks.a.x=3"),
        ("~evaluation.tasks.a", "~tasks.a"),
        ("evaluation.every_steps=3", "callbacks.evaluation.every_steps=3"),
        ("evaluation=3", "evaluation=3"),
        ("evaluation.taskset=3", "callbacks.evaluation.taskset=3"),
        ("name=evaluation.tasks=", "name=evaluation.tasks="),
        ("evaluations.tasks=3", "evaluations.tasks=3"),
    ],
)
def test_the_shorter_spelling(word, spelt):
    assert spelt_out("train", [word]) == spelt_out("find_lr", [word]) == [spelt]
    assert spelt_out("generate", [word]) == [word]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*CHOSEN, "evaluation.tasks.counting.itmes=3"], "Did you mean 'tasks.counting.items'?"),
        ([*CHOSEN, "evaluation.evry_steps=3"], "Did you mean 'callbacks.evaluation.every_steps'?"),
        ([*CHOSEN, "evaluation.every_steps=often"], "callbacks.evaluation.every_steps is a whole number"),
        ([PLUGIN, "callbacks=[default,evaluation]", "evaluation.tasks=[countng]"], "Did you mean 'counting'?"),
        ([PLUGIN, "evaluation.tasks.counting.items=3"], "choose it too: tasks=[counting]"),
        (["evaluation.every_steps=3"], "callbacks=[checkpoints,throughput,vitals,samples,progress,evaluation]"),
        (
            [PLUGIN, "evaluation.tasks=[counting]"],
            "add it: callbacks=[checkpoints,throughput,vitals,samples,progress",
        ),
        (["callbacks=[default,evaluation]"], "has nothing to measure; choose evaluation.tasks=[...]"),
        ([*CHOSEN, "+trainer.lightning.limit_val_batches=0"], "of which trainer.lightning.limit_val_batches=0 makes"),
    ],
)
def test_a_mistake_is_one_line(words, said):
    with pytest.raises(ConfigError) as error:
        compose("train", words)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_file_of_a_run_names_its_tasks():
    text = rerunnable(compose("train", [*CHOSEN, "evaluation.tasks.counting.items=5"]))
    assert "/schema/callbacks/evaluation@callbacks.evaluation\n" in text
    assert "/schema/tasks/counting@tasks.counting\n" in text and "    items: 5\n" in text


def test_a_run_may_go_on_with_other_tasks():
    then = compose("train", [])
    now = compose("train", CHOSEN)
    settings = plain(now)
    old = {name: value for name, value in plain(then).items() if name != "tasks"}
    found = changes(old, part_names(then), now, settings)
    assert found and all(change.allowed for change in found)


def test_tasks_are_built_with_the_limit_and_the_prepared_text(tmp_path):
    prepared = SimpleNamespace(directory=tmp_path, tokenizer=ByteTokenizerConfig().build(lambda: iter(())))
    config = compose("train", [*CHOSEN, "evaluation.limit=3"])
    (task,) = build_tasks(config, prepared)
    assert (task.name, task.size) == ("counting", 3)
    assert build_tasks(compose("train", []), prepared) == []
    own = compose("train", [*CHOSEN, "evaluation.limit=3", "evaluation.tasks.counting.limit=5", "seed=9"])
    assert build_tasks(own, prepared)[0].size == 5


def test_every_number_of_a_task_may_be_watched():
    metrics, tasks = TokenMetrics({}), [Counting("counting", 3)]
    assert metrics.monitor("val/counting/right", tasks).higher_is_better
    assert not metrics.monitor("val/counting/nats", tasks).higher_is_better
    with pytest.raises(ConfigError, match=r"val/counting/rigth is not measured\. Did you mean 'val/counting/right'"):
        metrics.monitor("val/counting/rigth", tasks)
    check_monitor("val/counting/right", {}, ["counting"])
    with pytest.raises(ConfigError, match=r"Did you mean 'val/counting'.* evaluation\.tasks="):
        check_monitor("val/countin/right", {}, ["counting"])


def test_a_sweep_knows_the_direction_before_its_first_job():
    compose("train", [PLUGIN])
    words = [PLUGIN, "callbacks=[default,evaluation]", "tasks=[counting]"]
    high = composition.composed("train", [*words, "monitor=val/counting/right"])
    assert monitor_of([high]) == "val/counting/right"
    assert direction_of("monitor", "val/counting/right", [high]) == "maximize"
    assert direction_of("monitor", "val/counting/nats", [high]) == "minimize"
    with pytest.raises(ConfigError, match=r"val/counting/nat is not measured\. Did you mean 'val/counting/nats'"):
        direction_of("monitor", "val/counting/nat", [high])
    with pytest.raises(ConfigError, match="monitor=val/cloze/right is not measured"):
        direction_of("monitor", "val/cloze/right", [high])


def test_a_sweep_knows_the_direction_of_a_metric_that_was_added_to_a_task():
    words = ["callbacks=[default,evaluation]", "tasks=[summarize]", "metrics=[loss,repetition,distinct]"]
    cfg = composition.composed("train", words)
    assert direction_of("monitor", "val/summarize/distinct_1", [cfg]) == "maximize"
    assert direction_of("monitor", "val/summarize/repetition", [cfg]) == "minimize"


def test_a_sweep_knows_the_direction_of_given_text_before_it_is_prepared():
    words = ["callbacks=[default,evaluation]", "tasks=[text]", "metrics=[loss,accuracy,repetition]"]
    cfg = composition.composed("train", [*words, "tasks.text.limit=3"])
    assert direction_of("monitor", "val/text/accuracy", [cfg]) == "maximize"
    assert direction_of("monitor", "val/text/loss", [cfg]) == "minimize"
    with pytest.raises(ConfigError, match=r"val/text/los is not measured\. Did you mean 'val/text/loss'"):
        direction_of("monitor", "val/text/los", [cfg])


def test_metrics_of_texts_are_the_tasks_and_none_is_left_over():
    prepared = SimpleNamespace(directory=None, tokenizer=ByteTokenizerConfig().build(lambda: iter(())))
    words = ["callbacks=[evaluation]", "metrics=[loss,distinct]", "evaluation.limit=2"]
    (task,) = build_tasks(compose("train", [*words, "evaluation.tasks=[summarize]"]), prepared)
    assert {"rouge_l", "distinct_1"} <= {quantity.name for quantity in task.quantities}
    with pytest.raises(ConfigError, match=r"^metrics.distinct scores written texts, and none of the tasks choice"):
        build_tasks(compose("train", [*words, "evaluation.tasks=[choice]"]), prepared)
