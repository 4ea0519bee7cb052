"""The body of a request, field by field."""

import pytest

from prospero.generation.sampling import SamplingConfig
from prospero.serving.asks import chat_ask, completion_ask
from prospero.serving.fields import HARMLESS, NEUTRAL, Fields, parsed
from prospero.serving.limits import LimitsConfig
from prospero.serving.problems import Problem

DEFAULTS = SamplingConfig(temperature=0.7, top_k=11, max_new_tokens=33, stop=["END"])
HELLO = [{"role": "user", "content": "Hi"}]


def completion(**values):
    return completion_ask({"prompt": "x", **values}, DEFAULTS, LimitsConfig())


def chat(**values):
    return chat_ask({"messages": HELLO, **values}, DEFAULTS, LimitsConfig())


def test_what_is_not_given_is_the_models():
    sampling = completion(seed=5).sampling
    assert sampling == SamplingConfig(temperature=0.7, top_k=11, max_new_tokens=33, stop=["END"], seed=5)
    assert completion(temperature=None, stop=None, n=None, stream=None, logprobs=None, seed=5).sampling == sampling
    assert completion().sampling.seed != completion().sampling.seed


def test_what_is_given():
    ask = completion(
        temperature=0, top_p=0.5, top_k=3, min_p=0.1, repetition_penalty=1.2, no_repeat_ngram=3, n=2, seed=-1,
        stop="a", max_tokens=4.0, stream=True, stream_options={"include_usage": True}, logprobs=0, model="m",
    )  # fmt: skip
    assert ask.sampling == SamplingConfig(
        temperature=0, top_p=0.5, top_k=3, min_p=0.1, repetition_penalty=1.2, no_repeat_ngram=3, n=2, seed=-1,
        stop=["END", "a"], max_new_tokens=4,
    )  # fmt: skip
    assert (ask.model, ask.stream, ask.include_usage, ask.top, ask.prompts) == ("m", True, True, 0, ["x"])
    assert completion().top is None and chat().top is None and chat(logprobs=True).top == 0
    assert chat(logprobs=True, top_logprobs=20).top == 20
    assert chat(max_completion_tokens=5).sampling.max_new_tokens == 5
    assert completion(prompt=[1, 2]).prompts == [[1, 2]] and completion(prompt=["a", [3]]).prompts == ["a", [3]]


def test_fields_of_openai_that_ask_for_nothing_are_let_through():
    values = dict.fromkeys(HARMLESS, "whatever") | {name: neutral[0] for name, neutral in NEUTRAL.items()}
    assert chat(**values).messages == HELLO
    with pytest.raises(Problem, match="'echo' is not offered"):
        completion(echo=0)  # false it is not
    with pytest.raises(Problem, match="; repetition_penalty makes"):
        completion(presence_penalty=0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": "1"}, "'temperature' must be a number, and is a text"),
        ({"temperature": True}, "'temperature' must be a number, and is true or false"),
        ({"temperature": 1e-9}, "'temperature' is 1e-09; it must be 0 \\(greedy\\), or from 0.01 to 100.0"),
        ({"temperature": 10**400}, "'temperature' must be a finite number"),
        ({"repetition_penalty": 0.001}, "it must be from 0.01 to 100.0"),
        ({"top_p": 0}, "^top_p=0.0 is impossible"),
        ({"top_k": 0}, "'top_k' is 0; it must be from 1 to"),
        ({"top_k": 1.5}, "'top_k' must be a whole number, and is a number"),
        ({"n": 17}, r"'n' is 17; it must be from 1 to 16 \(the server's limits.choices\)"),
        ({"seed": 2**63}, "'seed' is too large"),
        ({"stop": [""]}, "each text of 'stop' must have from 1 to 500 characters"),
        ({"stop": ["a"] * 17}, "'stop' has 17 texts"),
        ({"stop": [1]}, "'stop' must be a text, and is a number"),
        ({"stream": 1}, "'stream' must be true or false, and is a number"),
        ({"stream_options": {"include_usage": True}}, "'stream_options' needs stream=true"),
        (
            {"stream": True, "stream_options": {"include_use": True}},
            "Unknown field 'include_use'. Did you mean 'include_usage'?",
        ),
        ({"logprobs": 21}, "'logprobs' is 21; it must be from 0 to 20"),
        ({"logprobs": True}, "'logprobs' must be a whole number, and is true or false"),
        ({"prompt": []}, "'prompt' holds 0 prompts; from 1 to 64 are possible"),
        ({"prompt": [[]]}, "must hold token ids, at least one"),
        ({"prompt": [1, True]}, "'prompt' must be a text, and is a number"),
        ({"prompt": {}}, "'prompt' must be a text, and is an object"),
        ({"prompt": ["x"] * 64, "n": 3}, "asks for 192 texts; at most 128 may wait"),
        ({"beams": 2, "prompt": ""}, "Unknown field 'beams'"),
    ],
)
def test_what_cannot_be(values, message):
    with pytest.raises(Problem, match=message) as error:
        completion(**values)
    assert error.value.status == 400 and error.value.facts["param"]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ({}, "'messages' must be a list, and is an object"),
        ([1], r"'messages\[0\]' must be an object with role and content"),
        ([{"role": "boss", "content": ""}], r"'messages\[0\].role' must be one of system, developer, user"),
        ([{"role": ["user"], "content": ""}], r"'messages\[0\].role' must be one of"),
        ([{"role": "user"}], r"'messages\[0\].content' must be a text, and is null"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "may hold parts of type text only"),
        ([*HELLO, {"role": "assistant", "content": "x"}], "the last message is of the assistant; the user's must be"),
        ([{"role": "tool", "content": "x"}], "there is no message of the user"),
        ([{**HELLO[0], "tool_calls": [{}]}], "tool_calls' is not offered"),
        (HELLO * 201, "'messages' holds 201; from 1 to 200 are possible"),
    ],
)
def test_messages_that_cannot_be(messages, message):
    with pytest.raises(Problem, match=message):
        chat(messages=messages)


def test_an_answer_of_openais_client_can_be_sent_back():
    empty = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None}
    sent = [*HELLO, {"role": "assistant", "content": "a", **empty}, {"role": "user", "content": "b", "name": "Ann"}]
    assert chat(messages=sent).messages == [
        *HELLO, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b", "name": "Ann"}
    ]  # fmt: skip


def test_two_lengths_that_differ():
    assert chat(max_tokens=5, max_completion_tokens=5).sampling.max_new_tokens == 5
    with pytest.raises(Problem, match="'max_tokens' and 'max_completion_tokens' differ"):
        chat(max_tokens=5, max_completion_tokens=6)


def test_what_is_no_object_of_json():
    for body in (b"", b"[1]", b"\xff\xfe", b'{"a": Infinity}', b"[" * 100_000, b"1" * 5000, b"nul"):
        with pytest.raises(Problem) as error:
            parsed(body)
        assert error.value.status == 400
    assert parsed(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


def test_an_unknown_field_of_any_length_is_told_in_few_words():
    with pytest.raises(Problem) as error:
        Fields({"x" * 10_000: 1}, {"prompt"})
    assert len(error.value.facts["message"]) < 200
