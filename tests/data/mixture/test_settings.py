"""The settings of a mixture: what cannot be is told in one line, and what decides the order survives a checkpoint."""

import json

import pytest

from prospero.data.canaries import CanariesConfig
from prospero.data.mixture.mixing import Mixing
from prospero.data.mixture.parts import MixturePartConfig
from prospero.data.mixture.settings import MixtureConfig, mixing_of
from prospero.data.sources.files import FilesConfig
from prospero.errors import ConfigError


def part(name, **changes):
    return MixturePartConfig(**({"data": "files", "name": name, "settings": FilesConfig(path="x")} | changes))


TWO = [part("a"), part("b", weight=3.0)]
REFUSED = [
    ({"parts": [part("a"), part("a")]}, "two parts are called 'a'"),
    ({"parts": [part("a/b")]}, "'a/b' cannot be the name of a part"),
    ({"parts": [part(f"p{n}") for n in range(65)]}, "65 parts are too many"),
    ({"parts": [part("a", weight=0.0)]}, "all weights are 0 from step 0 on"),
    ({"temperature": 0.0}, "temperature=0.0 is impossible"),
    ({"canaries": CanariesConfig(count=1)}, "canaries are planted into one corpus"),
    ({"schedule": [{"step": 0, "weights": {"a": 1}}]}, "data.schedule[0].step=0 is no whole number above 0"),
    ({"schedule": [{"step": 9, "weights": {}}, {"step": 9, "weights": {}}]}, "data.schedule[1].step=9 is no whole"),
    ({"schedule": [{"step": 9, "weights": {"c": 1}}]}, "data.schedule[0]: no part is called 'c'. Parts: a, b."),
    ({"schedule": [{"step": 9, "weights": {"a": -1}}]}, "data.schedule[0].weights.a=-1 is no share"),
    ({"schedule": [{"step": 9, "weights": {"a": 0, "b": 0}}]}, "all weights are 0 from step 9 on"),
    ({"schedule": [{"step": 9}]}, "data.schedule[0]={'step': 9} is no change of weights"),
    (
        {"schedule": [{"step": 9, "weigths": {}}]},
        "'data.schedule[0].weigths'. Did you mean 'data.schedule[0].weights'?",
    ),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(ConfigError) as error:
        MixtureConfig(**({"parts": TWO} | given))
    assert said in str(error.value)


@pytest.mark.parametrize("given", [{"weight": -1.0}, {"weight": float("inf")}, {"max_epochs": 0.0}])
def test_a_part_has_a_share_and_text(given):
    with pytest.raises(ConfigError, match=r"is no share|reads nothing"):
        part("a", **given)


def test_the_schedule_changes_what_it_names():
    config = MixtureConfig(parts=TWO, schedule=[{"step": 5, "weights": {"a": 2}}, {"step": 9, "weights": {"b": 0}}])
    assert config.mixing().stages == ((0, (1.0, 3.0)), (5, (2.0, 3.0)), (9, (2.0, 0.0)))


def test_it_comes_back_from_a_checkpoint():
    parts = [part("a"), part("b", max_epochs=2.5)]
    mixing = MixtureConfig(parts=parts, temperature=2.0, schedule=[{"step": 5, "weights": {"a": 2}}]).mixing()
    assert Mixing.from_plain(json.loads(json.dumps(mixing.plain()))) == mixing
    assert mixing_of(FilesConfig(path="x")) is None
