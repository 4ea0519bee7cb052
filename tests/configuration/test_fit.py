"""Every part fits the Protocol of its group, so that whoever holds a typed root knows where `.build` leads."""

from dataclasses import dataclass

import pytest

from prospero import registry
from prospero.configuration.fit import misfit, protocol_of

PARTS = [(group, name) for group, parts in registry.PARTS.items() for name in parts]


@pytest.mark.parametrize(("group", "name"), PARTS, ids=lambda word: word)
def test_every_registered_part_fits_its_group(group, name):
    assert misfit(group, registry.config_class(group, name)) is None


def test_only_groups_of_one_class_have_no_protocol():
    without = {group for group in registry.PARTS if protocol_of(group) is None}
    assert without == {"trainer", "sampling"}
    assert all(len(registry.PARTS[group]) == 1 for group in without)


@dataclass(kw_only=True, slots=True)
class Built:
    def build(self, net): ...


@dataclass(kw_only=True, slots=True)
class Greedy:
    def build(self, model, lr): ...


@dataclass(kw_only=True, slots=True)
class Liberal:
    def build(self, model, lr=1.0, **more): ...


@dataclass(kw_only=True, slots=True)
class Bare:
    lr: float = 1.0


def test_what_does_not_fit_is_said():
    assert misfit("optimizer", Built) == "has build(net); a part of optimizer has build(model)"
    assert misfit("optimizer", Greedy) == "has build(model, lr); a part of optimizer has build(model)"
    assert misfit("optimizer", Bare) == "has no method build(model)"
    assert misfit("data", Bare) == "has no setting 'num_workers', which every data has"
    assert misfit("optimizer", Liberal) is None
