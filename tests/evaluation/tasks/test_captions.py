"""The task `captions`: numbers by hand, of a decoder that reads the picture's shade, and the blind control."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from prospero.data.dedup.none import NoDedupConfig
from prospero.data.pictures import write_png
from prospero.data.prepare import prepare
from prospero.data.rendering.caption import CaptionConfig
from prospero.data.sources.captions import CaptionsConfig
from prospero.data.split import HashSplitConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.tasks.captions import CaptionsTaskConfig, agreement
from tests.data.shard_making import settings
from tests.evaluation.tasks.fakes import END, TOKENIZER, BigramDecoder, facts, subject

TABLE = {letter: {END: 0.9} for letter in "abcd"} | {f"{n}": {letter: 0.9} for n, letter in enumerate("abcd")}


class SeeingDecoder(BigramDecoder):
    """After a picture of shade n it writes the n-th letter of abcd, and the separator."""

    def add(
        self, prompts: Sequence[Sequence[int]], copies: Sequence[int], images: Sequence[np.ndarray] | None = None
    ) -> torch.Tensor:
        assert images is not None and [prompt[0] for prompt in prompts] == [TOKENIZER.eot_id] * len(prompts)
        digits = [TOKENIZER.encode(str(int(image.max()) // 60))[0] for image in images]
        self.last += [prompts[copy][-1] for copy in copies]
        return self.log_probabilities[torch.tensor([digits[copy] for copy in copies])].float()


def seeing(rows=4):
    found = subject(TABLE, rows=rows)
    return type(found)(decoder=SeeingDecoder(TABLE), tokenizer=TOKENIZER, name="sees", rows=rows)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "pictures"
    place.mkdir()
    rows = []
    for number in range(80):
        shade = number % 4
        picture = np.full((4, 4, 3), 60 * shade, np.uint8)
        picture[0, 0] = number % 40
        write_png(place / f"{number}.png", picture)
        rows.append({"image": f"{number}.png", "caption": "abcd"[shade] if number != 7 else "never"})
    (place / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = settings(
        tmp_path, tmp_path / "out", data=CaptionsConfig(path=str(place / "c.jsonl"), image_size=4),
        rendering=CaptionConfig(), dedup=NoDedupConfig(), tokenizer=ByteTokenizerConfig(),
        split=HashSplitConfig(val_fraction=0.3, test_fraction=0.2),
    )  # fmt: skip
    return prepare(config, progress=False).directory


@pytest.mark.parametrize("rows", [1, 5])
def test_the_right_picture_and_another_one(folder, rows):
    task = CaptionsTaskConfig(split="val", metrics=["exact_match"]).build("captions", facts(validation=folder))
    measured = task(seeing(rows))
    examples = task.examples
    shades = [int(task.pictures.all[one.document].max()) // 60 for one in examples]
    right = ["abcd"[shade] == one.caption for shade, one in zip(shades, examples)]
    assert sorted(task.others.values()) == list(range(len(examples)))  # each picture once, none its own
    assert all(item != other for item, other in task.others.items())
    other = ["abcd"[shades[task.others[item]]] == one.caption for item, one in enumerate(examples)]
    values = measured.values()
    assert values["captions/exact_match"] == sum(right) / len(right) > 0.9
    assert values["captions/blind_exact_match"] == sum(other) / len(other) < 0.6
    assert "captions/number" not in values  # no sentences of the embedded grammar
    known = [one.seen for one in examples]
    assert values["captions/seen_exact_match"] == sum(r for r, k in zip(right, known) if k) / sum(known)
    record = measured.outcomes[0].record
    assert (
        record["prediction"] == "abcd"[shades[0]] and record["with another picture"] == "abcd"[shades[task.others[0]]]
    )
    assert {"equal", "blind_equal", "blind_sizes_all"} <= {quantity.name for quantity in task.quantities}


def test_without_the_control(folder):
    config = CaptionsTaskConfig(blind=False, metrics=[], limit=3)
    values = config.build("captions", facts(validation=folder))(seeing()).values()
    assert not [name for name in values if "blind" in name] and "captions/equal" in values


def test_attributes_of_shapes():
    right = "two small red squares at the top"
    assert agreement("two small red circles at the top", right)["shape"] == (0.0, 1.0)
    assert agreement("two small red circles at the top", right)["place"] == (1.0, 1.0)
    assert set(agreement("nonsense", right).values()) == {(0.0, 1.0)}
    assert set(agreement(right, "nonsense").values()) == {(0.0, 0.0)}


def test_what_cannot_be_measured_is_said(folder, tmp_path):
    with pytest.raises(DataError, match="are not here; prepare them again"):
        CaptionsTaskConfig().build("captions", facts())
    with pytest.raises(ConfigError, match="choose test or val"):
        CaptionsTaskConfig(split="train")
    (tmp_path / "t.txt").write_text("text without pictures " * 400)
    from prospero.data.sources.files import FilesConfig
    from prospero.data.split import TailSplitConfig

    text = prepare(
        settings(tmp_path, tmp_path / "o2", data=FilesConfig(path=str(tmp_path / "t.txt")), split=TailSplitConfig()),
        progress=False,
    )
    with pytest.raises(DataError, match="have no pictures"):
        CaptionsTaskConfig(split="val").build("captions", facts(validation=text.directory))
