"""De-duplication inside a preparation: what is kept, and what the receipt says of it."""

import json

import pytest

from prospero.data.dedup.lines import LinesDedupConfig
from prospero.data.dedup.minhash import MinHashDedupConfig
from prospero.data.dedup.paragraphs import ParagraphsDedupConfig
from prospero.data.describe import describe
from prospero.data.prepare import PreparedData, prepare
from prospero.data.rendering.prompt_response import PromptResponseConfig
from prospero.data.sources.examples import ExamplesConfig
from prospero.errors import ConfigError
from tests.data.shard_making import settings, write_corpus
from tests.data.test_prepare import documents_of

FOOTER = "All of this may be copied by anybody who says where it has been found, in whole or in part."


def letters(n: int) -> list[str]:
    """Return texts that have nothing in common but the alphabet."""
    return [" ".join(f"{chr(97 + i)}{j}" for j in range(60)) for i in range(n)]


def everything(prepared: PreparedData) -> set[str]:
    return {text for split in prepared.splits for text in documents_of(prepared, split)}


def test_near_copies_leave_and_the_receipt_has_their_clusters(tmp_path):
    texts = letters(20)
    path = write_corpus(tmp_path, [*texts, *(f"{text} and more" for text in texts[:3])])
    prepared = prepare(settings(path, tmp_path, dedup=MinHashDedupConfig()))
    assert everything(prepared) == set(texts)
    receipt = prepared.receipt
    assert receipt["documents"] == {"read": 23, "kept": 20, "dropped": 0, "duplicate": 3}
    found = receipt["dedup"]
    assert (found["method"], found["clusters"], found["cluster_sizes"]) == ("minhash", 3, {"2": 3})
    assert [row["kept_text"] for row in found["examples"]] == [text[:300] for text in texts[:3]]
    assert receipt["settings"]["dedup"]["threshold"] == 0.75
    assert any(line == "  near copies 3 clusters, the largest of 2 documents" for line in describe(prepared))
    assert json.loads(json.dumps(receipt)) == receipt
    assert not list(prepared.directory.glob("dedup*"))


@pytest.mark.parametrize("part", [ParagraphsDedupConfig(), LinesDedupConfig()])
def test_what_repeats_leaves_the_texts_and_counts_are_of_what_is_left(part, tmp_path):
    texts = letters(20)
    path = write_corpus(tmp_path, [f"{text}\n\n{FOOTER}" for text in texts] + [FOOTER])
    prepared = prepare(settings(path, tmp_path, dedup=part))
    left = [f"{texts[0]}\n\n{FOOTER}", *texts[1:]]
    assert everything(prepared) == set(left)
    receipt = prepared.receipt
    assert receipt["documents"] == {"read": 21, "kept": 20, "dropped": 0, "duplicate": 1}
    assert receipt["characters"] == sum(map(len, left)) == sum(row["characters"] for row in receipt["splits"].values())
    assert (receipt["dedup"]["removed"], receipt["dedup"]["documents_shortened"]) == (20, 19)
    assert any(f"20 of 41 {receipt['dedup']['method']} removed" in line for line in describe(prepared))


def test_examples_of_records_stay_whole(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps({"prompt": text, "response": "yes"}) + "\n" for text in letters(20)))
    data, rendering = ExamplesConfig(path=str(file)), PromptResponseConfig()
    with pytest.raises(ConfigError, match="choose dedup=exact or dedup=minhash"):
        prepare(settings(file, tmp_path, data=data, rendering=rendering, dedup=LinesDedupConfig()))
    assert list(tmp_path.iterdir()) == [file]
    prepared = prepare(settings(file, tmp_path, data=data, rendering=rendering, dedup=MinHashDedupConfig()))
    assert prepared.receipt["dedup"]["kept"] == 20
