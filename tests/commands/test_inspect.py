"""`prospero inspect`: what it prints of a small corpus, and that it writes nothing."""

import io
import json
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import pytest

from prospero import cli
from prospero.errors import ConfigError


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


LENGTH = ("cleaning=[white_space,length]", "cleaning.length.min_characters=20")


def inspected(tmp_path, *words: str, cleaning: Sequence[str] = LENGTH, out: io.StringIO | None = None) -> str:
    folder, out = tmp_path / "texts", out or io.StringIO()
    folder.mkdir(exist_ok=True)
    rows = ["A line that ends in blanks  \nand one more of them", "short", "Nothing to do for a step of cleaning here"]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    given = ["data=files", f"data.path={folder}/texts.jsonl", f"outputs_dir={folder / 'outputs'}"]
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert cli.run("inspect", [*given, *cleaning, *words]) == 0
    assert os.listdir(folder) == ["texts.jsonl"]
    return out.getvalue()


def test_steps_and_drops_are_shown_and_nothing_is_written(tmp_path):
    assert inspected(tmp_path) == (
        "step 1 of 2, white_space: changed 1, dropped 0 of 3 documents\n"
        "  texts.jsonl#1: 49 -> 47 characters\n"
        "    - A line that ends in blanks··\n"
        "    + A line that ends in blanks\n"
        "\n"
        "step 2 of 2, length: changed 0, dropped 1 of 3 documents\n"
        "\n"
        "dropped: 1 of 3 documents\n"
        "  length, too few characters: 1 (33.3%)\n"
        "    texts.jsonl#2: short\n"
    )


def test_one_step_of_some_documents(tmp_path):
    text = inspected(tmp_path, "step=length", "limit=2", "examples=0")
    assert text.splitlines() == [
        "step 2 of 2, length: changed 0, dropped 1 of 2 documents",
        "",
        "dropped: 1 of 2 documents",
        "  length, too few characters: 1 (50.0%)",
        "the first 2 documents; limit=null reads all",
    ]


def test_a_step_that_says_what_it_changed_is_quoted(tmp_path):
    (tmp_path / "lines.txt").write_text("a line that ends in blanks and one more of them is a line of a test")
    masked = ["cleaning=[decontaminate]", f"cleaning.decontaminate.paths=[{tmp_path}/lines.txt]"]
    masked += ["cleaning.decontaminate.n=5", "cleaning.decontaminate.on_leak=mask"]
    text = inspected(tmp_path, cleaning=masked)
    assert text.splitlines()[:7] == [
        "step 1 of 1, decontaminate: changed 1, dropped 0 of 3 documents",
        "  text of the evaluation set lines: 1",
        "  texts.jsonl#1: 49 -> 5 characters",
        "    - A line that ends in blanks··",
        "    - and one more of them",
        "    + [...]",
        "",
    ]


def test_a_terminal_gets_colours(tmp_path):
    text = inspected(tmp_path, out=Terminal())
    assert "\x1b[31m- A line that ends in blanks\x1b[7m··\x1b[27m\x1b[0m" in text
    assert "\x1b" not in inspected(tmp_path)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "step=lenght",
            "step=lenght is no step of this cleaning=. Did you mean 'length'\\? Steps: white_space, length.",
        ),
        ("n=-1", "n=-1 is impossible; give 0 or more"),
        ("limit=0", "limit=0 is impossible; give 1 or more"),
    ],
)
def test_what_cannot_be(tmp_path, word, said):
    with pytest.raises(ConfigError, match=said):
        inspected(tmp_path, word)
