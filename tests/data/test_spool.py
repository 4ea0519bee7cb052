"""Texts that lie on disk come back as they were."""

from prospero.data.split import CorpusSize
from prospero.data.spool import Spool


def test_texts_come_back_any_number_of_times(tmp_path):
    texts = [("", "a"), ("plain", "日本.txt"), ("日本語 😀\0\r\n", "a"), ("x" * 3_000_000, "c")]
    spool = Spool(tmp_path / "spool")
    spool.write(iter(texts))
    assert list(spool.texts()) == texts == list(spool.texts())
    assert spool.size == CorpusSize(4, sum(len(text) for text, _ in texts))
    spool.remove()
    spool.remove()
    assert not spool.path.exists()
