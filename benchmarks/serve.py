"""Speed of the server: tokens a second of one client and of eight, and how soon the first token comes.

    python benchmarks/serve.py run=outputs/train/a            five rounds
    python benchmarks/serve.py run=last --rounds 3 --clients 8 --tokens 64

The server is a process of its own (`python serve.py`); the clients are threads of this one. In every round one client
and then all of them ask, each for one text of so many tokens, so that a busy machine slows all alike; so do, in turn,
the server's first token and that of `generate`'s stream in this process, over the same weights. Beside the clock stands
the server's own processor time for a token, which other programs hardly move.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psutil

from prospero.commands.opening import ModelPlace, OpenModel
from prospero.generation.generate import stream
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Precision

PROMPT = "def __init__(self, name):\n"
REST = 0.05
"""Seconds before each of two that take turns: threads of the one before spin for a while, on the cores of the next."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run=<what run= takes>")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--outputs-dir", default="outputs")
    arguments = parser.parse_args()
    run = arguments.run.removeprefix("run=")
    with (
        started(run, arguments.outputs_dir, arguments.clients) as (url, process),
        httpx.Client(base_url=url, timeout=600, trust_env=False) as client,
    ):
        throughput(client, process, arguments.clients, arguments.tokens, arguments.rounds)
        first_token(url, own_stream(run, arguments.outputs_dir), arguments.rounds)


@contextmanager
def started(run: str, outputs_dir: str, rows: int) -> Iterator[tuple[str, psutil.Process]]:
    """Start the server on a free port; give its address and its process, which ends with the block."""
    program = Path(__file__).parent.parent / "serve.py"
    words = [sys.executable, str(program), f"run={run}", f"outputs_dir={outputs_dir}", "port=0", f"rows={rows}"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"serving .* at (http\S+)", line):
                drain = ThreadPoolExecutor(1)
                drain.submit(lambda: [None for _ in process.stderr or ()])  # what it says more would fill the pipe
                yield found[1], psutil.Process(process.pid)
                break
        else:
            raise SystemExit("".join(said))
    finally:
        process.terminate()
        process.wait(60)


def throughput(client: httpx.Client, process: psutil.Process, clients: int, tokens: int, rounds: int) -> None:
    """Print the tokens a second of one client and of all, and the processor time of a token."""
    speeds: dict[int, list[float]] = {1: [], clients: []}
    costs: dict[int, list[float]] = {1: [], clients: []}
    with ThreadPoolExecutor(clients) as pool:
        for number in range(rounds + 1):
            for count in speeds:
                before, begun = cpu_seconds(process), time.perf_counter()
                written = sum(pool.map(lambda seed: written_tokens(client, tokens, seed), range(count)))
                seconds, spent = time.perf_counter() - begun, cpu_seconds(process) - before
                if number:  # the first round warms up
                    speeds[count].append(written / seconds)
                    costs[count].append(1000 * spent / written)
    for count, found in speeds.items():
        print(
            f"{count} client(s): {spread(found)} tokens/s, {spread(costs[count])} ms of processor a token", flush=True
        )
    ratios = [many / one for one, many in zip(*speeds.values())]
    print(f"{clients} clients are {spread(ratios, 2)} times as fast as one", flush=True)


def written_tokens(client: httpx.Client, tokens: int, seed: int) -> int:
    """Ask for a text and return how many tokens it has."""
    body = {"prompt": PROMPT, "max_tokens": tokens, "seed": seed, "temperature": 1.0}
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["usage"]["completion_tokens"]


def cpu_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process so far."""
    times = process.cpu_times()
    return times.user + times.system


def first_token(url: str, own: Callable[[int], float], rounds: int) -> None:
    """Print how soon the first piece of text comes from the server and from `generate`'s stream, in milliseconds."""
    served, direct, connection = [], [], HTTPConnection(url.removeprefix("http://"), timeout=600)
    for number in range(4 * rounds + 1):
        time.sleep(REST)
        first = served_first(connection, number)
        time.sleep(REST)
        pair = first, own(number)
        if number:
            served.append(1000 * pair[0])
            direct.append(1000 * pair[1])
    print(f"first text: served {spread(served)} ms, generate {spread(direct)} ms", flush=True)
    ratios = [one / other for one, other in zip(served, direct)]
    print(f"the server's is {spread(ratios, 2)} times generate's", flush=True)


def served_first(connection: HTTPConnection, seed: int) -> float:
    """Return the seconds from the request to the first piece of text, on a connection that is open already."""
    body = {"prompt": PROMPT, "max_tokens": 8, "seed": seed, "temperature": 1.0, "stream": True}
    begun = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
    answer, found = connection.getresponse(), None
    while line := answer.readline():
        if found is None and line.startswith(b"data: {") and any(c["text"] for c in json.loads(line[6:])["choices"]):
            found = time.perf_counter() - begun
    assert found is not None
    return found


def own_stream(run: str, outputs_dir: str) -> Callable[[int], float]:
    """Return what gives the seconds to the first piece of `generate`'s stream over the same model in this process."""
    model, tokenizer, description = ModelPlace.find(run, outputs_dir).load()
    assert tokenizer is not None
    decoder = OpenModel(model, tokenizer, description).decoder(Precision.float32, rows=1, outputs_dir=outputs_dir)

    def seconds(seed: int) -> float:
        sampling = SamplingConfig(max_new_tokens=8, seed=seed, temperature=1.0)
        begun = time.perf_counter()
        pieces = stream(decoder, tokenizer, PROMPT, sampling)
        next(piece for piece in pieces if piece)
        found = time.perf_counter() - begun
        for _ in pieces:
            pass
        return found

    return seconds


def spread(values: list[float], digits: int = 1) -> str:
    """Return minimum / median / maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


if __name__ == "__main__":
    main()
