"""`prospero train_filter`: from two files of texts to a measured filter."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from prospero import cli
from prospero.data.text_filter import load_filter
from prospero.errors import ConfigError, DataError

GOOD = [f"the ship sails to island {i} with fair wind and a song" for i in range(40)]
BAD = [f"click here to buy {i} cheap watches now now now" for i in range(60)]


def write(path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def trained(tmp_path, *words: str, good: list[str] = GOOD, bad: list[str] = BAD) -> str:
    given = [f"good={write(tmp_path / 'good.jsonl', good)}", f"bad={write(tmp_path / 'bad.jsonl', bad)}"]
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert cli.run("train_filter", [*given, f"out={tmp_path / 'f.safetensors'}", *words]) == 0
    return out.getvalue()


def test_it_measures_what_it_held_out_and_writes_one_file(tmp_path):
    text = trained(tmp_path)
    made = load_filter(tmp_path / "f.safetensors")
    found, of = made.facts["held_out"], made.facts["trained_on"]
    assert (of["good"] + found["good"], of["bad"] + found["bad"]) == (40, 60)
    assert (found["precision"], found["recall"]) == (1.0, 1.0)
    assert text.splitlines()[0] == f"held out   {found['good']} good and {found['bad']} bad texts"
    low = found["recall_interval"][0]
    assert 0 < low < 1 and f"recall     100.0% ({low:.1%} to 100.0%) of the good are judged good" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "f.safetensors", "good.jsonl"]


def test_the_same_texts_give_the_same_file(tmp_path):
    trained(tmp_path, "features.bits=10")
    first = (tmp_path / "f.safetensors").read_bytes()
    (tmp_path / "f.safetensors").unlink()
    trained(tmp_path, "features.bits=10")
    assert (tmp_path / "f.safetensors").read_bytes() == first


def test_texts_are_cleaned_drawn_and_each_counts_once(tmp_path):
    trained(
        tmp_path,
        "cleaning=[length]",
        "cleaning.length.min_characters=20",
        "features.bits=8",
        good=[*GOOD, *GOOD, "short"],
        bad=BAD,
    )
    facts = load_filter(tmp_path / "f.safetensors").facts
    assert facts["trained_on"]["good"] + facts["held_out"]["good"] == 40
    (tmp_path / "f.safetensors").unlink()
    trained(tmp_path, "features.bits=8", "max_documents=30")
    facts = load_filter(tmp_path / "f.safetensors").facts
    assert facts["trained_on"]["bad"] + facts["held_out"]["bad"] == 30


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"good": GOOD[:1]}, DataError, "good= has 1 different texts: too few"),
        ({"bad": [*BAD, GOOD[3]]}, DataError, "1 texts are in good= and in bad=, such as 'the ship sails to island 3"),
    ],
)
def test_texts_that_make_no_filter(tmp_path, changes, error, said):
    with pytest.raises(error, match=said):
        trained(tmp_path, **changes)
    assert not (tmp_path / "f.safetensors").exists()


@pytest.mark.parametrize(
    ("word", "error", "said"),
    [
        ("good=", ConfigError, "good= is empty; give a file, a folder or a glob"),
        ("bad=/nowhere/x.jsonl", DataError, "bad="),
        ("l2=0", ConfigError, "l2=0.0 must be above 0"),
        ("held_out=1", ConfigError, "held_out=1.0 must lie between 0 and 1"),
        ("max_documents=1", ConfigError, "max_documents=1"),
        ("text_field=txt", DataError, "txt"),
    ],
)
def test_what_cannot_be(tmp_path, word, error, said):
    with pytest.raises(error, match=said):
        trained(tmp_path, word)


def test_a_file_that_is_there_is_not_replaced(tmp_path):
    (tmp_path / "f.safetensors").write_text("mine")
    with pytest.raises(ConfigError, match="exists; it is not replaced"):
        trained(tmp_path)
    assert (tmp_path / "f.safetensors").read_text() == "mine"
