"""Arrays beside the tokens: written, read back, and damage that is seen."""

import pickle

import numpy as np
import pytest

from prospero.data.side_file import SideFile, SideWriter
from prospero.errors import DataError

ROWS = np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3)


def written(folder):
    writer = SideWriter(folder / "val.images", (2, 2, 3))
    for row in ROWS:
        writer.add(row)
    writer.close()
    return writer.plain()


def test_rows_come_back_also_by_pickle(tmp_path):
    row = written(tmp_path)
    assert (row["file"], row["shape"], row["rows"]) == ("val.images", [2, 2, 3], 5)
    file = SideFile(tmp_path / row["file"], row)
    file.verify()
    assert np.array_equal(file.all, ROWS)
    assert np.array_equal(pickle.loads(pickle.dumps(file)).all[3], ROWS[3])


def test_a_flipped_bit_and_a_cut_file_are_seen(tmp_path):
    row = written(tmp_path)
    path = tmp_path / row["file"]
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="differs from what was written"):
        SideFile(path, row).verify()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="59 bytes instead of 60: it was cut off"):
        SideFile(path, row)


def test_a_row_of_another_shape_is_refused(tmp_path):
    writer = SideWriter(tmp_path / "x", (2, 2, 3))
    with pytest.raises(DataError, match=r"a row of \(2, 3\) uint8"):
        writer.add(ROWS[0, 0])
    writer.abandon()
