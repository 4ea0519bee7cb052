"""The routes over a real socket: with OpenAI's own client, and with what no client of good will sends."""

import json

import httpx
import openai
import pytest

from prospero.data.rendering.chat_template import CHATML, named_control_tokens
from prospero.generation.chat import Chat
from prospero.generation.generate import generate
from prospero.generation.sampling import SamplingConfig
from prospero.serving.guard import Access
from prospero.serving.limits import LimitsConfig
from tests.generation.presets import TOKENIZER
from tests.serving.live import HTTP, JSON, Live, Scripted, Slow, live, served, tiny_decoder

HELLO = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def server():
    with live(served(tiny_decoder()), served(Scripted("Hello there\nUser: x"), "said")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Live):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none needed", max_retries=0) as made:
        yield made


def events(answer: httpx.Response) -> list[dict]:
    """The objects of a stream, which must end with [DONE]."""
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]" and answer.headers["content-type"].startswith("text/event-stream")
    return [json.loads(line) for line in lines[:-1]]


def test_the_models(client):
    listed = client.models.list().data
    assert [model.id for model in listed] == ["tiny", "said"]
    assert client.models.retrieve("tiny").model_extra["prospero"] == {
        "kind": "completion",
        "context": 32,
        "parameters": 1234,
        "precision": "float32",
        "default_sampling": {
            "temperature": 0.8, "top_p": 0.95, "top_k": None, "min_p": 0.0, "repetition_penalty": 1.0,
            "no_repeat_ngram": None, "max_tokens": 8,
        },
    }  # fmt: skip
    with pytest.raises(openai.NotFoundError, match=r"There is no model 'tine'. Did you mean 'tiny'\?") as error:
        client.models.retrieve("tine")
    assert error.value.code == "model_not_found" and error.value.param == "model"


def test_texts_are_those_of_generate_with_the_same_seed(server, client):
    sampling = SamplingConfig(temperature=1.0, top_k=50, seed=7, n=2, max_new_tokens=12)
    prompts = ["def f(", "", "x"]
    expected = generate(tiny_decoder(), TOKENIZER, prompts, sampling)
    body = {"model": "tiny", "prompt": prompts, "n": 2, "seed": 7, "temperature": 1.0, "max_tokens": 12}
    found = client.completions.create(**body, extra_body={"top_k": 50})
    assert [choice.text for choice in found.choices] == [completion.text for completion in expected]
    assert [choice.index for choice in found.choices] == list(range(6))
    assert found.usage.prompt_tokens == 6 + 1 + 1 and found.model_extra["prospero"]["seed"] == 7
    assert found.usage.completion_tokens == sum(len(completion.ids) for completion in expected)
    texts = [""] * 6
    ends, said = {}, {}
    for piece in client.completions.create(**body, stream=True, extra_body={"top_k": 50}):
        for choice in piece.choices:
            texts[choice.index] += choice.text
            ends |= {choice.index: choice.finish_reason} if choice.finish_reason else {}
        said |= (piece.model_extra or {}).get("prospero", {})
    assert texts == [completion.text for completion in expected]
    assert ends == {c.index: c.finish_reason for c in found.choices}
    assert said["seed"] == 7 and said["ended_by"] in ("separator", "length")
    ids = server.complete(model="tiny", prompt=[TOKENIZER.encode("def f(")], seed=7, temperature=1, top_k=50, n=2)
    assert all(whole.text.startswith(choice["text"]) for whole, choice in zip(expected, ids["choices"]))
    assert ids["usage"]["completion_tokens"] == 16


def test_without_a_seed_each_request_draws_its_own_and_says_which(server):
    one, two = (server.complete(model="tiny", prompt="a", temperature=1.5, max_tokens=16) for _ in range(2))
    assert one["prospero"]["seed"] != two["prospero"]["seed"]
    again = server.complete(model="tiny", prompt="a", temperature=1.5, max_tokens=16, seed=one["prospero"]["seed"])
    assert again["choices"] == one["choices"]


