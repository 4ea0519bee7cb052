"""Dialogues from records: the formats, the template stored with the tokenizer, and bad records in one line."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from prospero import compose
from prospero.batch import IGNORE_INDEX
from prospero.data.cleaning.length import LengthConfig
from prospero.data.cleaning.step import Drop
from prospero.data.document import Document
from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.prepare import PreparedData, prepare
from prospero.data.rendering.chat_template import CHATML, PLAIN
from prospero.data.rendering.messages import BadRecords, DialogueFormat, LossOn, MessagesConfig
from prospero.data.rendering.rendering import Rendered
from prospero.data.sources.examples import ExamplesConfig
from prospero.data.tokenizer.tokenizer import load_tokenizer
from prospero.errors import ConfigError, DataError
from tests.data.shard_making import settings

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def prepared(tmp_path: Path, rows: list[dict], **changes) -> PreparedData:
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    chosen = {"data": ExamplesConfig(path=str(path)), "rendering": MessagesConfig(template="chatml")}
    return prepare(settings(tmp_path, tmp_path / "out", **(chosen | changes)), progress=False)


def openai(number: int) -> dict:
    return {"messages": [{"role": "user", "content": f"{number}+1 <|im_end|>?"},
                         {"role": "assistant", "content": f"It is {number + 1}."}]}  # fmt: skip


def rendered(row: dict, **config) -> Rendered | Drop:
    return MessagesConfig(**config).build()(Document(text="", id="d.jsonl line 7", record=row), lambda text: text)


def text_of(example: Rendered | Drop) -> str:
    assert isinstance(example, Rendered)
    return "".join(span.text for span in example.documents[0])


def test_the_answers_carry_loss_and_the_template_goes_with_the_tokenizer(tmp_path):
    data = prepared(tmp_path, [openai(i) for i in range(60)])
    again = load_tokenizer(data.directory)
    assert again.chat_template == CHATML and again.fingerprint() == data.tokenizer.fingerprint()
    shards, end = data.splits["train"], data.tokenizer.control_id("<|im_end|>")
    packed = BestFitPackingConfig().build(shards, 64)
    labels = packed.read(np.arange(len(packed)))["labels"]
    learnt = labels[labels != IGNORE_INDEX]
    parts = np.split(learnt, np.flatnonzero(learnt == end) + 1)
    texts = [data.tokenizer.decode(part) for part in parts if len(part)]
    assert len(texts) == shards.n_documents and all(text.startswith("It is ") for text in texts)
    assert len(learnt) == sum(len(text) + 1 for text in texts) == shards.targets.sum()
    assert (shards.all_tokens == end).sum() == 2 * shards.n_documents
    assert data.receipt["examples"]["formats"] == {"OpenAI messages": 60}


def test_each_format_is_recognised_and_said_once(caplog):
    caplog.set_level(logging.INFO)
    rows = [
        {"messages": [USER, ANSWER]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Hi", "input": "", "output": "Hello"},
    ]
    rendering = MessagesConfig().build()
    for row in rows * 2:
        example = rendering(Document(text="", id="x", record=row), lambda text: text)
        assert text_of(example) == "User: Hi\nAssistant: Hello"
        assert [span.target for span in example.documents[0]] == [False, True]
    formats = {"Alpaca instructions": 2, "OpenAI messages": 2, "ShareGPT conversations": 2}
    assert rendering.facts()["formats"] == formats
    assert [record.getMessage() for record in caplog.records] == [
        "Examples: OpenAI messages, in the field messages, by the template plain.",
        "Examples: ShareGPT conversations, in the field conversations, by the template plain.",
        "Examples: Alpaca instructions, in the field instruction, output, by the template plain.",
    ]


def test_fields_parts_and_roles_of_each_format():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    row = {"chat": [{"role": "developer", "content": "S"}, {"role": "user", "content": parts}, ANSWER]}
    assert text_of(rendered(row, messages="chat")) == "System: S\nUser: ab\nAssistant: Hello"
    share = {"system": "S", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    assert text_of(rendered(share)) == "System: S\nUser: a\nAssistant: b"
    alpaca = {"instruction": "Add", "input": "1, 2", "output": "3", "messages": None}
    assert text_of(rendered(alpaca, format=DialogueFormat.alpaca)) == "User: Add\n\n1, 2\nAssistant: 3"


@pytest.mark.parametrize(("row", "found", "reason"), [
    ({"messages": [USER, {"role": "asistant", "content": "x"}]},
     "message 2 has the role 'asistant'. Did you mean 'assistant'? Roles: system, user, assist",
     "unknown role"),
    ({"messages": [USER, USER]}, "an answer is missing: no message of the assistant (roles: user, user)", "no answer"),
    ({"messages": []}, "an answer is missing: no message of the assistant (roles: none)", "no answer"),
    ({"messages": [USER, {"role": "assistant", "content": " "}]}, "message 2 (assistant) is an empty answer",
     "empty answer"),
    ({"messages": [USER, {"role": "assistant", "content": {"a": 1}}]},
     "message 2 (assistant) holds an object, not a text", "content that is no text"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]},
     "message 1 (user) holds parts of the kinds image_url, not a text", "content that is no text"),
    ({"messages": [{"role": "user"}, ANSWER]}, "message 1 has no 'content'; it has role", "a message without content"),
    ({"messages": ["Hi"]}, "message 1 is a str, not an object with role and content", "no message"),
    ({"messages": "Hi"}, "field 'messages' holds a str, not a list of messages", "no list of messages"),
    ({"text": "Hi"}, "no dialogue: neither messages (OpenAI) nor conversations (ShareGPT) nor instruction and output "
     "(Alpaca); fields found: text. Name the field", "no dialogue"),
    ({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}]},
     "message 2 has tool_calls, which the template (plain) does not render", "tool calls"),
])  # fmt: skip
def test_a_bad_record_is_named_or_counted(row, found, reason):
    with pytest.raises(DataError) as error:
        rendered(row)
    assert str(error.value).startswith(f"d.jsonl line 7: {found}") and "\n" not in str(error.value)
    assert rendered(row, bad_records=BadRecords.drop) == Drop(reason)


def test_what_the_template_refuses_is_a_bad_record(tmp_path):
    strict = tmp_path / "strict.jinja"
    strict.write_text(
        "{% for m in messages %}{% if (loop.index0 % 2 == 0) != (m.role == 'user') %}"
        "{{ raise_exception('two users in a row') }}{% endif %}[{{ m.content }}]{% endfor %}"
    )
    row = {"messages": [USER, USER, ANSWER]}
    with pytest.raises(DataError, match=r"^d.jsonl line 7: the template refuses the dialogue: two users in a row$"):
        rendered(row, template=str(strict))
    drop = rendered(row, template=str(strict), bad_records=BadRecords.drop)
    assert drop == Drop("refused by the template")


def test_dropped_records_are_in_the_receipt(tmp_path):
    rows = (
        [openai(i) for i in range(60)]
        + [{"messages": [USER]}] * 3
        + [{"messages": [USER, {"role": "x", "content": ""}]}]
    )
    data = prepared(tmp_path, rows, rendering=MessagesConfig(bad_records=BadRecords.drop))
    assert data.receipt["documents"] == {"read": 64, "kept": 60, "dropped": 4, "duplicate": 0}
    assert [(row["reason"], row["documents"]) for row in data.receipt["dropped"]] == [
        ("no answer", 3),
        ("unknown role", 1),
    ]


def test_cleaning_reads_each_message(tmp_path):
    rows = [openai(i) for i in range(60)] + [{"messages": [USER, {"role": "assistant", "content": "y" * 300}]}]
    data = prepared(tmp_path, rows, cleaning={"length": LengthConfig(min_characters=1, max_characters=200)})
    assert [(row["step"], row["documents"]) for row in data.receipt["dropped"]] == [("length", 1)]


def test_another_template_is_another_preparation(tmp_path):
    file = tmp_path / "mine.jinja"
    folders = set()
    for source in (PLAIN, CHATML, CHATML + " "):
        file.write_text(source)
        folders.add(
            prepared(tmp_path, [openai(i) for i in range(60)], rendering=MessagesConfig(template=str(file))).directory
        )
    assert len(folders) == 3


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match=r"rendering.template=nope is neither plain nor chatml"):
        MessagesConfig(template="nope").build()
    with pytest.raises(ConfigError, match=r"rendering.template= is empty"):
        MessagesConfig(template=" ")
    with pytest.raises(ConfigError, match=r"format=alpaca has none: it reads instruction"):
        MessagesConfig(messages="x", format=DialogueFormat.alpaca)


def test_the_last_answer_alone():
    row = {"messages": [USER, ANSWER, USER, {"role": "assistant", "content": "Bye"}]}
    example = rendered(row, loss_on=LossOn.last_response)
    assert isinstance(example, Rendered)
    assert [span.text for span in example.documents[0] if span.target] == [" Bye"]


def test_a_preset_chooses_no_cleaning_and_another_choice_counts():
    words = ["data=examples", "data.path=x"]
    assert compose("prepare", ["rendering=sharegpt", *words]).cleaning == {}
    found = compose("prepare", ["rendering=chatml", "cleaning=[unicode]", *words])
    assert list(found.cleaning) == ["unicode"] and found.rendering == MessagesConfig(template="chatml")
