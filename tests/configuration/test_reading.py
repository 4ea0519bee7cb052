"""A config.yaml read quickly is what the slow way reads, whatever it holds."""

import pytest

from prospero.configuration.reading import read_config, read_flat, read_parts
from prospero.errors import DataError
from prospero.plain import flat

WHOLE = """# Run it again: python train.py --config-dir <this folder>
defaults:
- base
- /schema/train@_here_
- /schema/model/lstm@model
- /schema/loss/cross_entropy@loss.cross_entropy
- _self_
model:
  d_model: 64
  rope:
    base: 1.0e+4
optimizer:
  lr: 1e-3
  betas:
  - 0.9
  - .95
name: null
compile: 'off'
'n': 1
logger: {}
seed: 0x10
hydra:
  run: x
"""
CASES = {
    "a run's own": WHOLE,
    "other numbers": "a: 1_000\nb: 1e5\nc: -2.5E-3\nd: .inf\ne: 1.\nf: 12e03\ng: '1e3'\nh: 010\ni: 1e\nj: +7\n",
    "words that are none": "a: yes\nb: on\nc: ~\nd: 'null'\ne: No\nf: 2026-11-27\n",
    "texts of several lines": "a: |\n  one\n  b: two\nc: >\n  folded\n  text\nd: 3\n",
    "a quoted text over lines": 'a: "one\n\n  two"\nb: 1\n',
    "a quoted text that begins a line": "a: 'one\n\nb: two'\nc: 1\n",
    "anchors": "a: &x\n  b: 1\nc: *x\n",
    "references": "a: ${oc.env:HOME}\nb: \\${x}\nc: 'x\\\\${y}'\n",
    "the same name twice": "a:\n  b: 1\nc: 2\na:\n  d: 3\n",
    "a comment within": "a:\n  b: 1 # one\n# two\nc: '#'\n",
    "flow": "a: {b: 1, c: [1, {d: 2}]}\ne: []\n",
    "no settings at the front": "\n\n# a\n\na: 1\n",
    "a document mark": "---\na: 1\n...\n",
    "other names": '"a b": 1\n_c: 2\nü: 3\n1: 4\n- d: 5\n',
    "a list at the top of a setting": "a:\n- b: 1\n  c: 2\n- d\n",
}


def slow(path):
    return flat(read_config(path)) | read_parts(path)


@pytest.mark.parametrize("what", CASES)
def test_the_quick_way_reads_what_the_slow_way_reads(tmp_path, what):
    path = tmp_path / "config.yaml"
    path.write_text(CASES[what], encoding="utf-8")
    try:
        expected = slow(path)
    except DataError:
        if what != "the same name twice":  # OmegaConf refuses it, and no run writes it
            with pytest.raises(DataError):
                read_flat(path)
        return
    for _ in range(2):  # the second time its blocks are known
        found = read_flat(path)
        assert found == expected
        assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in expected.items()}


@pytest.mark.parametrize("text", [b"", b"- a\n", b"a: [", b"\xff\xfe", b"a", b"a: " + b"[" * 2000, b"? [a]\n: 1\n"])
def test_what_is_no_config_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with pytest.raises(DataError) as error:
        read_flat(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*config\.yaml"):
        read_flat(tmp_path / "config.yaml")
