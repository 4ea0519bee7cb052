"""What is made of a file goes where the file goes when a model is trained on the library by default."""

from prospero import compose
from prospero.data.document import Document
from prospero.data.embedded.holding_out import FileKeys
from prospero.data.split import CorpusSize, HashSplitConfig
from prospero.registry import name_of


def test_the_key_of_a_file_is_sent_where_its_cleaned_text_is():
    rule, size, splits = HashSplitConfig(val_fraction=0.3, test_fraction=0.3).build(), CorpusSize(), set()
    for number in range(40):
        document = Document(text=f"\ufefftext \r\n\n\n\n\n{number}\x07\n", id="a.py", source="a")
        cleaned = document.text
        for step in FileKeys.STEPS:
            cleaned = step.build()(cleaned)
        assert cleaned != document.text
        key = FileKeys()(document)
        (piece,) = rule.pieces(cleaned, 0, size)
        (other,) = rule.pieces(key, 0, size)
        assert piece.split == other.split and len(key) == 27
        splits.add(piece.split)
    assert splits == {"train", "val", "test"}


def test_it_is_cleaned_as_a_model_of_the_library_is_by_default():
    default = compose("train", []).cleaning
    assert {name: step.build() for name, step in default.items()}.keys() == {
        name_of("cleaning", type(step)) for step in FileKeys.STEPS
    }
    assert list(default.values()) == list(FileKeys.STEPS)
