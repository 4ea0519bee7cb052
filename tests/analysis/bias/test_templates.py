"""Templates: pairs of equally many tokens, neutral pairs level, a rigged model's difference by hand."""

import math
from typing import Any, cast

import numpy as np
import pytest

from prospero.analysis.bias.likelihood import Scored
from prospero.analysis.bias.templates import BiasTemplatesConfig, fill
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import ratio
from prospero.evaluation.statistics.bootstrap import interval
from tests.evaluation.tasks.fakes import TOKENIZER, subject


def build(**settings):
    limit = settings.pop("host_limit", None)
    return BiasTemplatesConfig(**settings).build(
        "mine", AnalysisFacts(tokenizer=TOKENIZER, model_kind="lstm", n_layers=1, limit=limit)
    )


def test_articles():
    assert fill("{who} is {an_attribute} {occupation}.", "He", "nurse", "honest") == "He is an honest nurse."
    assert fill("{who} works as {a_occupation}.", "Amy", "engineer", "rude") == "Amy works as an engineer."


def test_pairs_have_equally_many_tokens_and_differ_in_one_word():
    made = build(pairs=3)
    assert made.size == 5 * 80 + 2 * 24  # 40 occupations with praise and with blame; pairs of neutral words
    groups = {item.groups[0] for item in made.items}
    assert groups == {"pronouns", "gender_names", "ethnicity_names", "religion", "age", "null_names", "null_words"}
    for item in made.items:
        assert len(item.pairs) == (9 if item.groups[0].startswith("null") else 3)
        for pair in item.pairs:
            first, second = pair.first.split(), pair.second.split()
            assert len(TOKENIZER.encode(pair.first)) == len(TOKENIZER.encode(pair.second))
            assert sum(one != other for one, other in zip(first, second)) == 1 and len(first) == len(second)
    # of bytes, he and she are unlike, his and her alike
    pronouns = {pair.first.split()[0] for item in made.items if item.groups == ["pronouns"] for pair in item.pairs}
    assert pronouns == {"His"}
    assert made.facts["word pairs left out"]["pronouns"] == made.facts["word pairs of equal length"]["pronouns"] == 3


class Merging:
    """A tokenizer of bytes to which one beginning of a sentence is a single token."""

    def encode(self, text: str) -> list[int]:
        return list(text.replace("Mary works as a cook", "#").encode())


def test_each_pair_is_matched_by_itself():
    facts = AnalysisFacts(tokenizer=cast(Any, Merging()), model_kind="lstm", n_layers=1)
    config = BiasTemplatesConfig(axes=["gender_names"], occupations=["cook"], pairs=1000)
    pairs = [pair for item in config.build("mine", facts).items[:2] for pair in item.pairs]
    assert any("Mary is a" in pair.second for pair in pairs)
    assert not any("Mary works" in pair.second for pair in pairs)  # no man's sentence is as short


def test_a_model_that_knows_nothing_shows_nothing():
    made = build(axes=["pronouns"], pairs=2, occupations=["nurse", "cook", "judge"])
    measured = made(subject({}))
    assert set(measured.values().values()) == {0.0}
    for table in made.tables(measured)[:3]:
        assert [row[-1] for row in table.rows] == ["no interval", ""]  # without any spread there is no interval


def test_a_rigged_model_gives_the_difference_that_it_was_rigged_to():
    """After the s of His a space is 3/4, after the r of Her 1/4: the first token that both texts share."""
    table = {"s": {" ": 0.75}, "r": {" ": 0.25}}
    made = build(axes=["pronouns"], occupations=["xx"], pairs=24, scored=Scored.after)
    measured = made(subject(table))
    pairs = [(pair, value) for outcome in measured.outcomes for pair, value in zip(
        zip(outcome.record["first"], outcome.record["second"]), outcome.record["difference"])
        if outcome.record["groups"] == ["pronouns"]]  # fmt: skip
    assert len(pairs) == 48 and all(first.startswith("His ") for (first, _), _ in pairs)
    # the space after the pronoun is the first token they share; what follows is the same in both
    assert [value for _, value in pairs] == pytest.approx([math.log(3)] * 48, abs=1e-5)
    assert measured.value("difference/pronouns") == pytest.approx(math.log(3), abs=1e-5)
    assert measured.value("absolute/pronouns") == pytest.approx(math.log(3), abs=1e-5)
    assert measured.value("attributes/pronouns") == pytest.approx(0.0, abs=1e-5)


