"""Texts that lie on disk come back as they were."""

from prospero.data.split import CorpusSize
from prospero.data.spool import Spool


def test_texts_come_back_any_number_of_times(tmp_path):
    texts = ["", "plain", "日本語 😀\0\r\n", "x" * 3_000_000]
    spool = Spool(tmp_path / "spool")
    spool.write(iter(texts))
    assert list(spool.texts()) == texts == list(spool.texts())
    assert spool.size == CorpusSize(4, sum(map(len, texts)))
    spool.remove()
    spool.remove()
    assert not spool.path.exists()
