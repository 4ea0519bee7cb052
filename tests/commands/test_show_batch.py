"""`prospero show batch`: it prints what a run would learn, and makes none."""

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout

import pytest

from prospero import cli
from prospero.errors import ConfigError


def shown(tmp_path, *words: str) -> str:
    """Standard output of the command, for 40 dialogues."""
    file = tmp_path / "talks.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": f"{i}."}]}
        for i in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["data=examples", f"data.path={file}", "rendering=chatml", "tokenizer=byte", "packing=padded", "seq_len=48"]
    given += ["model=tiny", "global_batch_size=8", "shown_sequences=8", f"outputs_dir={tmp_path / 'outputs'}", *words]
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert cli.run("show", ["batch", *given]) == 0
    return out.getvalue()


def test_the_targets_of_a_batch_are_marked_and_counted_and_no_run_is_made(tmp_path):
    text = shown(tmp_path)
    answers = re.findall("⟦([^⟧]*)⟧", text.partition("\n")[2])
    assert len(answers) == 8 and all(re.fullmatch(r"\d+\.«<\|im_end\|>»", answer) for answer in answers)
    targets = sum(len(answer) - len("«<|im_end|>»") + 1 for answer in answers)
    assert f"batch: 8 sequences, {targets} targets" in text.splitlines()[-1]
    assert {path.name for path in (tmp_path / "outputs").iterdir() if path.is_dir()} == {"data"}


def test_what_cannot_be_shown(tmp_path):
    with pytest.raises(ConfigError, match="step=0 is impossible; give 1 or more"):
        shown(tmp_path, "step=0")
