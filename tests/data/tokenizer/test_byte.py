"""The byte tokenizer: id = byte."""

from prospero.data.tokenizer.byte import ByteTokenizerConfig


def test_ids_are_bytes():
    tokenizer = ByteTokenizerConfig().build()
    assert (tokenizer.vocab_size, tokenizer.eot_id) == (257, 256)
    assert tokenizer.encode("né 😀\0\n") == list("né 😀\0\n".encode())
    assert tokenizer.token_bytes().tolist() == [1] * 256 + [0]


def test_broken_utf8_is_shown_as_such():
    assert ByteTokenizerConfig().build().decode([0x61, 0xFF, 0x62]) == "a\ufffdb"
