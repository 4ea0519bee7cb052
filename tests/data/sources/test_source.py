"""Settings that every source has."""

import dataclasses

import pytest

from prospero.configuration.composition import real_class
from prospero.configuration.schema import field_docs, schema
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.hub import HubConfig
from prospero.data.sources.source import SourceConfig, not_deciding
from prospero.data.sources.web_pages import Html
from prospero.errors import ConfigError
from prospero.registry import PARTS


@pytest.mark.parametrize("name", PARTS["data"])
def test_every_source_has_the_number_of_workers(name):
    path = PARTS["data"][name]
    kind = real_class(schema(path))
    assert issubclass(kind, SourceConfig)
    assert {field.name: field.default for field in dataclasses.fields(kind)}["num_workers"] == 0
    assert field_docs(path)["num_workers"].startswith("Processes beside the training process")
    assert kind(num_workers=2).num_workers == 2
    with pytest.raises(ConfigError, match="num_workers=-1 must be 0"):
        kind(num_workers=-1)


def test_settings_that_came_later_decide_only_where_they_are_given():
    assert not_deciding(FilesConfig()) == {"paths", "json_path", "html"}
    assert not_deciding(FilesConfig(paths=["a"], json_path="*", html=Html.main_text)) == frozenset()
    assert not_deciding(HubConfig(shards_dir="kept", shard_mb=1)) == {"shards_dir", "shard_mb"}
