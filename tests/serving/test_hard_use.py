"""The server as crowds use it: many clients at once, some that leave, bodies that are no requests, models that fail.

Nothing is measured by the clock: benchmarks/serve.py does that.
"""

import gc
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from prospero.generation.generate import generate
from prospero.generation.sampling import SamplingConfig
from prospero.serving.answering import EventStream, Writing
from prospero.serving.limits import LimitsConfig
from prospero.serving.worker import Job
from tests.generation.presets import TOKENIZER
from tests.serving.live import HTTP, JSON, Live, Scripted, live, served, tiny_decoder

HELLO = [{"role": "user", "content": "Hi"}]
MESSAGE = {"role": "user", "content": "Hi"}


def until(condition: Callable[[], bool], most_seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + most_seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def at_rest(running: Live) -> bool:
    """Whether nothing is being written, waited for or held any more."""
    workers = running.service.workers.values()
    return all(w.alive and w.running == w.waiting == 0 and not w.load.handles for w in workers)


def held() -> int:
    """Objects of requests that are still there."""
    gc.collect()
    return sum(type(one) in (Job, Writing, EventStream) for one in gc.get_objects())


def streamed(found: Any) -> tuple[str, str | None, int]:
    """The text, the reason of its end and the tokens written of a stream of OpenAI's client."""
    text, reason, tokens = "", None, 0
    for piece in found:
        for choice in piece.choices:
            text += (choice.text if hasattr(choice, "text") else choice.delta.content) or ""
            reason = choice.finish_reason or reason
        tokens = piece.usage.completion_tokens if piece.usage else tokens
    return text, reason, tokens


def whole(found: Any) -> tuple[str, str | None, int]:
    choice = found.choices[0]
    text = choice.text if hasattr(choice, "text") else choice.message.content
    return text, choice.finish_reason, found.usage.completion_tokens


SAID = "Hello there, all of you."
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
ASKED: list[tuple[str, dict[str, Any], tuple[str, str, int]]] = [
    ("text", {}, (SAID, "stop", 24)),
    ("text", {"max_tokens": 5}, ("Hello", "length", 5)),
    ("text", {"stop": "there"}, ("Hello ", "stop", 11)),
    ("text", {"stop": ["zz", ","]}, ("Hello there", "stop", 12)),
    ("text", {"seed": -5, "temperature": 0}, (SAID, "stop", 24)),
    ("text", {"prompt": ""}, (SAID, "stop", 24)),
    ("text", {"prompt": [65, 66]}, (SAID, "stop", 24)),
    ("text", {"n": 3, "best_of": 1}, (SAID, "stop", 72)),
    ("text", {"logprobs": 2, "max_tokens": 3}, ("Hel", "length", 3)),
    ("text", {"user": "somebody", "echo": False}, (SAID, "stop", 24)),
    ("text", USAGE, (SAID, "stop", 24)),
    ("text", {**USAGE, "max_tokens": 1}, ("H", "length", 1)),
    ("text", {**USAGE, "stop": "all"}, ("Hello there, ", "stop", 16)),
    ("text", {**USAGE, "stop": "Hello"}, ("", "stop", 5)),
    ("text", {**USAGE, "logprobs": 0}, (SAID, "stop", 24)),
    ("chat", {}, (SAID, "stop", 24)),
    ("chat", {"max_completion_tokens": 7}, ("Hello t", "length", 7)),
    ("chat", {"stop": [" of"]}, ("Hello there, all", "stop", 19)),
    ("chat", {"top_p": 0.5, "temperature": 2}, (SAID, "stop", 24)),
    ("chat", {"messages": [{"role": "developer", "content": "Be brief"}, *HELLO]}, (SAID, "stop", 24)),
    ("chat", {"logprobs": True, "top_logprobs": 1, "max_tokens": 2}, ("He", "length", 2)),
    ("chat", USAGE, (SAID, "stop", 24)),
    ("chat", {**USAGE, "max_tokens": 11}, ("Hello there", "length", 11)),
    ("chat", {**USAGE, "stop": "you"}, ("Hello there, all of ", "stop", 23)),
    ("chat", {**USAGE, "metadata": {"a": "b"}, "store": False}, (SAID, "stop", 24)),
]  # fmt: skip
REFUSED: list[tuple[str, dict[str, Any], type[openai.APIStatusError], str | None]] = [
    ("text", {"model": "sad"}, openai.NotFoundError, "model"),
    ("text", {"max_tokens": -1}, openai.BadRequestError, "max_tokens"),
    ("text", {"stop": ["a"] * 99}, openai.BadRequestError, "stop"),
    ("chat", {"messages": []}, openai.BadRequestError, "messages"),
    ("chat", {"extra_body": {"top_q": 1}}, openai.BadRequestError, "top_q"),
]


@pytest.fixture(scope="module")
def said():
    """A server of a model that always says the same, and a client of OpenAI's."""
    model = served(Scripted(SAID), "said", sampling=SamplingConfig(max_new_tokens=64))
    with (
        live(model, rows=8) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0) as client,
    ):
        yield running, client