def test_the_whole_text_counts_the_words_themselves():
    table = {"H": {"i": 0.5, "e": 0.125}}
    measured = build(axes=["pronouns"], occupations=["xx"], pairs=4, scored=Scored.whole)(subject(table))
    assert measured.value("difference/pronouns") == pytest.approx(math.log(4), abs=1e-5)
    after = build(axes=["pronouns"], occupations=["xx"], pairs=4, scored=Scored.after)(subject(table))
    assert after.value("difference/pronouns") == 0.0


def noisy(seed: int) -> dict[str, dict[str, float]]:
    """A bigram model that is arbitrary in every row: it has opinions on every word, none of them about groups."""
    random = np.random.default_rng(seed)
    letters = [chr(code) for code in range(32, 123)]
    table = {}
    for before in letters:
        shares = random.dirichlet(np.full(len(letters), 0.3)) * 0.98 + 0.01 / len(letters)
        table[before] = dict(zip(letters, shares.tolist()))
    return table


def test_neutral_pairs_are_centred_on_zero_within_their_interval():
    """Of arbitrary models a 95 % interval may miss 0 now and then; of twelve intervals one at most may."""
    made = build(axes=["gender_names", "age"], pairs=4, limit=12, scored=Scored.whole)
    held = []
    for seed in range(6):
        measured = made(subject(noisy(seed), rows=64))
        for null in ("null_names", "null_words"):
            rows = measured.statistics(f"difference/{null}")
            low, high = interval(rows[rows.any(axis=1)], ratio)
            assert low < high and measured.value(f"absolute/{null}") > 0.1
            held.append(low <= 0 <= high)
    assert sum(held) >= 11


def test_two_neutral_words_stand_in_sentences_of_all_sides_and_change_places():
    items = [item for item in build(axes=["pronouns"], pairs=4).items if item.groups == ["null_names"]]
    for item in items:
        assert {*zip(item.sides["occupations"], item.sides["attributes"])} == {(1, 1), (1, 2), (2, 1), (2, 2)}
        assert all(pair.first.split()[0] == item.about["words"][0] for pair in item.pairs)
    ordered = [item.about["words"] == sorted(item.about["words"]) for item in items]
    assert ordered == [True, False] * 12 and len({tuple(sorted(item.about["words"])) for item in items}) == 24


def test_few_words_have_a_higher_floor_than_many():
    """A model for which it matters which name begins: a pair of names of one group differs as much as any other."""
    made = build(axes=["pronouns", "gender_names"], pairs=4, limit=16)
    measured = made(subject(noisy(3), rows=64))
    assert made.design.words["pronouns"] == 1 and made.design.words["gender_names"] > 3
    (table,) = [table for table in made.tables(measured) if table.title.startswith("mean difference (above 0")]
    floors = [float(str(row[4])) for row in table.rows[:2]]
    assert floors[0] > floors[1] > 0


def test_limits_spread_evenly_and_hold_every_axis():
    made = build(axes=["pronouns", "age"], limit=4)
    assert made.size == 16
    sides = [(item.sides["occupations"][0], item.sides["attributes"][0]) for item in made.items[4:8]]
    assert sides == [(1, 1), (1, 2), (2, 1), (2, 2)] and made.items[4].groups == ["age"]
    assert build(axes=["pronouns", "age"], host_limit=8).size == 8


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match=r"there is no 'pronuns'; choose among .*Did you mean 'pronouns'"):
        BiasTemplatesConfig(axes=["pronuns"])
    with pytest.raises(ConfigError, match="compares nobody"):
        BiasTemplatesConfig(axes=[])
    with pytest.raises(ConfigError, match="pairs=0 measures nothing"):
        BiasTemplatesConfig(pairs=0)
