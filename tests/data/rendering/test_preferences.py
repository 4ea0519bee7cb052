"""Pairs: two documents side by side, of which the answers are targets; what is no pair, with its place or counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from prospero.data.prepare import PreparedData, open_prepared, prepare
from prospero.data.rendering.preferences import BadRecords, PreferencesConfig
from prospero.data.sources.examples import ExamplesConfig
from prospero.errors import ConfigError, DataError
from tests.data.shard_making import settings

ROWS = [{"prompt": f"Q{i}:", "chosen": f" good {i:02d}", "rejected": f" bad {i % 7}"} for i in range(60)]


def prepared(tmp_path: Path, rows: list[dict], **rendering) -> PreparedData:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = {"data": ExamplesConfig(path=str(path)), "rendering": PreferencesConfig(**rendering)}
    return prepare(settings(tmp_path, tmp_path / "out", **chosen), progress=False)


def documents(data: PreparedData, split: str) -> list[tuple[str, str]]:
    """(prompt, answer) of each document, told apart by the marks."""
    shards, found, start = data.splits[split], [], 1
    for end in shards.document_ends.tolist():
        marks = shards.targets[start:end]
        first = start + int(np.argmax(marks))
        assert marks[first - start :].all() and shards.all_tokens[end - 1] == data.tokenizer.eot_id
        found.append(tuple(data.tokenizer.decode(shards.tokens(*span)) for span in ((start, first), (first, end - 1))))
        start = end
    return found


def test_chosen_and_rejected_stand_side_by_side_and_their_answers_are_targets(tmp_path):
    data = prepared(tmp_path, ROWS)
    found = [document for split in data.splits for document in documents(data, split)]
    pairs = {(first, second) for first, second in zip(found[::2], found[1::2])}
    assert pairs == {((row["prompt"], row["chosen"]), (row["prompt"], row["rejected"])) for row in ROWS}
    assert all(shards.documents_per_example == 2 for shards in open_prepared(data.directory).splits.values())


def test_without_a_prompt_it_is_what_both_begin_with(tmp_path):
    rows = [
        {"chosen": f"Human: q{i} Assistant: so be it", "rejected": f"Human: q{i} Assistant: some"} for i in range(60)
    ]
    data = prepared(tmp_path, rows, prompt=None)
    first, second = documents(data, "train")[:2]
    assert first == (first[0], " so be it") and second == (first[0], " some")
    assert first[0].startswith("Human: q") and first[0].endswith(" Assistant:")


BAD = [
    ({"prompt": "q", "chosen": "a", "rejected": "a"}, "chosen and rejected are equal", {}),
    ({"prompt": "q", "chosen": "a", "rejected": " \n"}, "an answer is missing", {}),
    ({"chosen": "One: a", "rejected": "Other: b"}, "chosen and rejected answer different prompts", {"prompt": None}),
    ({"prompt": "q", "chosen": "a"}, "no field 'rejected'", {}),
    ({"prompt": "q", "chosen": "a", "rejected": None}, "field 'rejected' holds nothing", {}),
]


@pytest.mark.parametrize(("row", "said", "rendering"), BAD)
def test_what_is_no_pair_is_said_with_its_place(tmp_path, row, said, rendering):
    with pytest.raises(DataError, match=r"rows\.jsonl line 61.*" + said) as error:
        prepared(tmp_path, [*ROWS, row], **rendering) if not rendering else prepared(
            tmp_path, [{"chosen": "p q r", "rejected": "p q s"} for _ in range(60)] + [row], **rendering
        )
    assert "\n" not in str(error.value)


def test_what_is_no_pair_is_dropped_and_counted(tmp_path):
    rows = [row for row, _, rendering in BAD if not rendering]
    data = prepared(tmp_path, [*ROWS, *rows], bad_records=BadRecords.drop)
    dropped = {row["reason"]: row["documents"] for row in data.receipt["dropped"]}
    assert dropped == {
        "chosen and rejected are equal": 1,
        "an answer is missing": 1,
        "a field is missing or holds no text": 2,
    }
    assert data.receipt["documents"]["kept"] == 60


def test_templates_that_cannot_be():
    with pytest.raises(ConfigError, match="names no field"):
        PreferencesConfig(chosen="always this").build()


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 2, texts)]


DIALOGUES = [
    {
        "prompt": f"q{i}?",
        "chosen": turns(f"q{i}?", "so", "and?", f"well {i}"),
        "rejected": turns(f"q{i}?", "so", "and?", "eh"),
    }
    for i in range(60)
]


def test_dialogues_are_learnt_in_their_last_answer(tmp_path):
    data = prepared(tmp_path, DIALOGUES, messages=True)
    found = [document for split in data.splits for document in documents(data, split)]
    pairs = {(first, second) for first, second in zip(found[::2], found[1::2])}
    assert len(pairs) == 60
    for (before, good), (same, bad) in pairs:
        number = before.split("?")[0].split("q")[1]
        assert (
            before == same and before.startswith(f"User: q{number}?\nAssistant: so") and before.endswith("Assistant:")
        )
        assert (good.strip(), bad.strip()) == (f"well {number}", "eh")


def test_an_answer_alone_follows_the_prompt(tmp_path):
    rows = [
        {
            "prompt": f"q{i}?",
            **{half: [{"role": "assistant", "content": f"{half} {i}"}] for half in ("chosen", "rejected")},
        }
        for i in range(60)
    ]
    (before, good), (same, bad) = documents(prepared(tmp_path, rows, messages=True), "train")[:2]
    number = before.split("?")[0].split("q")[1]
    assert before == same == f"User: q{number}?\nAssistant:"
    assert (good.strip(), bad.strip()) == (f"chosen {number}", f"rejected {number}")


BAD_DIALOGUES = [
    ({"chosen": turns("a", "b"), "rejected": turns("a", "b")}, "chosen and rejected are equal"),
    ({"chosen": turns("a", "b"), "rejected": turns("c", "d")}, "chosen and rejected answer different prompts"),
    ({"chosen": turns("a", "b", "c"), "rejected": turns("a", "b", "d")}, "an answer is missing"),
    ({"chosen": "text", "rejected": turns("a", "b")}, "holds no list of messages"),
    ({"chosen": turns("a", ""), "rejected": turns("a", "b")}, "is an empty answer"),
]


@pytest.mark.parametrize(("row", "said"), BAD_DIALOGUES)
def test_dialogues_that_are_no_pair(tmp_path, row, said):
    with pytest.raises(DataError, match=r"rows\.jsonl line 61.*" + said):
        prepared(tmp_path, [*DIALOGUES, {"prompt": "a", **row}], messages=True)


def test_dialogues_that_are_no_pair_are_counted(tmp_path):
    rows = [{"prompt": "a", **row} for row, _ in BAD_DIALOGUES]
    data = prepared(tmp_path, [*DIALOGUES, *rows], messages=True, bad_records=BadRecords.drop)
    assert sum(row["documents"] for row in data.receipt["dropped"]) == 5 and data.receipt["documents"]["kept"] == 60


def test_messages_in_place_of_texts_are_said(tmp_path):
    with pytest.raises(DataError, match=r"field 'chosen' holds a list; messages: rendering\.messages=true"):
        prepared(tmp_path, DIALOGUES)
    with pytest.raises(ConfigError, match=r"rendering\.messages=true"):
        PreferencesConfig(template="chatml")