def create(client: openai.OpenAI, kind: str, body: dict[str, Any]) -> Any:
    if kind == "text":
        return client.completions.create(**{"model": "said", "prompt": "x", **body})
    return client.chat.completions.create(**{"model": "said", "messages": HELLO, **body})


def test_thirty_requests_of_openais_client(said):
    running, client = said
    assert len(ASKED) + len(REFUSED) == 30
    for kind, body, expected in ASKED:
        found = create(client, kind, body)
        assert (streamed(found) if body.get("stream") else whole(found)) == expected, (kind, body)
    for kind, body, error, param in REFUSED:
        with pytest.raises(error) as raised:
            create(client, kind, body)
        assert raised.value.param == param and raised.value.type == "invalid_request_error", body
    until(lambda: at_rest(running))


TEXTS = {"prompt": ["x", [1, 2]], "stop": None, "logprobs": None}
WRONG: dict[str, list[Any]] = {
    "model": [1, [], {}, True, "said2", "", "x" * 5000, "said\x00"],
    "max_tokens": [0, -1, 1.5, "5", True, [], {}, 1e300, 2**80, -(2**80)],
    "n": [0, -1, 17, 1.5, "2", True, []],
    "seed": ["1", 1.5, True, [], 2**64, -(2**64), "inf"],
    "stop": [1, True, {}, [1], [None], [["a"]], "", [""], ["a"] * 17, "x" * 501],
    "stream": ["yes", 1, 0, [], {}, "true"],
    "stream_options": [{"include_usage": True}, [], "x", 1, {"x": 1}],
    "temperature": [-1, 1e-3, 1e9, "1", True, [], {}],
    "top_p": [0, -1, 1.1, "1", True, []],
    "top_k": [0, -1, 1.5, "3", True, [], 2**70],
    "min_p": [-0.1, 1.1, "0", []],
    "repetition_penalty": [0, -1, 1e9, "1", {}],
    "no_repeat_ngram": [0, -2, 1.5, "x"],
    "logit_bias": [{"1": 2}, [1], "x", 1],
    "presence_penalty": [1, "x", True],
    "frequency_penalty": [0.5, []],
    "best_of": [2, 0, "1", True],
    "echo": [True, 1, "no"],
    "suffix": ["x", 1],
    "tools": [[{"type": "function"}], "x", {}],
    "response_format": [{"type": "json_object"}, "json", 1],
    "unknown": [1, "x", [], {}],
    "__proto__": [{}],
    "top_logprobs": [1, -1, "x", True],
}  # fmt: skip
"""Field -> values that make any request a wrong one."""
WRONG_TEXTS = {
    "prompt": [1, True, {}, [], [[]], [None], [{}], [1.5], ["a", 1], [[1, "a"]], [-1], [10**9], [[-1]], ["x"] * 65],
    "logprobs": [-1, 21, True, "1", 1.5, []],
    "messages": [[MESSAGE]],
}  # fmt: skip
WRONG_CHAT = {
    "messages": [
        1, "x", {}, [], [1], [None], ["x"], [{}], [{"role": "user"}], [{"content": "x"}],
        [{"role": "x", "content": "x"}], [{"role": "user", "content": 1}], [{"role": "user", "content": [1]}],
        [{"role": ["user"], "content": "x"}],
        [{"role": "user", "content": [{"type": "image_url"}]}], [{"role": "user", "content": [{"type": "text"}]}],
        [{"role": "assistant", "content": "x"}], [{"role": "system", "content": "x"}], [MESSAGE] * 201,
        [MESSAGE, {"role": "assistant", "content": "x"}], [{**MESSAGE, "extra": 1}], [{**MESSAGE, "name": 1}],
    ],
    "logprobs": [1, "true", []],
    "prompt": ["x"],
    "max_completion_tokens": [0, "1", 1.5],
}  # fmt: skip


