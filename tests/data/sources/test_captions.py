"""Pictures of one's own: from a folder and its records to batches, and every fault in one line."""

import json

import numpy as np
import pytest

from prospero.batch import IGNORE_INDEX
from prospero.data.augmentation.none import NoAugmentationConfig
from prospero.data.datamodule import LanguageDataModule
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.pictures import write_png
from prospero.data.prepare import open_prepared, prepare
from prospero.data.rendering.caption import CaptionConfig
from prospero.data.rendering.prompt_response import PromptResponseConfig
from prospero.data.rendering.text import TextRenderingConfig
from prospero.data.sources.captions import Broken, CaptionsConfig
from prospero.errors import ConfigError, DataError
from tests.data.shard_making import settings

N = 60


@pytest.fixture
def folder(tmp_path):
    """Pictures of one shade each, with captions that name it; two captions for each picture."""
    place = tmp_path / "pictures"
    (place / "inner").mkdir(parents=True)
    rows = []
    for shade in range(N):
        write_png(place / "inner" / f"{shade}.png", np.full((5, 7, 3), 4 * shade, np.uint8))
        rows += [{"file": f"inner/{shade}.png", "says": f"{word} {shade}", "q": "?"} for word in ("shade", "grey")]
    write(place, rows)
    return place


def write(place, rows):
    (place / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def prepared(tmp_path, place, rendering=None, **changes):
    config = CaptionsConfig(**({"path": str(place / "captions.jsonl"), "image": "file", "image_size": 4} | changes))
    rendering = rendering or CaptionConfig(prompt="{q}", caption="{says}")
    return prepare(settings(tmp_path, tmp_path / "out", data=config, rendering=rendering), progress=False)


def module(data, packing=None, shape=(3, 4, 4), seq_len=16):
    return LanguageDataModule(
        data, packing=packing or PaddedPackingConfig(), augmentation=NoAugmentationConfig(), seq_len=seq_len,
        global_batch_size=8, micro_batch_size=4, seed=1, image_shape=shape, rank=0, world_size=1,
    )  # fmt: skip


def shown(batch, tokenizer):
    """(shade of the picture, what is learnt) of each sequence."""
    rows = zip(batch.inputs["images"], batch.labels)
    return [
        (int(image.max()) // 4, tokenizer.decode([int(i) for i in row if i != IGNORE_INDEX])) for image, row in rows
    ]


def test_each_sequence_has_the_picture_of_its_caption_and_learns_the_caption_alone(tmp_path, folder):
    data = prepared(tmp_path, folder)
    batches = module(data)
    loaders = [batches.train_dataloader(), batches.val_dataloader(), batches.test_dataloader()]
    for loader in loaders:
        batch = next(iter(loader))
        assert tuple(batch.inputs["images"].shape) == (4, 3, 4, 4) and set(batch.inputs) == {"input_ids", "images"}
        for shade, text in shown(batch, data.tokenizer):
            assert text == "" or text.removesuffix(data.tokenizer.eot_token).split()[1] == str(shade)
    batch = next(iter(loaders[0]))
    for row, labels in zip(batch.inputs["input_ids"], batch.labels):
        assert row[0] == data.tokenizer.eot_id and labels[0] == IGNORE_INDEX  # the "?" of the prompt
        assert int((labels != IGNORE_INDEX).sum()) == len("shade 10") - (8 - len(text_of(labels, data))) + 1


def text_of(labels, data):
    return data.tokenizer.decode([int(i) for i in labels if i not in (IGNORE_INDEX, data.tokenizer.eot_id)])


def test_captions_of_a_picture_stay_in_one_split_and_equal_captions_of_others_are_no_copies(tmp_path, folder):
    write(folder, [{"file": f"inner/{shade % N}.png", "says": f"same {shade // N}", "q": ""} for shade in range(2 * N)])
    data = prepared(tmp_path, folder)
    assert data.receipt["documents"]["kept"] == 2 * N
    shades = {split: {int(row.max()) for row in files["images"].all} for split, files in data.side.items()}
    assert not shades["train"] & (shades["val"] | shades["test"])
    assert sum(files["images"].n_rows for files in data.side.values()) == 2 * N


def test_a_flipped_bit_of_a_picture_is_seen_and_its_digest_is_part_of_the_fingerprint(tmp_path, folder):
    data = prepared(tmp_path, folder)
    path = data.side["train"]["images"].path
    content = bytearray(path.read_bytes())
    content[5] ^= 64
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train.images differs from what was written"):
        open_prepared(data.directory).verify()
    write_png(folder / "inner" / "0.png", np.full((5, 7, 3), 255, np.uint8))
    assert prepared(tmp_path / "again", folder).fingerprint != data.fingerprint


def test_a_picture_that_does_not_open_is_one_line_with_its_record_or_a_counted_drop(tmp_path, folder):
    (folder / "inner" / "3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"captions.jsonl line 7: .*3.png: no picture .*data.broken=drop") as caught:
        prepared(tmp_path, folder)
    assert "\n" not in str(caught.value)
    data = prepared(tmp_path, folder, broken=Broken.drop)
    assert data.receipt["repairs"] == {"records left out, for their picture does not open": 2}
    assert data.receipt["documents"]["kept"] == 2 * N - 2


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "link.png", "a\0b"])
def test_a_record_names_pictures_of_its_folder_alone(tmp_path, folder, name):
    write_png(tmp_path / "secret.png", np.zeros((4, 4, 3), np.uint8))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    write(folder, [{"file": name, "says": "x", "q": ""}])
    with pytest.raises(DataError, match=r"line 1: .*(lies outside of|is no name of a file)"):
        prepared(tmp_path, folder)


def test_faults_of_records_and_settings_are_said(tmp_path, folder):
    write(folder, [{"file": "inner/1.png", "q": ""}])
    with pytest.raises(DataError, match="no field 'says'"):
        prepared(tmp_path, folder)
    with pytest.raises(DataError, match="no field 'image'; fields found: file, q"):
        prepared(tmp_path, folder, image="image")
    with pytest.raises(DataError, match=r"comes with a picture, which this rendering= would lose"):
        prepared(tmp_path, folder, PromptResponseConfig(prompt="{q}", response="{q}"))
    with pytest.raises(DataError, match="is a record with the fields"):
        prepared(tmp_path, folder, TextRenderingConfig())
    with pytest.raises(DataError, match="there is no such folder of pictures"):
        prepared(tmp_path, folder, folder=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="data=captions needs records"):
        CaptionsConfig().build()


def test_data_and_model_that_do_not_go_together_are_refused(tmp_path, folder):
    data = prepared(tmp_path, folder)
    with pytest.raises(ConfigError, match=r"this model reads none; set model.prefix.kind=image"):
        module(data, shape=None)
    with pytest.raises(ConfigError, match=r"data.image_size=4 data.channels=3, but model.prefix.image_size=8"):
        module(data, shape=(3, 8, 8))
    with pytest.raises(ConfigError, match=r"choose packing=padded"):
        module(data, packing=ConcatPackingConfig())
    data.side.clear()
    with pytest.raises(ConfigError, match=r"these data have none; choose data=shapes"):
        module(data)
