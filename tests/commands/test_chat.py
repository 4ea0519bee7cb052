"""`prospero chat`: lines in, answers out, and what is said beside them."""

import io
import re
import sys

import pytest
from tests.checkpoints import stored
from tests.generation.test_chat import BYTE, Scripted

from prospero.commands.chat import ChatConfig, chat, talk
from prospero.errors import ConfigError
from prospero.generation.chat import Chat
from prospero.generation.sampling import SamplingConfig

SAMPLING = SamplingConfig(max_new_tokens=6, temperature=1.0, seed=3)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "SEQ_LEN", 96)
    folder = tmp_path / "outputs" / "train" / "2026-01-02_03-04-05_mine"
    stored.write(folder, 1)
    stored.save_tokenizer(folder)
    (folder / "config.yaml").write_text("")
    return folder


def said(monkeypatch, capsys, lines: str, **settings) -> tuple[str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert chat(ChatConfig(**({"sampling": SAMPLING} | settings))) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_lines_from_a_pipe_are_answered_and_mistakes_do_not_end_it(run, tmp_path, monkeypatch, capsys):
    lines = f"a\n/sett x\n\n/set temperature=0 max_new_tokens=2\n/reset\nb\n/save {tmp_path / 't.jsonl'}\n/quit\nc\n"
    out, err = said(monkeypatch, capsys, lines, run=str(run))
    assert len(out.splitlines()) >= 2
    assert f"{run} has no template for dialogues; plain marks are used (User: ... Assistant: ...)" in err
    assert "error: There is no command '/sett'. Did you mean '/set'?" in err and "temperature=0.0" in err
    assert "2 messages are saved in" in err
    assert said(monkeypatch, capsys, lines.partition("/save")[0], run=str(run))[0] == out


def test_the_end_of_the_context_is_said(run, monkeypatch, capsys):
    _, err = said(monkeypatch, capsys, "a\n" * 9, run=str(run))
    assert re.search(r"\(2 of \d+ turns no longer fit what the model reads and have left\)", err)
    assert "(cut after 6 tokens, see sampling.max_new_tokens)" in err


def test_what_cannot_be(run):
    with pytest.raises(ConfigError, match="leave n at 1"):
        chat(ChatConfig(sampling=SamplingConfig(n=2), run=str(run)))
    with pytest.raises(ConfigError, match=r"template=chatml writes <\|im_start\|>, which is no token of run="):
        chat(ChatConfig(sampling=SAMPLING, run=str(run), template="chatml"))
    with pytest.raises(ConfigError, match=r"template=x.jinja is neither plain nor chatml"):
        chat(ChatConfig(sampling=SAMPLING, run=str(run), template="x.jinja"))
    with pytest.raises(ConfigError, match="run= is empty"):
        ChatConfig(sampling=SAMPLING, run=" ")


def test_ctrl_c_stops_an_answer_and_not_the_program(capsys):
    class Interrupted(Scripted):
        def step(self, tokens):
            if len(self.read) == 1 and len(self.left) == 2:
                raise KeyboardInterrupt
            return super().step(tokens)

    talking = Chat(Interrupted(BYTE, [" Hello", " Yes"], BYTE.eot_id), BYTE, SamplingConfig(temperature=0.0))
    talk(talking, io.StringIO("Hi\nAgain\n"))
    captured = capsys.readouterr()
    assert captured.out == "He\nYes\n" and captured.err == "(stopped)\n"
    assert [message["content"] for message in talking.messages] == ["Hi", "He", "Again", "Yes"]


def test_a_message_may_have_several_lines(capsys):
    talking = Chat(Scripted(BYTE, [" Yes"], BYTE.eot_id), BYTE, SamplingConfig(temperature=0.0))
    talk(talking, io.StringIO("a\\\nb\n"))
    assert talking.messages[0]["content"] == "a\nb"