def wrong_bodies() -> list[tuple[str, bytes]]:
    """Paths with bodies that are no requests: at least one field is wrong, or the whole is no JSON."""
    rng, found = random.Random(3), []
    for path, base, of_path in (
        ("/v1/completions", {"model": "said", "prompt": "x"}, WRONG | WRONG_TEXTS),
        ("/v1/chat/completions", {"model": "said", "messages": [MESSAGE]}, WRONG | WRONG_CHAT),
    ):
        singles = [(name, value) for name, values in of_path.items() for value in values]
        if path == "/v1/completions":
            singles = [one for one in singles if one[0] != "top_logprobs" or one[1] != 1]
        found += [(path, json.dumps({**base, name: value}).encode()) for name, value in singles]
        for _ in range(190):  # several at once
            chosen = dict(rng.sample(singles, 3))
            chosen.pop("stream_options", None)
            chosen = chosen or {"n": 0}
            found.append((path, json.dumps({**base, **chosen}).encode()))
        good = json.dumps({**base, "max_tokens": 3, "stop": ["ä\n"], "seed": 1}).encode()
        found += [(path, good[:end]) for end in range(len(good))]
        for _ in range(100):  # one byte that JSON does not allow there
            place = rng.randrange(len(good))
            found.append((path, good[:place] + rng.choice([b"\xff", b"\x00", b"\x01"]) + good[place:]))
        odd = [b"[" * 100_000, b'{"a":' * 5000, b"null", b"[]", b"3", b'"x"', b"NaN", b"{}", b'{"prompt": NaN}']
        odd += [b'{"prompt": "\\ud800"}', b"\xef\xbb\xbf{", b"{'prompt': 'x'}", b"prompt=x", b"\x00" * 100, b"9" * 5000]
        odd += [
            b'{"messages": [{"role": "user", "content": "\\udfff"}]}',
            b'{"model": "\\ud800"}',
            b'{"\\ud800": 1}',
            b"{" + b" " * 9000,
        ]
        odd += [json.dumps({**base, "stop": "\ud800"}).encode(), json.dumps({**base, "x" * 9000: 1}).encode()]
        found += [(path, body) for body in odd]
    return found


def test_a_thousand_bodies_that_are_no_requests(said, caplog):
    running, _ = said
    bodies = wrong_bodies()
    assert len(bodies) >= 1000
    with caplog.at_level("WARNING", logger="prospero"):
        for path, body in bodies:
            answer = HTTP.post(f"{running.url}{path}", content=body, headers=JSON)
            assert 400 <= answer.status_code < 500, (path, body[:300], answer.status_code, answer.text[:300])
            error = answer.json()["error"]
            assert error.keys() == {"message", "type", "param", "code"} and 0 < len(error["message"]) < 1000, error
    assert not caplog.records and at_rest(running)
    assert running.complete(prompt="x", max_tokens=5)["choices"][0]["text"] == "Hello"


def anything(rng: random.Random, depth: int = 0) -> Any:
    """A value of JSON, often one that means something."""
    plain = [None, True, False, 0, 1, -1, 2.5, 1e308, 10**30, "", "x", "user", "text", "\ud800", "\x00", "ü" * 50]
    if depth > 2 or rng.random() < 0.6:
        return rng.choice(plain)
    if rng.random() < 0.5:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = ["role", "content", "type", "text", "x"]
    return {rng.choice(keys): anything(rng, depth + 1) for _ in range(rng.randrange(4))}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 12))])
