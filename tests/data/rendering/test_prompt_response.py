"""Prompts and responses: which tokens are targets, from the record to the batch."""

import json
from pathlib import Path

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.cleaning.length import LengthConfig
from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.prepare import PreparedData, open_prepared, prepare
from prospero.data.rendering.chat_template import PYTHON_PROMPT
from prospero.data.rendering.prompt_response import PromptResponseConfig
from prospero.data.rendering.rendering import Rendered, Span
from prospero.data.sources.examples import ExamplesConfig
from prospero.errors import ConfigError, DataError
from tests.data.shard_making import settings

PACKINGS = [ConcatPackingConfig(), BestFitPackingConfig(), PaddedPackingConfig()]


def write(folder: Path, rows: list[dict]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def prepared(tmp_path: Path, rows: list[dict], **changes) -> PreparedData:
    chosen = {"data": ExamplesConfig(path=str(write(tmp_path, rows))), "rendering": PromptResponseConfig()}
    return prepare(settings(tmp_path, tmp_path / "out", **(chosen | changes)), progress=False)


ROWS = [{"prompt": f"Q{i} ä:", "response": f" answer {i:02d}."} for i in range(60)]


@pytest.mark.parametrize("packing", PACKINGS, ids=lambda packing: type(packing).__name__)
def test_the_response_and_its_separator_are_the_targets(tmp_path, packing):
    data = prepared(tmp_path, ROWS)
    shards, tokenizer = data.splits["train"], data.tokenizer
    packed = packing.build(shards, seq_len=64)
    batch = packed.read(np.arange(len(packed)))
    learnt = batch["labels"][batch["labels"] != IGNORE_INDEX]
    texts = [tokenizer.decode(part) for part in np.split(learnt, np.flatnonzero(learnt == tokenizer.eot_id) + 1)]
    ends = zip([1, *shards.document_ends.tolist()], shards.document_ends.tolist())
    wholes = [tokenizer.decode(shards.tokens(start, end)) for start, end in ends]
    assert sorted(text for text in texts if text) == sorted(whole.partition(":")[2] for whole in wholes)
    assert len(wholes) > 40
    assert len(learnt) == data.receipt["splits"]["train"]["target_tokens"] == shards.targets.sum()
    counts = packed.target_counts(np.arange(len(packed)))
    assert counts.tolist() == (batch["labels"] != IGNORE_INDEX).sum(axis=1).tolist()


def test_every_example_is_in_one_split_and_none_is_lost(tmp_path):
    data = prepared(tmp_path, ROWS)
    texts = []
    for shards in data.splits.values():
        start = 1
        for end in shards.document_ends.tolist():
            texts.append(data.tokenizer.decode(shards.tokens(start, end)))
            start = end
    assert sorted(texts) == sorted(row["prompt"] + row["response"] for row in ROWS)


def test_records_of_one_prompt_stay_together(tmp_path):
    rows = [{"prompt": f"Q{i % 20}:", "response": f" {i}"} for i in range(200)]
    data = prepared(tmp_path, rows)
    splits = {}
    for name, shards in data.splits.items():
        start = 1
        for end in shards.document_ends.tolist():
            splits.setdefault(data.tokenizer.decode(shards.tokens(start, end)).partition(":")[0], set()).add(name)
            start = end
    assert len(splits) == 20 and all(len(names) == 1 for names in splits.values())


def test_a_long_prompt_leaves_no_sequence_without_a_target(tmp_path):
    rows = [{"prompt": f"{i} " * 40, "response": " ok"} for i in range(100, 140)]
    shards = prepared(tmp_path, rows).splits["train"]
    for packing in (BestFitPackingConfig(), PaddedPackingConfig()):
        packed = packing.build(shards, seq_len=32)
        counts = packed.target_counts(np.arange(len(packed)))
        assert counts.min() > 0 and counts.sum() == shards.targets.sum()


def test_a_text_that_spells_the_separator_stays_text(tmp_path):
    rows = [{"prompt": f"{i} <|endoftext|>", "response": " <|endoftext|> still"} for i in range(30)]
    data = prepared(tmp_path, rows)
    shards = data.splits["train"]
    assert (shards.all_tokens == data.tokenizer.eot_id).sum() == shards.n_documents + 1


def test_what_is_wrong_is_named_with_its_place(tmp_path):
    with pytest.raises(DataError, match=r"rows.jsonl line 2: no field 'response'; fields found: prompt, answer"):
        prepared(tmp_path, [ROWS[0], {"prompt": "x", "answer": "y"}])
    with pytest.raises(DataError, match="line 1: field 'prompt' holds a list, not a text"):
        prepared(tmp_path, [{"prompt": ["x"], "response": "y"}])
    with pytest.raises(DataError, match="is a record with the fields prompt, response; choose what is made of it"):
        prepared(tmp_path, ROWS, rendering=None)
    with pytest.raises(ConfigError, match="data=examples needs records"):
        ExamplesConfig().build()
    text = tmp_path / "a.txt"
    text.write_text("plain")
    with pytest.raises(DataError, match="has no rows with fields"):
        prepare(settings(tmp_path, tmp_path / "out2", data=ExamplesConfig(path=str(text)),
                         rendering=PromptResponseConfig()), progress=False)  # fmt: skip


def test_what_is_dropped_is_counted_with_its_reason(tmp_path):
    rows = [*ROWS, {"prompt": "nothing", "response": "  "}, {"prompt": "ab", "response": "x" * 500}]
    data = prepared(tmp_path, rows, cleaning={"length": LengthConfig(min_characters=1, max_characters=400)})
    assert data.receipt["documents"] == {"read": 62, "kept": 60, "dropped": 2, "duplicate": 0}
    assert [(row["step"], row["documents"]) for row in data.receipt["dropped"]] == [("length", 1), ("rendering", 1)]


def test_prepared_examples_open_again_and_a_flipped_mark_is_seen(tmp_path):
    data = prepared(tmp_path, ROWS)
    again = open_prepared(data.directory)
    again.verify()
    path = again.splits["train"].targets_path
    marks = bytearray(path.read_bytes())
    marks[5] ^= 1
    path.write_bytes(marks)
    with pytest.raises(DataError, match="differs from what was written"):
        open_prepared(data.directory).verify()
    path.write_bytes(marks[:-1])
    with pytest.raises(DataError, match="was cut off"):
        open_prepared(data.directory)


def test_a_rendered_example_comes_back_from_its_line():
    example = Rendered(((Span("a\n"), Span("<|x|>", control=True), Span("b", target=True)), (Span("\ud7ff"),)), key="k")
    assert Rendered.unpacked(example.packed()) == example and "\n" not in example.packed()


def test_the_text_kind_keeps_its_folder_name_and_fingerprint(tmp_path):
    from prospero.data.prepare import what_decides
    from prospero.data.rendering.text import TextRenderingConfig

    plain = settings(tmp_path / "x", tmp_path)
    explicit = settings(tmp_path / "x", tmp_path, rendering=TextRenderingConfig())
    assert what_decides(plain) == what_decides(explicit) and "rendering" not in what_decides(plain)


def test_a_template_for_dialogues_is_kept_with_the_tokenizer(tmp_path):
    data = prepared(tmp_path, ROWS, rendering=PromptResponseConfig(chat="python_prompt"))
    assert open_prepared(data.directory).tokenizer.chat_template == PYTHON_PROMPT
    without = prepared(tmp_path, ROWS)
    assert without.tokenizer.chat_template is None and without.directory != data.directory
    marked = prepared(tmp_path, ROWS, rendering=PromptResponseConfig(chat="chatml")).tokenizer
    assert marked.vocab_size == without.tokenizer.vocab_size + 2
    with pytest.raises(ConfigError, match=r"rendering\.chat=plian is neither plain"):
        PromptResponseConfig(chat="plian").build()
