"""A list of parts: each composed as on a command line, and every mistake inside told in one line."""

import pytest

from prospero import compose
from prospero.configuration.compose import compose_file
from prospero.configuration.written import rerunnable
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.hub import HubConfig
from prospero.data.sources.stdlib import StdlibConfig
from prospero.errors import ConfigError


def parts(text):
    return compose("prepare", ["data=mixture", f"data.parts={text}"]).data.parts


def test_settings_of_the_part_stand_beside_its_name():
    found = parts("[{data: stdlib, topics: false, weight: 3, name: code}, {data: files, path: 'a b/*.txt'}]")
    assert found[0].settings == StdlibConfig(topics=False)
    assert (found[0].called, found[0].weight, found[0].max_epochs) == ("code", 3.0, None)
    assert found[1].settings == FilesConfig(path="a b/*.txt")
    assert (found[1].called, found[1].weight) == ("files", 1.0)


def test_a_preset_of_the_group_is_one():
    (found,) = parts("[{data: tinystories, max_documents: 9}]")
    assert isinstance(found.settings, HubConfig)
    assert (found.called, found.settings.dataset, found.settings.max_documents) == (
        "tinystories",
        "roneneldan/TinyStories",
        9,
    )


def test_what_a_run_writes_down_composes_to_the_same(tmp_path):
    words = ["data=mixture", "data.parts=[{data: tinystories, weight: 2, max_epochs: 3}, {data: stdlib, name: code}]"]
    config = compose("train", [*words, "data.schedule=[{step: 10, weights: {code: 2}}]"])
    (tmp_path / "config.yaml").write_text(rerunnable(config))
    assert compose_file(tmp_path / "config.yaml") == config


REFUSED = [
    ("[{data: stdlb}]", "There is no data 'stdlb'. Did you mean 'stdlib'?"),
    ("[{data: stdlib}, {data: stdlib, topcs: 1}]", "'data.parts[1].topcs'. Did you mean 'data.parts[1].topics'?"),
    ("[{data: stdlib, wieght: 1}]", "'data.parts[0].wieght'. Did you mean 'data.parts[0].weight'?"),
    ("[{data: stdlib, settings: {topcs: 1}}]", "Did you mean 'data.parts[0].settings.topics'?"),
    ("[{data: stdlib, weight: a}]", "data.parts[0].weight=a is of the wrong type: data.parts[0].weight is a number."),
    ("[{data: stdlib, topics: 3.5}]", "data.parts[0].topics=3.5 is not possible"),
    ("[{data: stdlib, weight: -1}]", "data.parts[0]: weight=-1.0 is no share"),
    ("[{data: stdlib, settings: 3}]", "data.parts[0].settings=3 is no table of settings"),
    ("[{weight: 3}]", "data.parts[0]={'weight': 3} names no data"),
    ("[stdlib]", "data.parts[0]=stdlib names no data; write it as {data: <a choice of data=>, ...}"),
    ("[{data: mixture}]", "data.parts[0].data=mixture is a list of parts itself"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[text for text, _ in REFUSED])
def test_a_mistake_is_one_line(text, said):
    with pytest.raises(ConfigError) as error:
        parts(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
