"""Prompts of prepared examples, and the fields that are kept beside the tokens."""

import json

import pytest

from prospero import compose
from prospero.data.kept_records import records_file
from prospero.data.prepare import open_prepared, prepare
from prospero.data.prompts import Prompts
from prospero.errors import ConfigError, DataError

WORDS = ["data=examples", "rendering=prompt_response", "cleaning=none", "tokenizer=char", "split=hash"]


def prepared(folder, *words: str):
    rows = [{"prompt": f"{n}+1=", "response": str(n + 1), "tests": [f"a{n}", "b"]} for n in range(80)]
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = (*WORDS, f"data.path={folder / 'x.jsonl'}", f"outputs_dir={folder / 'out'}", *words)
    return prepare(compose("prepare", list(words)), progress=False)


def test_a_prompt_ends_where_the_response_begins(tmp_path):
    data = prepared(tmp_path, "rendering.keep=[tests]")
    prompts, tokenizer = Prompts(data, "train"), data.tokenizer
    assert prompts.fields == {"prompt", "response", "tests"}
    seen = set()
    for number in range(len(prompts)):
        prompt = prompts[number]
        n = int(prompt.record["response"]) - 1
        seen.add(n)
        assert dict(prompt.record) == {"prompt": f"{n}+1=", "response": str(n + 1), "tests": f"a{n}\nb"}
        assert prompt.ids == [tokenizer.eot_id, *tokenizer.encode(f"{n}+1=")]
        assert prompt.answer == [*tokenizer.encode(str(n + 1)), tokenizer.eot_id]
    held_out = {int(Prompts(data, "val")[k].record["response"]) - 1 for k in range(len(Prompts(data, "val")))}
    assert not seen & held_out
    assert prompts.longest_prompt == max(len(prompt.ids) for prompt in map(prompts.__getitem__, range(len(prompts))))
    assert prompts.longest_prompt == 6  # the separator, 10+1=


def test_without_kept_fields_there_is_no_file(tmp_path):
    data = prepared(tmp_path)
    assert Prompts(data, "train").fields == {"prompt", "response"}
    assert not list(data.directory.glob("*.records.jsonl"))


def test_a_field_that_is_kept_must_be_there(tmp_path):
    with pytest.raises(DataError, match=r"x.jsonl line 1: no field 'doctests'"):
        prepared(tmp_path, "rendering.keep=[doctests]")


def test_kept_fields_that_were_changed_are_noticed(tmp_path):
    data = prepared(tmp_path, "rendering.keep=[tests]")
    with open(data.directory / records_file("val"), "a") as file:
        file.write("{}\n")
    with pytest.raises(DataError, match="records for"):
        _ = Prompts(data, "val").kept
    with pytest.raises(DataError, match="differs from what was written"):
        open_prepared(data.directory)


def test_texts_have_no_prompt(tmp_path):
    (tmp_path / "t.txt").write_text("a line of text\n" * 400)
    words = ["data=files", f"data.path={tmp_path / 't.txt'}", "cleaning=none", "tokenizer=byte", "split=tail"]
    data = prepare(compose("prepare", [*words, f"outputs_dir={tmp_path / 'out'}"]), progress=False)
    with pytest.raises(ConfigError, match=r"rewards need prompts.*rendering=prompt_response"):
        Prompts(data, "train")