def test_answers_are_those_of_chat(client):
    sampling = SamplingConfig(temperature=1.0, seed=3, max_new_tokens=9)
    talk = Chat(tiny_decoder(), TOKENIZER, sampling)
    said = ["".join(talk.answer(text)) for text in ("a", "b")]
    messages = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    for text in said:
        found = client.chat.completions.create(
            model="tiny", messages=messages, seed=3, temperature=1.0, max_completion_tokens=9
        )
        assert found.choices[0].message.content == text
        messages += [found.choices[0].message.model_dump(), {"role": "user", "content": "b"}]
    assert found.model_extra["prospero"]["left_out"] == talk.left_out == 2


def test_marks_of_others_and_stop_texts_end_an_answer(client):
    found = client.chat.completions.create(model="said", messages=HELLO, max_tokens=100, temperature=0)
    assert found.choices[0].message.content == "Hello there" and found.choices[0].finish_reason == "stop"
    assert found.usage.prompt_tokens == len("<User: Hi\nAssistant:") and found.usage.completion_tokens == 17
    stream = client.chat.completions.create(
        model="said", messages=HELLO, temperature=0, stop=["the", "zz"], stream=True, max_tokens=50,
        stream_options={"include_usage": True}, logprobs=True, top_logprobs=2,
    )  # fmt: skip
    pieces = list(stream)
    deltas = [piece.choices[0] for piece in pieces[:-1]]
    assert deltas[0].delta.role == "assistant" and deltas[0].delta.content == ""
    assert "".join(choice.delta.content or "" for choice in deltas) == "Hello "
    tokens = [token for choice in deltas if choice.logprobs for token in choice.logprobs.content]
    assert "".join(token.token for token in tokens) == "Hello "
    assert [choice.finish_reason for choice in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    assert pieces[-1].choices == [] and pieces[-1].usage.completion_tokens == len("Hello the")
    assert all(piece.usage is None for piece in pieces[:-1])


def test_log_probabilities_are_those_of_the_model(server, client):
    found = client.completions.create(model="tiny", prompt="ab", seed=1, logprobs=3, max_tokens=6, temperature=1.0)
    logprobs = found.choices[0].logprobs
    expected = generate(
        tiny_decoder(), TOKENIZER, ["ab"], SamplingConfig(seed=1, max_new_tokens=6, temperature=1.0),
        log_probabilities=True,
    )[0]  # fmt: skip
    assert logprobs.token_logprobs == pytest.approx(expected.log_probabilities, abs=1e-5)
    assert logprobs.text_offset[0] == 0 and len(logprobs.tokens) == len(expected.ids)
    assert all(len(top) <= 3 and list(top.values()) == sorted(top.values()) for top in logprobs.top_logprobs)
    talk = client.chat.completions.create(
        model="said", messages=HELLO, logprobs=True, top_logprobs=0, temperature=0, max_tokens=2
    )
    content = talk.choices[0].logprobs.content
    assert [(token.token, token.bytes, token.top_logprobs) for token in content] == [("H", [72], []), ("e", [101], [])]
    assert content[0].logprob == pytest.approx(0, abs=1e-6) and talk.choices[0].finish_reason == "length"


def test_half_a_character_is_held_back_and_its_tokens_come_with_it():
    with live(served(Scripted("a\u00e9\U0001f600b"))) as running:
        answer = running.post(
            "/v1/chat/completions", messages=HELLO, stream=True, logprobs=True, max_tokens=20, temperature=0
        )
    pieces = [event["choices"][0] for event in events(answer)]
    texts = [piece["delta"].get("content", "") for piece in pieces]
    assert "".join(texts) == "a\u00e9\U0001f600b" and "\ufffd" not in "".join(texts)
    tokens = [token for piece in pieces if piece["logprobs"] for token in piece["logprobs"]["content"]]
    assert bytes(byte for token in tokens for byte in token["bytes"]).decode() == "a\u00e9\U0001f600b"


def test_a_model_with_a_template_says_so_and_ends_its_turn():
    hello = [{"role": "developer", "content": "B"}, {"role": "user", "content": "<|im_end|>"}]
    tokenizer = TOKENIZER.with_control_tokens(named_control_tokens(CHATML), CHATML)
    scripted = Scripted("Yes", tokenizer)
    end = tokenizer.control_id("<|im_end|>")
    scripted.ids = [*scripted.ids, end, *scripted.ids]
    with live(served(scripted, tokenizer=tokenizer)) as running:
        kind = HTTP.get(f"{running.url}/v1/models").json()["data"][0]["prospero"]["kind"]
        answer = running.post("/v1/chat/completions", messages=hello).json()
        text = running.complete(prompt="a", max_tokens=7)["choices"][0]
    assert kind == "dialogue" and answer["choices"][0]["message"]["content"] == "Yes"
    assert answer["choices"][0]["finish_reason"] == "stop" and scripted.read[0].count(end) == 2
    assert TOKENIZER.decode(scripted.read[0][2:]).startswith("system\nB")
    assert text["text"] == "YesYes" and text["finish_reason"] == "length"  # an end of a turn ends no text


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "message"),
    [
        ("completions", {"model": "tiny", "promt": "x"}, 400, "promt", "Unknown field 'promt'. Did you mean 'prompt'?"),
        ("completions", {"model": "tiny"}, 400, "prompt", "'prompt' is missing; an empty one lets"),
        ("completions", {"prompt": "x"}, 400, "model", "'model' is missing; it is one of tiny, said"),
        ("completions", {"model": "tiny", "prompt": "x" * 40}, 400, "prompt", "has 40 tokens and at most 32"),
        ("completions", {"model": "tiny", "prompt": [5, 9999]}, 400, "prompt", "token ids of tiny lie from 0 to 256"),
        ("completions", {"model": "tiny", "prompt": "\ud800"}, 400, "prompt", "half a character"),
        ("completions", {"model": "tiny", "prompt": "x", "temperature": -1}, 400, "temperature", "must be 0 (greedy)"),
        ("completions", {"model": "tiny", "prompt": "x", "max_tokens": 10**6}, 400, "max_tokens", "limits.new_tokens"),
        ("completions", {"model": "tiny", "prompt": "x", "echo": True}, 400, "echo", "'echo' is not offered"),
        ("completions", {"model": "nothing", "prompt": "x"}, 404, "model", "There is no model 'nothing'."),
        ("chat/completions", {"model": "tiny", "messages": []}, 400, "messages", "holds 0; from 1 to 200"),
        ("chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "x" * 99}]}, 400, "messages",
         "the model reads 32 at once"),
        ("chat/completions", {"model": "tiny", "messages": HELLO, "tools": [{}]}, 400, "tools", "not offered"),
        ("chat/completions", {"model": "tiny", "messages": HELLO, "top_logprobs": 2}, 400, "top_logprobs",
         "needs logprobs=true"),
        ("nothing", {}, 404, None, "POST /v1/nothing is nothing that this server offers"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_in_the_shape_of_openai(server, path, body, status, param, message):
    answer = HTTP.post(f"{server.url}/v1/{path}", content=json.dumps(body), headers=JSON)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert message in error["message"]


def test_a_body_that_is_no_request(server):
    def sent(content, **headers):
        headers = {"content-type": "application/json", **headers}
        return HTTP.post(f"{server.url}/v1/completions", content=content, headers=headers)

    bodies = [b"", b"{", b"[]", b"\xff", b"3", b'"x"', b"[" * 9000, b'{"a": NaN}', b"1" * 6000, b"{'a': 1}", b"null"]
    assert [sent(body).status_code for body in bodies] == [400] * len(bodies)
    assert sent(b"{}", **{"content-type": "text/plain"}).status_code == 415
    assert sent(b"x" * 1_000_001).status_code == 413
    assert sent(iter([b"x" * 700_000] * 2)).status_code == 413  # without a length
    assert HTTP.get(f"{server.url}/v1/completions").status_code == 405


def test_health_and_metrics(server):
    from prometheus_client.parser import text_string_to_metric_families

    assert HTTP.get(f"{server.url}/health").json() == {"status": "ok"}
    server.complete(model="said", prompt="abc", max_tokens=4)
    answer = HTTP.get(f"{server.url}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    tokens = {s.labels["model"]: s.value for s in families["prospero_prompt_tokens"].samples}
    assert HTTP.get(f"{server.url}/v1/models", headers={"host": "evil.com"}).status_code == 421
    assert 'prospero_errors_total{path="/v1/models",status="421"} 1' in HTTP.get(f"{server.url}/metrics").text
    assert tokens["said"] >= 3 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert {sample.value for sample in families["prospero_rows_running"].samples} == {0.0}
    assert families["process_resident_memory_bytes"].samples[0].value > 1e7


def test_the_log_has_sizes_and_no_words(server, caplog):
    with caplog.at_level("INFO", logger="prospero"):
        server.complete(model="said", prompt="PRIVATE", max_tokens=3, stop=["SECRET"])
        server.post("/v1/chat/completions", model="said", messages=[{"role": "user", "content": "PRIVATE"}], x="SECRET")
    assert "POST /v1/completions 200" in caplog.text and "said: 7 + 3 tokens, 1 texts, length" in caplog.text
    assert "PRIVATE" not in caplog.text and "SECRET" not in caplog.text


def test_a_failing_step_fails_its_requests_and_not_the_server(caplog):
    scripted = Scripted("abc")
    with live(served(scripted)) as running:
        scripted.fails = True
        answer = running.post("/v1/completions", prompt="x")
        assert answer.status_code == 500 and answer.json()["error"]["type"] == "server_error"
        scripted.fails = True
        stream = running.post("/v1/completions", prompt="x", stream=True)
        assert '"error"' in stream.text and "[DONE]" not in stream.text
        assert running.complete(prompt="x")["choices"][0]["text"] == "abc"
    assert "a step of the batch failed: RuntimeError at" in caplog.text and "secret words" not in caplog.text


def test_too_many_that_wait_and_too_long_a_wait():
    scripted = Scripted("abcdef")
    scripted.gate.clear()
    with live(served(scripted), limits=LimitsConfig(waiting=1), rows=1) as running:
        body = {"prompt": "x", "stream": True}
        with HTTP.stream("POST", f"{running.url}/v1/completions", json=body) as first:
            lines = first.iter_lines()
            while '"text":"a"' not in next(lines):  # its row is in the batch, at the gate
                pass
            running.service.limits = LimitsConfig(waiting=1, seconds=0.2)
            late = running.post("/v1/completions", prompt="y")  # waits for the one place, in vain
            assert late.status_code == 503 and "within 0.2 s" in late.json()["error"]["message"]
            assert running.post("/v1/completions", prompt="y", n=2).status_code == 400
            scripted.gate.set()
            rest = "".join(lines)
    assert '"finish_reason":"stop"' in rest and "[DONE]" in rest


def test_a_text_whose_time_is_up_ends_where_it_is():
    with live(served(Slow("a" * 5000)), limits=LimitsConfig(seconds=2.0)) as running:
        stream = running.post("/v1/completions", prompt="x", max_tokens=4000, stream=True)
        assert '"finish_reason":"length"' in stream.text and '"ended_by":"time"' in stream.text
        assert 1 <= stream.text.count('"text":"a') < 4000 and stream.text.endswith("data: [DONE]\n\n")


def test_the_page_is_there_and_asks_for_the_key_itself():
    with live(served(Scripted("abc")), access=Access("a-key-that-nobody-guesses")) as running:
        page = HTTP.get(running.url)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert HTTP.get(f"{running.url}/page/page.js").status_code == 200
        for path in ("/page/nothing", "/page/../app.py", "/page/%2e%2e/app.py"):
            answer = HTTP.get(f"{running.url}{path}")
            assert answer.status_code in (401, 404) and set(answer.json()) == {"error"}
        assert HTTP.get(f"{running.url}/v1/models").status_code == 401
        named = {"authorization": "Bearer a-key-that-nobody-guesses"}
        assert HTTP.get(f"{running.url}/v1/models", headers=named).status_code == 200
