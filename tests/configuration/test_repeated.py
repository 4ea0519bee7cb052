"""What is remembered between compositions changes nothing: the same tree to the last flag, and every change is seen."""

import os
from collections import OrderedDict

import pytest
from hydra import compose, initialize_config_dir, version
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, open_dict
from omegaconf.base import Container

from prospero.configuration import composition, repeated

PLACES = [
    (version, "_get_version"), (CachingConfigRepository, "__init__"), (defaults_list, "_create_interpolation_map"),
    (ConfigRepository, "load_config"), (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_known():
    composition.register()
    repeated._loaded.clear()
    repeated._merged.clear()


def everything(node):
    """All that a node is: kinds, metadata, flags, values, and that it hangs where it should."""
    meta = {key: value for key, value in vars(node._metadata).items() if key not in ("flags", "resolver_cache")}
    facts = [type(node), meta, {k: v for k, v in (node._metadata.flags or {}).items() if v is not None}]
    content = node.__dict__["_content"] if isinstance(node, Container) else node._value()
    if isinstance(node, DictConfig) and isinstance(content, dict):
        assert all(child._get_parent() is node for child in content.values())
        return [*facts, {key: everything(child) for key, child in content.items()}]
    if isinstance(node, ListConfig) and isinstance(content, list):
        assert all(child._get_parent() is node for child in content)
        return [*facts, [everything(child) for child in content]]
    return [*facts, content]


WORDS = [
    [],
    ["experiment=770m", "optimizer=muon", "loss=[focal,cross_entropy]", "callbacks=[]", "hydra/sweeper=optuna",
     "~trainer", "++a.b=3"],
    ["model=${packing}_model"],
]  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_composition_is_what_hydra_alone_makes_of_it(words, monkeypatch):
    def outcome():
        try:
            return everything(composition.composed("train", words, with_hydra=True))
        except HydraException as error:
            return type(error), str(error)

    ours = [outcome() for _ in range(3)]
    for place, name in PLACES:
        monkeypatch.setattr(place, name, getattr(place, name).__wrapped__)
    theirs = outcome()
    assert all(one == theirs for one in ours)
    assert (theirs[0] is DictConfig) == (words != ["model=${packing}_model"]), theirs


@pytest.mark.heavy
def test_the_merged_are_known_from_the_third_time_on():
    composed = [composition.composed("train", ["seq_len=32"]) for _ in range(3)]
    assert len(repeated._merged) == 1 and all(repeated._merged.values())
    with open_dict(composed[2]):
        composed[2].model.n_layers, composed[2].callbacks, composed[2].seq_len = 99, {}, 1
    assert not any(kept._metadata.resolver_cache for kept in repeated._merged.values()), "`${now:}` is of then, not now"
    again = composition.composed("train", ["seq_len=32"])
    assert again == composed[0] and again.model.n_layers != 99


@pytest.mark.heavy
def test_a_changed_file_is_seen_whatever_its_time_says(tmp_path):
    file = tmp_path / "app.yaml"
    seen = []
    for number in (1, 1, 1, 2, 2, 3):
        file.write_text(f"x: {number}\n")
        os.utime(file, (1, 1))
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            seen.append(compose("app").x)
    assert seen == [1, 1, 1, 2, 2, 3]


def test_a_file_that_comes_goes_or_is_chosen_elsewhere_is_seen(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "g").mkdir(parents=True)
    (second / "g" / "part.yaml").write_text("x: 2\n")
    (first / "app.yaml").write_text(f"hydra: {{searchpath: ['{second}']}}\ndefaults: [g: part]\n")

    def x():
        with initialize_config_dir(str(first), version_base="1.3"):
            return compose("app").g.x

    assert [x(), x(), x()] == [2, 2, 2]
    (first / "g" / "part.yaml").write_text("x: 1\n")
    assert x() == 1
    (first / "g" / "part.yaml").unlink()
    assert x() == 2


@pytest.mark.heavy
def test_another_stored_node_of_the_same_name_is_seen(tmp_path):
    (tmp_path / "app.yaml").write_text("defaults: [stored_for_this_test/one]\n")
    seen = []
    try:
        for number in (1, 1, 1, 2, 2, 3):
            ConfigStore.instance().store(group="stored_for_this_test", name="one", node={"x": number})
            with initialize_config_dir(str(tmp_path), version_base="1.3"):
                seen.append(compose("app").stored_for_this_test.x)
    finally:
        del ConfigStore.instance().repo["stored_for_this_test"]
    assert seen == [1, 1, 1, 2, 2, 3]


def test_what_is_kept_is_bounded():
    kept = OrderedDict()
    for number in range(5):
        repeated._keep(kept, number, "value", 2)
    assert list(kept) == [3, 4]
