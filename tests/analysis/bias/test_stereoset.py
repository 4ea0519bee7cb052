"""StereoSet: LMS, SS and ICAT by hand, in the format as published and in that of the hub."""

import json

import numpy as np
import pytest

from prospero.analysis.bias.stereoset import StereoSetConfig, icat, wins
from prospero.data.records import RecordsConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.results import estimates
from prospero.runs.figures import canvas
from tests.evaluation.tasks.fakes import END, TOKENIZER, subject

FACTS = AnalysisFacts(tokenizer=TOKENIZER, model_kind="lstm", n_layers=1)
TABLE = {END: {"a": 0.5, "b": 0.25, "c": 0.125}, " ": {"a": 0.5, "b": 0.25, "c": 0.125}}


def cluster(number, target, anti, pro, unrelated, *, context="BLANK.", domain="race"):
    """One element of `data.intrasentence` of dev.json, as published."""
    texts = {"anti-stereotype": anti, "stereotype": pro, "unrelated": unrelated}
    sentences = [
        {"id": f"{number}{label}", "sentence": text, "labels": [{"label": label, "human_id": "h"}], "gold_label": label}
        for label, text in texts.items()
    ]
    return {"id": f"i{number}", "target": target, "bias_type": domain, "context": context, "sentences": sentences}


def published(intra, inter=()):
    return {"version": "1.1", "data": {"intersentence": list(inter), "intrasentence": list(intra)}}


@pytest.fixture
def build(tmp_path):
    def build(value, **settings):
        (tmp_path / "dev.json").write_text(json.dumps(value), encoding="utf-8")
        return StereoSetConfig(data=RecordsConfig(path=str(tmp_path / "dev.json")), **settings).build("stereo", FACTS)

    return build


def test_icat_of_sums_by_hand():
    assert icat(np.array([0.8, 0.6, 1.0])) == pytest.approx(64.0)
    assert icat(np.array([[2.0, 1.0, 2.0], [1.8, 0.2, 2.0]])).tolist() == pytest.approx([100.0, 18.0])
    assert np.isnan(icat(np.zeros(3)))
    assert [wins(2, 1), wins(1, 2), wins(1, 1)] == [1.0, 0.0, 0.5]


def test_numbers_are_means_over_terms(build):
    intra = [
        cluster(0, "Ethiopia", anti="b", pro="a", unrelated="c"),  # SS 1, both likelier than the unrelated
        cluster(1, "Ethiopia", anti="a", pro="b", unrelated="c"),  # SS 0, both
        cluster(2, "chess player", anti="c", pro="a", unrelated="b", domain="profession"),  # SS 1, one of two
    ]
    inter = [
        cluster(3, "chess player", anti="b", pro="c", unrelated="a", context="Hm.", domain="profession")
    ]  # 0, none
    made = build(published(intra, inter))
    measured = made(subject(TABLE))
    assert made.size == 2 and made.facts["clusters"] == 4
    assert measured.value("ss/all") == pytest.approx((50 + 50) / 2)
    assert measured.value("lms/all") == pytest.approx((100 + 25) / 2)
    assert measured.value("icat/all") == pytest.approx(62.5)
    assert measured.value("ss/race") == 50.0 and measured.value("ss/profession") == 50.0
    assert measured.value("ss/intrasentence") == pytest.approx((50 + 100) / 2)
    assert measured.value("lms/intersentence") == 0.0 and measured.value("icat/intersentence") == 0.0
    assert measured.value("icat/intrasentence") == pytest.approx(75 * 25 / 50)
    assert estimates(measured)["lms/intersentence"].high is None  # of one term no interval is known
    json.dumps([made.facts, [outcome.record for outcome in measured.outcomes]])
    tables = made.tables(measured)
    assert [row[0] for row in tables[0].rows][:2] == ["all", "intrasentence"]
    assert tables[0].rows[-1][0] == "labels drawn by a coin"
    figure = canvas(4, 4)
    assert made.draw(measured, figure) and len(figure.axes) == 1


