"""Every preset composes, becomes typed settings, and says only what differs from the code."""

from itertools import zip_longest
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from prospero import registry
from prospero.configuration import composition, plugins, written
from prospero.configuration.help_text import preset_comment
from prospero.paths import config_dir
from prospero.plain import plain

CONF = config_dir()
NEEDS = {"tokenizer/pretrained.yaml": ["tokenizer.path=tokenizer.json"]}
"""Settings without which a preset cannot be."""
PRESETS = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml"))


@pytest.fixture(autouse=True)
def clean_hydra():
    composition.register()
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def composed(*overrides, root="train"):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(root, overrides=list(overrides))


def choose(preset: Path) -> str:
    group = preset.parts[0]
    return f"{group}=[{preset.stem}]" if group in registry.MULTIPLE else f"{group}={preset.stem}"


WHOLE = ("experiment", "debug")
"""Groups whose presets lie over a whole run; the others compose alone, which takes a tenth of the time."""


def one_of_each() -> list[list[Path]]:
    """The presets of parts, each once: one of each group at a time, which compose together."""
    groups: dict[str, list[Path]] = {}
    for preset in PRESETS:
        if preset.parts[0] not in WHOLE:
            groups.setdefault(preset.parts[0], []).append(preset)
    return [[one for one in row if one] for row in zip_longest(*groups.values())]


@pytest.mark.heavy
@pytest.mark.parametrize("preset", [preset for preset in PRESETS if preset.parts[0] in WHOLE], ids=str)
def test_a_layer_composes_and_types(preset):
    composition.typed(composed(choose(preset)))


@pytest.mark.heavy
@pytest.mark.parametrize("presets", one_of_each(), ids=lambda row: f"{len(row)} groups")
def test_presets_compose_and_type(presets):
    words = [f"+{choose(preset)}" for preset in presets] + [word for p in presets for word in NEEDS.get(str(p), [])]
    config = composition.typed(composed(*words, root=None))
    for preset in presets:
        group = preset.parts[0]
        value = config.get(group)
        if group in registry.MULTIPLE:
            assert all(registry.name_of(group, type(part)) for part in (value or {}).values()), preset
        else:
            assert registry.name_of(group, type(value)), f"{preset} is not of a registered part"


@pytest.mark.heavy
def test_a_preset_restates_no_default():
    for preset in PRESETS:
        check_restates_no_default(preset)


def check_restates_no_default(preset: Path) -> None:
    group = preset.parts[0]
    own = OmegaConf.load(CONF / preset)
    if group not in registry.PARTS or len(own.get("defaults", [])) != 2:
        return
    part = str(own.defaults[0]).removeprefix(f"/schema/{group}/").split("@")[0]
    defaults = OmegaConf.structured(composition.schema(registry.PARTS[group][part]))
    default_values = OmegaConf.to_container(defaults, enum_to_str=True, throw_on_missing=False)
    for key, value in own.items():
        if key != "defaults":
            default = default_values[key]
            assert OmegaConf.to_container(OmegaConf.create({"x": value}))["x"] != default, f"{preset} restates {key}"


def test_a_preset_says_what_it_is_for():
    for preset in PRESETS:
        assert len(preset_comment(CONF / preset)) > 10, f"{preset} has no comment at its head"


@pytest.mark.parametrize("group", sorted(registry.PARTS))
def test_every_registered_part_has_a_preset(group):
    text = "".join(path.read_text() for path in (CONF / group).glob("*.yaml"))
    for part in registry.PARTS[group]:
        assert f"/schema/{group}/{part}@" in text, f"conf/{group} has no preset of '{part}'"


@pytest.mark.heavy
def test_a_saved_config_composes_to_itself(tmp_path):
    config = composition.typed(
        composed("model=lstm", "regularizers=[l2,z_loss]", "cleaning=[prose,stop_words]", "seq_len=32", "tags=[a,b]")
    )
    (tmp_path / "config.yaml").write_text(written.rerunnable(config))
    GlobalHydra.instance().clear()
    plugins.load_named("train", ["--config-dir", str(tmp_path)])
    again = composition.typed(composition.composed("config", []))
    assert again == config
    assert list(again.cleaning) == list(config.cleaning), "the order of the steps is kept"


def test_secrets_are_redacted():
    plain = {"logger": {"wandb": {"api_key": "abc", "project": "p"}}, "tokenizer": {"vocab_size": 3}}
    assert written.redact(plain) == {
        "logger": {"wandb": {"api_key": "<redacted>", "project": "p"}},
        "tokenizer": {"vocab_size": 3},
    }


def test_a_plugin_brings_its_part_and_its_presets(tmp_path, monkeypatch):
    (tmp_path / "my_parts_for_test.py").write_text(
        "from dataclasses import dataclass\n"
        "from prospero.registry import register\n"
        "@dataclass(kw_only=True, slots=True)\n"
        "class MineConfig:\n"
        '    """Mine."""\n'
        "    lr: float = 0.5\n"
        "    def build(self, model): ...\n"
        "register('optimizer', 'mine', MineConfig)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "ADDED", {})
    plugins.load(["my_parts_for_test"])
    config = composition.typed(composed("optimizer=mine", "optimizer.lr=0.25"))
    assert type(config.optimizer).__name__ == "MineConfig" and config.optimizer.lr == 0.25
    assert plain(config)["optimizer"] == {"lr": 0.25}
