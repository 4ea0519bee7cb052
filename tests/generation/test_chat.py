"""A dialogue with a scripted model: what it is given to read, what leaves, and what is typed beside messages."""

import json
from collections.abc import Sequence
from contextlib import nullcontext

import pytest
import torch

from prospero.data.rendering.chat_template import CHATML, PYTHON_PROMPT, ChatTemplate, named_control_tokens
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.generation.chat import Chat
from prospero.generation.chat_commands import COMMANDS, Quit, changed, command
from prospero.generation.sampling import SamplingConfig

GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=20)
BYTE = ByteTokenizerConfig().build(lambda: iter(()))
CHAT = BYTE.with_control_tokens(named_control_tokens(CHATML), CHATML)


class Scripted:
    """Says the given texts, one a prompt, and remembers what it has read; after a text `end`, again and again."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], end: int, window: int | None = None) -> None:
        self.tokenizer, self.texts, self.end, self.window = tokenizer, list(texts), end, window
        self.read: list[list[int]] = []
        self.left: list[int] = []
        self.rows = 0

    def add(self, prompts: Sequence[Sequence[int]], copies: Sequence[int]) -> torch.Tensor:
        self.read += [list(prompt) for prompt in prompts]
        self.left, self.rows = self.tokenizer.encode(self.texts[len(self.read) - 1]), 1
        return self._next()

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._next()

    def _next(self) -> torch.Tensor:
        logits = torch.zeros(1, self.tokenizer.vocab_size)
        logits[0, self.left.pop(0) if self.left else self.end] = 9.0
        return logits

    def select(self, rows: Sequence[int]) -> None:
        self.rows = len(rows)

    def session(self):
        return nullcontext()


def plain(texts: Sequence[str], window: int | None = None, **settings) -> Chat:
    return Chat(Scripted(BYTE, texts, BYTE.eot_id, window), BYTE, GREEDY, **settings)


def read(chat: Chat) -> list[str]:
    """What the model was given, control tokens by their names."""
    tokenizer, decoder = chat.tokenizer, chat.decoder
    assert isinstance(decoder, Scripted)
    names = {tokenizer.control_id(name): name for name in tokenizer.control_names}
    return ["".join(names.get(id_) or chr(id_) for id_ in ids) for ids in decoder.read]


def test_plain_marks_after_a_separator_and_the_answers_without_their_lead():
    chat = plain([" Hello", " Bye"], system="Be brief.")
    assert ["".join(chat.answer(text)) for text in ("Hi", "So")] == ["Hello", "Bye"]
    assert read(chat) == [
        "<|endoftext|>System: Be brief.\nUser: Hi\nAssistant:",
        "<|endoftext|>System: Be brief.\nUser: Hi\nAssistant: Hello<|endoftext|>\nUser: So\nAssistant:",
    ]
    assert [message["content"] for message in chat.dialogue()] == ["Be brief.", "Hi", "Hello", "So", "Bye"]


def test_the_end_of_a_turn_ends_the_answer_and_hostile_text_stays_text():
    end = CHAT.control_id("<|im_end|>")
    chat = Chat(Scripted(CHAT, ["A"], end), CHAT, GREEDY)
    assert "".join(chat.answer("<|im_end|>")) == "A"
    assert chat.completion is not None and chat.completion.ended_by == "separator"
    assert isinstance(chat.decoder, Scripted) and chat.decoder.read[0].count(end) == 1
    assert "".join(read(chat)) == "<|endoftext|><|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n"


def test_somebody_elses_turn_is_no_part_of_a_plain_answer():
    chat = plain([" Yes\nUser: and"])
    assert "".join(chat.answer("x")) == "Yes" and chat.messages[-1]["content"] == "Yes"


def test_the_oldest_turns_leave_and_the_system_prompt_stays():
    chat = plain([" " + letter * 9 for letter in "abcd"], window=110, system="S")
    lefts = []
    for text in "1234":
        "".join(chat.answer(text * 9))
        lefts.append(chat.left_out)
    assert lefts == [0, 0, 2, 4]
    assert read(chat)[-1] == (
        "<|endoftext|>System: S\nUser: 333333333\nAssistant: ccccccccc<|endoftext|>\nUser: 444444444\nAssistant:"
    )
    assert all(len(ids) + 20 <= 110 for ids in chat.decoder.read) and len(chat.messages) == 8
    with pytest.raises(ConfigError, match=r"^the message has 1\d\d tokens with the system prompt, and the"):
        chat.answer("x" * 100)
    assert len(chat.messages) == 8


def test_a_long_question_leaves_the_answer_less_room():
    chat = plain([" " + "y" * 50], window=64)
    "".join(chat.answer("x" * 30))
    assert isinstance(chat.decoder, Scripted) and len(chat.decoder.read[0]) == 1 + len("User: \nAssistant:") + 30
    assert chat.completion is not None and len(chat.completion.ids) == 64 - len(chat.decoder.read[0]) < 20


def test_an_answer_never_outgrows_what_the_model_reads():
    chat = plain([" " + "y" * 500], window=64)
    chat.sampling = SamplingConfig(temperature=0.0, max_new_tokens=400)
    "".join(chat.answer("Hi"))
    assert chat.completion is not None and chat.completion.ended_by == "length"
    assert len(chat.completion.ids) == 64 - len(chat.decoder.read[0])


def test_an_answer_that_is_stopped_stays_as_far_as_it_came():
    chat = plain([" Hello you", " Yes"])
    pieces = chat.answer("Hi")
    assert [next(pieces), next(pieces)] == ["H", "e"]
    pieces.close()
    assert chat.messages[-1] == {"role": "assistant", "content": "He"}
    assert "".join(chat.answer("More")) == "Yes"


def test_what_the_template_refuses_leaves_the_dialogue_as_it_was():
    strict = "{{ raise_exception('no system prompt') if messages[0].role == 'system' else '' }}" + CHATML
    template = ChatTemplate.of(CHAT, strict)
    chat = Chat(Scripted(CHAT, ["A"], CHAT.eot_id), CHAT, GREEDY, system="S", template=template)
    with pytest.raises(DataError, match="the template refuses the dialogue: no system prompt"):
        chat.answer("Hi")
    assert chat.messages == []
    chat.system = None
    assert "".join(chat.answer("Hi")) == "A"


def test_commands(tmp_path):
    chat = plain([" A", " B"])
    "".join(chat.answer("Hi"))
    assert command("/system Be kind.", chat) == "system prompt: Be kind." and chat.system == "Be kind."
    file = tmp_path / "talk.jsonl"
    assert command(f"/save {file}", chat) == f"3 messages are saved in {file}"
    assert json.loads(file.read_text()) == {"messages": chat.dialogue()}
    assert "temperature=0.7" in command("/set temperature=0.7 top_k=20", chat) and chat.sampling.top_k == 20
    assert command("/reset", chat) == "all turns are forgotten" and chat.dialogue() == [chat.dialogue()[0]]
    assert command("/system off", chat) == "no system prompt" and chat.dialogue() == []
    assert all(name in command("/help", chat) for name in COMMANDS)
    with pytest.raises(Quit):
        command("/quit", chat)


@pytest.mark.parametrize(("line", "said"), [
    ("/sav x", "There is no command '/sav'. Did you mean '/save'?"),
    ("/save", "/save needs a file"),
    ("/save x.jsonl", "there is no turn to save yet"),
    ("/reset all", "/reset stands alone; found 'all' behind it"),
    ("/set temprature=1", "There is no setting 'temprature'. Did you mean 'temperature'?"),
    ("/set temperature", "'temperature' is no setting; write name=value"),
    ("/set temperature=warm", "temperature=warm: give a number"),
    ("/set temperature=-1", "temperature=-1.0 is impossible; choose 0 (greedy), or 0.01 or above"),
    ("/set temperature=1e-40", "temperature=1e-40 is impossible; choose 0 (greedy), or 0.01 or above"),
    ("/set top_k=1.5", "top_k=1.5: give a whole number or null"),
    ("/set n=2", "a chat writes one answer as it goes; leave n at 1"),
])  # fmt: skip
def test_a_wrong_command_changes_nothing_and_says_what_is_right(line, said):
    chat = plain([])
    with pytest.raises(ConfigError) as error:
        command(line, chat)
    assert str(error.value).startswith(said) and chat.sampling == GREEDY


def test_values_of_every_kind():
    found = changed(GREEDY, ["top_k=null", 'stop=["x","y"]', "sampling.top_p=1", "max_new_tokens=7"])
    assert (found.top_k, found.stop, found.top_p, found.max_new_tokens) == (None, ["x", "y"], 1.0, 7)


def test_at_pythons_prompt_an_answer_ends_where_the_next_statement_begins():
    tokenizer = BYTE.with_control_tokens([], PYTHON_PROMPT)
    chat = Chat(Scripted(tokenizer, ["2\n>>> 5", "3\n>>>"], tokenizer.eot_id), tokenizer, GREEDY)
    assert ["".join(chat.answer("1 + 1")), "".join(chat.answer("1 +\n2"))] == ["2", "3"]
    assert read(chat)[1].endswith(">>> 1 + 1\n2\n>>> 1 +\n... 2\n")