def test_no_body_at_all_is_a_fault_of_the_server(seed, said, caplog):
    """What is made by chance may be a request or none; it is answered in either case."""
    running, _ = said
    rng = random.Random(seed)
    names = [*WRONG, "prompt", "messages", "logprobs", "max_completion_tokens"]
    seen: Counter[int] = Counter()
    with caplog.at_level("WARNING", logger="prospero"):
        for _ in range(200):
            chat = rng.random() < 0.5
            body = {"messages": [MESSAGE]} if chat else {"prompt": "x"}
            body |= {rng.choice(names): anything(rng) for _ in range(rng.randrange(1, 4))}
            path = "/v1/chat/completions" if chat else "/v1/completions"
            answer = HTTP.post(f"{running.url}{path}", content=json.dumps(body).encode(), headers=JSON)
            seen[answer.status_code] += 1
            assert answer.status_code < 500, (body, answer.text)
    assert seen[200] and seen[400] and not caplog.records, seen
    until(lambda: at_rest(running))


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: x:1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"GET /%00%ff/..%2f..%2fetc/passwd HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        b"GET /v1/models/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        b"BREW /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
    ],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_what_is_hardly_http_is_refused(request_, said, caplog):
    running, _ = said
    host, port = running.url.removeprefix("http://").split(":")
    with caplog.at_level("ERROR", logger="prospero"), socket.create_connection((host, int(port)), timeout=20) as sent:
        sent.sendall(request_)
        sent.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sent.recv(65536), b""))
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert b"root:" not in answer and not [one for one in caplog.records if one.name == "prospero"]
    assert HTTP.get(f"{running.url}/health").json() == {"status": "ok"}


@pytest.fixture(scope="module")
def tiny():
    limits = LimitsConfig(waiting=500)
    with live(served(tiny_decoder()), served(Scripted(SAID), "said"), limits=limits, rows=8) as running:
        yield running


def mixed(rng: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    """A request of many kinds."""
    body: dict[str, Any] = {
        "model": rng.choice(["tiny", "tiny", "said"]),
        "seed": number,
        "n": rng.choice([1, 1, 1, 3]),
    }
    body |= {"max_tokens": rng.randrange(1, 16), "stream": rng.random() < 0.6, "temperature": rng.choice([0, 0.7, 1.3])}
    body |= rng.choice([{}, {"stop": "a"}, {"top_k": 5}, {"repetition_penalty": 1.2}, {"top_p": 0.5}])
    if rng.random() < 0.3:
        return "/v1/chat/completions", {**body, "messages": HELLO, **rng.choice([{}, {"logprobs": True}])}
    return "/v1/completions", {
        **body,
        "prompt": rng.choice(["x", ["a", "bc"], [66, 67]]),
        **rng.choice([{}, {"logprobs": 1}]),
    }


def crowd(running: Live, requests: int, clients: int, seed: int) -> Counter[str]:
    """Send requests from several clients at once, of which a fifth leave before the end; count what came of them."""
    rng = random.Random(seed)
    work = [(*mixed(rng, number), rng.random() < 0.2, rng.random()) for number in range(requests)]
    shares = [work[client::clients] for client in range(clients)]
    outcomes: Counter[str] = Counter()

    def one(share: list[Any]) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            for path, body, leaves, when in share:
                if leaves and not body["stream"]:
                    leave(running, path, body, when)
                    outcomes["left"] += 1
                    continue
                with client.stream("POST", f"{running.url}{path}", json=body) as answer:
                    assert answer.status_code == 200, (body, answer.read())
                    if leaves:
                        next(answer.iter_lines())
                        outcomes["left"] += 1
                        continue
                    text = answer.read().decode()
                    assert text.endswith("data: [DONE]\n\n") if body["stream"] else json.loads(text)["choices"]
                    outcomes["whole"] += 1

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, shares))
    return outcomes


