"""Activation patching: what must come back, and what cannot."""

import json

import numpy as np
import pytest
import torch

from prospero.analysis.patching import GROUPS, PatchedAt, Patching, PatchingConfig
from prospero.data.records import RecordsConfig
from prospero.errors import ConfigError, DataError
from prospero.model.hooks import record, replace
from prospero.runs.figures import canvas
from tests.analysis.small_models import TOKENIZER, facts, model, subject

PROMPTS = {"clean": "f(ab", "corrupted": "f[ab", "answer": ")", "wrong": "]"}


def built(kind="transformer", **settings) -> Patching:
    return PatchingConfig(**{**PROMPTS, **settings}).build("patching", facts(kind))


def shares(measured, group: str) -> list[float]:
    sums = measured.statistics(f"restored_{group}").sum(axis=0)
    return (sums[:-1] / sums[-1]).tolist()


@pytest.mark.parametrize("kind", ["transformer", "gpt2", "lstm", "gru"])
def test_known_answers(kind):
    """The embedding of what changed is all of it; after the last block only the last place reaches the head."""
    measured = built(kind)(subject(model(kind)))
    changed, between, last = (shares(measured, group) for group in GROUPS)
    assert changed[0] == pytest.approx(1, abs=1e-4) and last[-1] == pytest.approx(1, abs=1e-4)
    assert between[0] == last[0] == changed[-1] == between[-1] == pytest.approx(0, abs=1e-4)
    assert abs(measured.value("clean") - measured.value("corrupted")) > 1e-4


def test_the_differences_by_hand():
    network, start = model(), TOKENIZER.eot_id
    clean, corrupted = (torch.tensor([[start, *TOKENIZER.encode(PROMPTS[name])]]) for name in ("clean", "corrupted"))
    right, wrong = (TOKENIZER.encode(sign)[0] for sign in ")]")
    with torch.no_grad():
        with record(network, ["block.0.residual"]) as found:
            before = network(clean).logits[0, -1]
        kept = found["block.0.residual"].clone()
        after = network(corrupted).logits[0, -1]

        def put_in(value: torch.Tensor, time: int | None = None) -> torch.Tensor:
            return torch.cat((value[:, :3], kept[:, 3:4], value[:, 4:]), dim=1)

        with replace(network, {"block.0.residual": put_in}):
            patched = network(corrupted).logits[0, -1]
    values = [float(one[right] - one[wrong]) for one in (before, after, patched)]
    outcome = built()(subject(network)).outcomes[0]
    assert outcome.statistics["clean"][0] == pytest.approx(values[0], rel=1e-5)
    assert outcome.statistics["corrupted"][0] == pytest.approx(values[1], rel=1e-5)
    share = (values[2] - values[1]) / (values[0] - values[1])
    assert outcome.record["map"][1][3 - 2] == pytest.approx(share, abs=2e-3)  # block 0, place 3; the map begins at 2
    assert outcome.record["tokens"] == ["(", "a", "b"]


def test_all_places_at_once_are_the_groups_together():
    """The whole stream after a block decides all that follows: the three groups together bring back everything."""
    from prospero.analysis.patching import patched_differences, patched_points

    network, (pair,) = model(), built().pairs
    everything = [sorted(place for group in pair.groups().values() for place in group)]
    with torch.inference_mode():
        clean, corrupted, values = patched_differences(
            network, pair, patched_points(network, PatchedAt.residual), everything
        )
    np.testing.assert_allclose((values - corrupted) / (clean - corrupted), 1, atol=1e-4)


@pytest.mark.parametrize("at", [PatchedAt.attention, PatchedAt.feed_forward])
def test_what_a_layer_adds_can_be_put_in(at):
    measured = built(at=at)(subject(model()))
    assert len(shares(measured, "changed")) == 2  # no embedding
    with pytest.raises(ConfigError, match=rf"analyses\.patching\.at={at.name}: a model=gru has only at=residual"):
        built("gru", at=at)


def test_a_pair_in_several_pieces_is_the_same(monkeypatch):
    whole = built()(subject(model())).outcomes[0]
    monkeypatch.setattr("prospero.analysis.patching.ROWS_AT_ONCE", 2)
    assert built()(subject(model())).outcomes[0].record["map"] == whole.record["map"]


def test_embedded_pairs_are_lines_of_python():
    analysis = PatchingConfig(limit=3).build("patching", facts())
    assert analysis.size == 3 and "standard library" in analysis.facts["records"]
    for pair in analysis.pairs:
        (place,) = pair.changed
        assert pair.tokens[place] in "([" and 0 < len(pair.groups()["between"]) == len(pair.clean) - place - 2
        assert {pair.texts["answer"], pair.texts["wrong"]} == {")", "]"}
    measured = analysis(subject(model()))
    (table,) = analysis.tables(measured)
    assert [row[0] for row in table.rows] == ["embedding", "block 0", "block 1"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert analysis.draw(measured, canvas(9.0, 5.0))


def test_records(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({**PROMPTS, "clean": f"f({x}", "corrupted": f"f[{x}"}) + "\n" for x in "abc"))
    analysis = PatchingConfig(data=RecordsConfig(path=str(path)), limit=2).build("patching", facts())
    assert analysis.size == 2 and np.isfinite(analysis(subject(model())).value("restored_last"))
    path.write_text(json.dumps({**PROMPTS, "corrupted": "g[a"}))
    with pytest.raises(
        DataError, match=r"pairs\.jsonl.*clean has 4 tokens and corrupted 3 \(f\|\(\|a\|b and g\|\[\|a\)"
    ):
        PatchingConfig(data=RecordsConfig(path=str(path))).build("patching", facts())


def test_what_is_refused():
    with pytest.raises(ConfigError, match=r"clean, wrong given without corrupted, answer; give all four"):
        PatchingConfig(clean="a", wrong="b")
    with pytest.raises(ConfigError, match="two sources of prompts"):
        PatchingConfig(**PROMPTS, data=RecordsConfig(path="x.jsonl"))
    with pytest.raises(DataError, match=r"analyses\.patching: clean and corrupted are the same"):
        built(corrupted=PROMPTS["clean"])
    with pytest.raises(DataError, match="answer and wrong begin with the same token"):
        built(wrong=")x")
    with pytest.raises(DataError, match=r"analyses\.patching: answer is empty"):
        built(answer="")
    with pytest.raises(ConfigError, match="a prompt of 71 tokens is more than the 64"):
        built(clean="(" + "a" * 69, corrupted="[" + "a" * 69)(subject(model()))
