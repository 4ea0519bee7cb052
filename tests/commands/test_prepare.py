"""`prospero prepare`: the receipt in short, made once and found again."""

import pytest

from prospero.commands.prepare import prepare
from prospero.configuration.compose import compose
from prospero.data.describe import describe
from prospero.data.prepare import prepare as prepare_data
from prospero.errors import ProsperoError


@pytest.fixture
def config(tmp_path):
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(400)]
    (tmp_path / "text.txt").write_text("".join(lines))
    words = ["data=files", f"data.path={tmp_path}/text.txt", "tokenizer=byte", f"outputs_dir={tmp_path}/outputs"]
    return compose("prepare", words)


def test_the_receipt_is_printed_and_the_data_are_found_again(config, capsys, tmp_path):
    assert prepare(config) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    size = (tmp_path / "text.txt").stat().st_size
    assert lines["read"] == f"1 documents, {size / 1e6:.2f} MB"
    assert lines["kept"].endswith("(0 duplicates, 0 dropped by cleaning)")
    assert lines["vocabulary"] == "257 tokens, 1.00 bytes per token"
    assert lines["bigram"].endswith("bits per byte on val (the floor to beat)")
    prepared = prepare_data(config)
    assert lines["fingerprint"] == prepared.fingerprint and lines["folder"] == str(prepared.directory)
    assert prepared.directory.parent == tmp_path / "outputs" / "data"
    assert [name for name in lines if name in prepared.splits] == list(prepared.splits)
    tokens = {name: int(lines[name].partition(" ")[0].replace(",", "")) for name in prepared.splits}
    assert tokens == {name: split.n_tokens for name, split in prepared.splits.items()}


def test_what_was_dropped_and_repaired_is_said(config):
    prepared = prepare_data(config)
    prepared.receipt["dropped"] = [{"documents": 1200, "step": "length", "reason": "too short"}]
    prepared.receipt["repairs"] = {"a blank too many": 3400}
    lines = describe(prepared)
    assert "  dropped     1,200 by length: too short" in lines
    assert "  repaired    3,400 x a blank too many" in lines


def test_text_that_is_not_there_is_one_line(tmp_path):
    config = compose("prepare", ["data=files", f"data.path={tmp_path}/none.txt", f"outputs_dir={tmp_path}/outputs"])
    with pytest.raises(ProsperoError, match=r"none\.txt") as caught:
        prepare(config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "outputs" / "data").exists() or not list((tmp_path / "outputs" / "data").glob("*/receipt*"))