def leave(running: Live, path: str, body: dict[str, Any], when: float) -> None:
    """Send a request that asks for much, or a part of it, and close the connection."""
    host, port = running.url.removeprefix("http://").split(":")
    content = json.dumps({**body, "max_tokens": 4000}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    whole = head.encode() + f"content-length: {len(content)}\r\n\r\n".encode() + content
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(whole if when < 0.7 else whole[: int(len(whole) * when)])
        time.sleep(0.02 * when)


@pytest.mark.heavy
def test_two_hundred_requests_of_sixteen_clients_of_which_a_fifth_leave(tiny, long_form):
    before = held()
    outcomes = crowd(tiny, 200, 16, seed=5)
    assert outcomes["left"] + outcomes["whole"] == 200 and 20 <= outcomes["left"] <= 60, outcomes
    until(lambda: at_rest(tiny))
    until(lambda: held() <= before + len(tiny.service.workers))  # each thread has its last order at hand
    assert all(worker.model.decoder.rows == 0 for worker in tiny.service.workers.values())
    if long_form:
        for seed in range(6, 11):
            crowd(tiny, 400, 16, seed=seed)
        until(lambda: at_rest(tiny) and held() <= before + 2)  # the memory of this process is that of its clients, too


@pytest.mark.heavy
def test_texts_do_not_depend_on_who_else_is_there(tiny):
    """Sixteen requests of unlike settings that come and go in one batch say what each says alone."""
    rng = random.Random(9)
    asked = []
    for number in range(16):
        settings = {"temperature": rng.choice([0.0, 0.7, 1.0, 1.5]), "top_p": rng.choice([1.0, 0.9]), "seed": number}
        settings |= {
            "top_k": rng.choice([None, 20]),
            "repetition_penalty": rng.choice([1.0, 1.3]),
            "n": rng.choice([1, 2]),
        }
        asked.append((rng.choice(["x", "def f(", "", "The "]), settings, rng.randrange(2, 24)))
    expected, decoder = [], tiny_decoder()
    for prompt, settings, tokens in asked:
        sampling = SamplingConfig(**settings, max_new_tokens=tokens)
        expected.append([one.text for one in generate(decoder, TOKENIZER, [prompt], sampling)])

    def ask(one: tuple[str, dict[str, Any], int]) -> list[str]:
        prompt, settings, tokens = one
        time.sleep(random.Random(tokens).random() * 0.05)
        given = {name: value for name, value in settings.items() if value is not None}
        found = httpx.post(
            f"{tiny.url}/v1/completions", json={"model": "tiny", "prompt": prompt, "max_tokens": tokens, **given},
            timeout=60, trust_env=False,
        )  # fmt: skip
        return [choice["text"] for choice in found.json()["choices"]]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, asked)) == expected


def test_clients_share_the_steps_of_one_batch():
    """Eight texts of 40 tokens take the steps of hardly more than one: a client waits for none of the others."""
    scripted = Scripted("a" * 40)
    scripted.gate.clear()
    with live(served(scripted), rows=8) as running:
        worker = running.service.workers["tiny"]
        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(running.complete, prompt="x", max_tokens=40)
            until(lambda: worker.running == 1)
            others = [pool.submit(running.complete, prompt="x", max_tokens=40) for _ in range(7)]
            until(lambda: worker.waiting == 7)
            scripted.gate.set()
            assert {answer.result()["choices"][0]["text"] for answer in (first, *others)} == {"a" * 40}
        assert worker.load.steps <= 40 + 2


class Breaks(Scripted):
    """Fails where a row is taken out, as a decoder does that has no memory left."""

    fails_at_select = False

    def select(self, rows):
        if self.fails_at_select:
            self.fails_at_select = False
            raise MemoryError("secret words of a prompt")
        super().select(rows)


