"""What ends a run from outside is one line that says what to do; every other error stays itself."""

import errno
from pathlib import Path

import pytest

from prospero import compose
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import RunFolder
from prospero.training.bounds import check_micro_batch, limit_of_steps
from prospero.training.failures import ProcessLost, worded

RUN = RunFolder(Path("runs/a"))
WORDS = ["data=files", "data.path=text.txt", "model=tiny", "seq_len=64", "global_batch_size=8"]


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(errno.ENOSPC, "No space left"), DataError, "the disk that holds runs/a is full; free some space"),
        (MemoryError(), ConfigError, r"does not fit into memory \(out of memory\); choose a smaller micro_batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), ConfigError, "does not fit into memory"),
        (
            RuntimeError("[gloo/pair.cc:537] Connection closed by peer"),
            ProcessLost,
            "another process of the run was lost",
        ),
    ],
)
def test_what_happens_outside_is_one_line(error, kind, said):
    found = worded(error, RUN, 2)
    assert isinstance(found, kind) and "\n" not in str(found)
    with pytest.raises(kind, match=said):
        raise found


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.EACCES, "denied"), ConfigError("x")])
def test_other_errors_stay(error):
    assert worded(error, RUN, 2) is error
    lost = RuntimeError("Connection reset by peer")
    assert worded(lost, RUN, 1) is lost  # of one process, it is something else


@pytest.mark.parametrize(
    "word",
    ["seed=-1", "seed=4294967296", "max_minutes=nan", "max_minutes=inf", "callbacks.checkpoints.every_minutes=nan",
     "trainer.num_threads=100000", "callbacks.early_stopping.min_delta=nan"],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_at_once(word):
    with pytest.raises(ConfigError, match=word.partition("=")[0]):
        compose("train", [*WORDS, "callbacks=[checkpoints,early_stopping]", word])


def test_a_micro_batch_beyond_the_memory_is_refused():
    config = compose("train", [*WORDS, "global_batch_size=1000000000"])
    with pytest.raises(ConfigError, match=r"global_batch_size=1000000000 sequences .* need 1,024 GB"):
        check_micro_batch(config, 10**9)
    check_micro_batch(config, 8)


@pytest.mark.heavy
def test_the_limit_that_ends_a_run_is_the_one_that_was_given():
    def limit(*words: str) -> str:
        return limit_of_steps(compose("train", [*WORDS, *words]), 1e6)

    assert limit("max_steps=3") == "max_steps"
    said = "max_tokens: 1,000 tokens are 2 steps of 512"
    assert limit("max_tokens=1000") == said
    assert limit("max_tokens=1000", "max_steps=9") == said
    assert limit("max_tokens=9999", "max_steps=9") == "max_steps"
    assert limit("max_tokens=1000", "max_flops=1e12") == said
    operations = "max_flops: 1e+09 operations are 2 steps of 5.12e+08"
    assert limit("max_flops=1e9") == operations == limit("max_flops=1e9", "max_tokens=9999", "max_steps=9")
