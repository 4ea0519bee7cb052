"""The recipes of a size: they bring what belongs to it, offline, and every part of them can be swapped."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from prospero import registry
from prospero.configuration import composition
from prospero.configuration.help_text import preset_comment
from prospero.paths import config_dir
from prospero.planning.scale import RECIPES, scale_line
from tests.grids import grid, sample

SIZES = {
    "gpt2_124m": {"lr": 6e-4, "tokens_per_step": 524_288, "warmup": 700, "tokens": 18865 * 524_288, "seq_len": 1024},
    "350m": {"lr": 3e-4, "tokens_per_step": 524_288, "warmup": 700, "tokens": 7_000_000_000, "seq_len": 1024},
    "770m": {"lr": 2.5e-4, "tokens_per_step": 524_288, "warmup": 700, "tokens": 15_500_000_000, "seq_len": 1024},
    "1b": {"lr": 2e-4, "tokens_per_step": 1_048_576, "warmup": 358, "tokens": 26_000_000_000, "seq_len": 2048},
    "7b": {"lr": 3e-4, "tokens_per_step": 4_194_304, "warmup": 2000, "tokens": 140_000_000_000, "seq_len": 4096},
}
"""What the sources that the recipes name say."""


@pytest.fixture(autouse=True)
def clean_hydra():
    composition.register()
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def composed(*overrides):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return composition.typed(compose("train", overrides=list(overrides)))


def test_every_recipe_of_the_plans_table_is_here():
    assert set(SIZES) == set(RECIPES)


@pytest.mark.parametrize("name", SIZES)
def test_a_recipe_brings_what_belongs_to_its_size(name):
    config, size = composed(f"experiment={name}"), SIZES[name]
    per_step = config.seq_len * config.global_batch_size
    steps = config.max_steps or -(-config.max_tokens // per_step)
    assert config.seq_len == size["seq_len"] and per_step == size["tokens_per_step"]
    assert config.optimizer.lr == size["lr"] and config.optimizer.weight_decay == 0.1
    assert config.optimizer.betas == [0.9, 0.95] and config.trainer.max_grad_norm == 1.0
    assert type(config.schedule).__name__ == "CosineConfig" and config.schedule.min_lr_ratio == 0.1
    assert config.schedule.warmup(steps) == pytest.approx(size["warmup"], rel=0.02)
    assert config.data.dataset == "HuggingFaceFW/fineweb-edu"
    tokens = steps * per_step
    assert tokens == pytest.approx(size["tokens"], rel=0.01)
    text = 1000 * (config.data.max_documents or 10_000_000)  # a page has about a thousand tokens
    assert text >= tokens, "no text is read twice"
    assert scale_line(parameters=RECIPES[name], text_tokens=text, trained_tokens=tokens, seq_len=config.seq_len) is None
    for devices in (1, 2, 4, 8, 16, 32):
        assert config.global_batch_size // devices % config.micro_batch_size == 0, devices


@pytest.mark.parametrize("name", SIZES)
def test_a_recipe_names_its_source(name):
    comment = preset_comment(config_dir() / "experiment" / f"{name}.yaml")
    assert "20" in comment and any(word in comment for word in ("llm.c", "Brown et al. 2020", "Touvron et al. 2023"))


@pytest.mark.parametrize("optimizer", sample(registry.names("optimizer"), every=4))
def test_another_optimizer_keeps_its_own_rates(optimizer):
    config = composed("experiment=770m", f"optimizer={optimizer}")
    assert config.optimizer == registry.config_class("optimizer", optimizer)()


SWAPPED = [
    ["data=files", "data.path=text.txt", "tokenizer=bpe"],
    ["data=stdlib", "trainer=cpu", "max_tokens=null", "max_steps=3"],
    ["model=lstm", "schedule=wsd"],
    ["schedule=constant", "optimizer=schedule_free", "split=tail"],
]


@pytest.mark.parametrize(
    ("name", "words"),
    grid([(name, words) for name in ("gpt2_124m", "1b") for words in SWAPPED], always=lambda case: case[0] == "1b"),
)
def test_every_part_can_be_swapped(name, words):
    assert composed(f"experiment={name}", *words).seq_len == SIZES[name]["seq_len"]