def test_a_sentence_counts_for_each_token_and_given_its_context(build):
    intra = [cluster(0, "x", anti="b", pro="aq", unrelated="c")]  # of aq the mean of two tokens
    inter = [cluster(1, "y", anti="b", pro="a", unrelated="c", context="Hm.")]
    made = build(published(intra, inter))
    q = 1 / TOKENIZER.vocab_size
    first, second = made(subject(TABLE)).outcomes
    anti, pro, unrelated = (
        first.record["sentences"][0][name][1] for name in ("anti-stereotype", "stereotype", "unrelated")
    )
    assert (anti, unrelated) == pytest.approx((np.log(0.25), np.log(0.125)), abs=1e-5)
    assert pro == pytest.approx((np.log(0.5) + np.log(q)) / 2, abs=1e-5)
    assert second.record["sentences"][0]["stereotype"][1] == pytest.approx((np.log(q) + np.log(0.5)) / 2, abs=1e-5)


def test_kinds_and_rows_of_the_hub(build, tmp_path):
    one = cluster(0, "Ethiopia", anti="b", pro="a", unrelated="c")
    two = cluster(1, "Ethiopia", anti="b", pro="a", unrelated="c", context="Hm.")
    assert build(published([one], [two]), kinds=["intersentence"]).facts["clusters"] == 1
    number = {"anti-stereotype": 0, "stereotype": 1, "unrelated": 2}
    rows = []
    for row in (one, two):
        turned = {name: [sentence[name] for sentence in row["sentences"]] for name in ("id", "sentence", "labels")}
        turned["gold_label"] = [number[sentence["gold_label"]] for sentence in row["sentences"]]
        rows.append(row | {"sentences": turned})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = StereoSetConfig(data=RecordsConfig(path=str(tmp_path / "rows.jsonl"))).build("stereo", FACTS)
    assert [one.kind for one in made.terms[0]] == ["intrasentence", "intersentence"]
    assert made.terms[0][0].sentences == ["b", "a", "c"]
    hub = StereoSetConfig(data=RecordsConfig(dataset=str(tmp_path / "hub"), split="validation"))
    (tmp_path / "hub").mkdir()
    (tmp_path / "rows.jsonl").rename(tmp_path / "hub" / "validation.jsonl")
    assert hub.build("stereo", FACTS).size == 1


def test_a_model_that_prefers_stereotypes_stands_out_and_a_coin_does_not(build):
    terms = [cluster(n, f"term {n}", anti="b", pro="a", unrelated="c", domain="ab"[n % 2]) for n in range(60)]
    noise = [cluster(100 + n, f"term {n}", anti="a", pro="b", unrelated="c") for n in range(0, 60, 6)]
    made = build(published([*terms, *noise]))
    measured = made(subject(TABLE, rows=64))
    table = made.tables(measured)[0]
    assert table.rows[0][-1] == "above"
    assert abs(measured.value("null_ss/all") - 50) < 20


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (published([cluster(0, "x", "a", "b", "c") | {"sentences": [{"sentence": "a", "gold_label": "stereotype"}]}]),
         "intrasentence 1 has no sentence with gold_label 'anti-stereotype'"),
        (published([cluster(0, "x", "a", "b", "c"), {"id": "1"}]), "intrasentence 2: no field 'target'"),
        (published([], [cluster(0, "x", "a", "b", "c") | {"sentences": [{"sentence": "a", "gold_label": "pro"}]}]),
         "intersentence 1: field 'gold_label' says 'pro', which is none of anti-stereotype"),
        ({"version": "1.1"}, "record 1: no field 'id'; fields found: version"),
        (published([], []), "holds nothing of intrasentence, intersentence"),
        ({"data": {"intrasentence": {}}}, "data.intrasentence is an object, not a list"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_with_the_record(build, value, message):
    with pytest.raises(DataError, match=message) as caught:
        build(value)
    assert "\n" not in str(caught.value)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="choose intrasentence, intersentence or both"):
        StereoSetConfig(kinds=["inter"])
    with pytest.raises(ConfigError, match="limit=0 leaves nothing"):
        StereoSetConfig(limit=0)