def test_a_model_that_fails_where_a_text_is_taken_out_hangs_nobody(caplog):
    scripted = Breaks("a" * 4000)
    scripted.gate.clear()
    with live(served(scripted), rows=4) as running, caplog.at_level("ERROR", logger="prospero"):
        worker = running.service.workers["tiny"]
        host, port = running.url.removeprefix("http://").split(":")
        with ThreadPoolExecutor(1) as pool:
            staying = pool.submit(running.post, "/v1/completions", prompt="x", max_tokens=50)
            until(lambda: worker.running == 1)
            body = b'{"prompt": "y", "max_tokens": 4000}'
            with socket.create_connection((host, int(port)), timeout=20) as leaving:
                head = f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
                leaving.sendall(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
                until(lambda: worker.waiting == 1)
                scripted.fails_at_select = True
                scripted.gate.set()
                until(lambda: worker.running == 2 or not scripted.fails_at_select)
            answer = staying.result(timeout=25)
        assert answer.status_code in (200, 500) and "secret" not in answer.text and "secret" not in caplog.text
        until(lambda: at_rest(running))
        assert running.complete(prompt="x", max_tokens=2)["choices"][0]["text"] == "aa"


def test_a_model_that_never_recovers_is_said_to_have_failed_and_hangs_nobody(caplog):
    class Broken(Scripted):
        def step(self, tokens):
            raise MemoryError("secret words of a prompt")

        def select(self, rows):
            if self.steps >= 0 and self.places:
                raise MemoryError("secret words of a prompt")

    with live(served(Broken("a" * 40)), served(Scripted("yes"), "other")) as running:
        answer = running.post("/v1/completions", model="tiny", prompt="x")
        assert answer.status_code == 500 and "secret" not in answer.text
        until(lambda: HTTP.get(f"{running.url}/health").status_code == 503)
        assert HTTP.get(f"{running.url}/health").json() == {"status": "failed", "models": ["tiny"]}
        assert running.post("/v1/completions", model="tiny", prompt="x").status_code == 500
        assert running.complete(model="other", prompt="x")["choices"][0]["text"] == "yes"
    assert "secret" not in caplog.text and "its thread has ended: MemoryError at" in caplog.text


@pytest.mark.parametrize("name", ["a run's <folder>", 'say "x" & y', "ünï code", "a/b", "50%"])
def test_a_model_is_known_by_any_name(name):
    with live(served(Scripted("yes"), name)) as running:
        assert [one["id"] for one in HTTP.get(f"{running.url}/v1/models").json()["data"]] == [name]
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
            assert client.models.retrieve(name).id == name
            found = client.completions.create(model=name, prompt="x")
            assert found.model == name and found.choices[0].text == "yes"
        text = HTTP.get(f"{running.url}/metrics").text
        label = name.replace("\\", "\\\\").replace('"', '\\"')
        assert f'prospero_rows_running{{model="{label}"}} 0' in text


def test_a_client_that_does_not_read_holds_up_nobody():
    """Its pieces pile up to its own max_tokens at most; the others' answers come, and its rows end with it."""
    with live(served(Scripted("a" * 3000)), rows=4) as running:
        worker = running.service.workers["tiny"]
        host, port = running.url.removeprefix("http://").split(":")
        body = b'{"prompt": "x", "max_tokens": 3000, "stream": true, "logprobs": 5}'
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            slow.sendall(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
            until(lambda: worker.running == 1)
            for _ in range(5):
                assert running.complete(prompt="x", max_tokens=3)["choices"][0]["text"] == "aaa"
        until(lambda: at_rest(running))


def test_waiting_clients_are_answered_in_their_turn_and_too_many_are_told():
    scripted = Scripted("ab")
    scripted.gate.clear()
    with live(served(scripted), limits=LimitsConfig(waiting=10), rows=1) as running:
        worker = running.service.workers["tiny"]
        with ThreadPoolExecutor(20) as pool:
            first = pool.submit(running.post, "/v1/completions", prompt="x")
            until(lambda: worker.running == 1)
            answers = [pool.submit(running.post, "/v1/completions", prompt="x") for _ in range(15)]
            until(lambda: sum(answer.done() for answer in answers) == 5)
            scripted.gate.set()
            codes = Counter(answer.result().status_code for answer in (first, *answers))
        assert codes == {200: 11, 503: 5}
        refused = next(answer.result() for answer in answers if answer.result().status_code == 503)
        assert refused.json()["error"]["type"] != "invalid_request_error"
    assert threading.active_count() < 50
