"""The line that says what does not belong to a model's size, and names the recipe that does."""

import pytest
import torch
from omegaconf import OmegaConf

from prospero.paths import config_dir
from prospero.planning.scale import LEAST_PARAMETERS, RECIPES, recipe_for, scale_line

LARGE = {"parameters": 778_109_440, "text_tokens": 3_000_000, "trained_tokens": 4096, "seq_len": 256}
SOUND = {"parameters": 778_109_440, "text_tokens": 20_000_000_000, "trained_tokens": 15_500_000_000, "seq_len": 1024}


def test_large_on_the_embedded_text_names_its_recipe_in_one_line():
    line = scale_line(**LARGE)
    assert line == (
        "this does not suit 778 M parameters: the text has 3,000,000 tokens, fewer than the model has parameters; "
        "5e-06 training tokens a parameter, where 20 are usual; sequences of only 256 tokens. "
        "experiment=770m brings data, length, batch and learning rate for this size"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text_tokens": 778_109_439}, "the text has 778,109,439 tokens, fewer"),
        ({"trained_tokens": 389_054_720}, "parameters: 0.5 training tokens a parameter"),
        ({"text_tokens": 1_000_000_000, "trained_tokens": 12_000_000_000}, "parameters: 12 times over the same text."),
        ({"seq_len": 511}, "parameters: sequences of only 511 tokens."),
    ],
)
def test_each_doubt_alone(change, words):
    line = scale_line(**(SOUND | change))
    assert line is not None and words in line and "experiment=770m" in line and "\n" not in line


@pytest.mark.parametrize(
    "settings",
    [
        SOUND,
        SOUND | {"text_tokens": 778_109_440, "trained_tokens": 7_781_094_400, "seq_len": 512},
        SOUND | {"trained_tokens": None},
        LARGE | {"parameters": LEAST_PARAMETERS - 1},
    ],
)
def test_what_fits_and_what_is_small_says_nothing(settings):
    assert scale_line(**settings) is None


def test_the_nearest_recipe_by_ratio():
    sizes = (30_000_000, 124_439_808, 250_000_000, 500_000_000, 1_557_000_000, 70_000_000_000)
    assert [recipe_for(n) for n in sizes] == ["gpt2_124m", "gpt2_124m", "350m", "350m", "1b", "7b"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_model_has_the_size_that_the_table_says(name):
    from prospero.model.transformer import Activation, Norm, Position, TransformerConfig

    recipe = OmegaConf.load(config_dir() / "experiment" / f"{name}.yaml")
    model = next(item["override /model"] for item in recipe.defaults if "override /model" in item)
    settings = OmegaConf.to_container(OmegaConf.load(config_dir() / "model" / f"{model}.yaml"))
    assert isinstance(settings, dict)
    kinds = {"norm": Norm, "position": Position, "activation": Activation}
    own = {str(k): kinds[k](v) if k in kinds else v for k, v in settings.items() if k != "defaults"}
    with torch.device("meta"):
        built = TransformerConfig(**own).build(32768 if name == "7b" else 50257, recipe.seq_len)
    counted = sum(p.numel() for p in built.parameters())
    assert counted == pytest.approx(RECIPES[name], rel=0.01)
