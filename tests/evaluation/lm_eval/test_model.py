"""The harness's questions to one and the same GPT-2: our answers beside those of its own class for Hugging Face's."""

from pathlib import Path

import pytest
import torch
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from prospero.errors import ConfigError
from prospero.evaluation.lm_eval.model import HarnessModel, sampling_of, windows
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.generation.packed import PackedDecoder
from prospero.interop.import_folder import load_foreign
from tests.interop.foreign import SEQ_LEN, saved

pytestmark = pytest.mark.heavy

CONTEXT = "The import statement combines two operations; it searches."


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("gpt2")
    saved("gpt2", place)
    return place


@pytest.fixture(scope="module")
def theirs(folder) -> HFLM:
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )
    model = transformers.GPT2LMHeadModel.from_pretrained(folder)
    model.generation_config.pad_token_id = 0
    model.generation_config.suppress_tokens = list(range(280, 300))  # the tokenizer has no such ids
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2, device="cpu", max_length=SEQ_LEN)


@pytest.fixture(params=[ModelDecoder, PackedDecoder])
def ours(request, folder) -> HarnessModel:
    model, tokenizer, _ = load_foreign(folder)
    assert tokenizer is not None
    return HarnessModel(Subject(decoder=request.param(model), tokenizer=tokenizer, name="gpt2", rows=3), seed=1)


def asked(kind: str, *arguments: tuple) -> list[Instance]:
    return [
        Instance(request_type=kind, doc={}, arguments=given, idx=0, metadata=("task", number, 1))  # type: ignore[arg-type]
        for number, given in enumerate(arguments)
    ]


def test_loglikelihoods(theirs, ours):
    """Of short and empty contexts, of one that ends in a space, of one far beyond the window, of equal ones."""
    requests = asked(
        "loglikelihood",
        (CONTEXT, " two"),
        (CONTEXT, " operations it"),
        ("", "def add(a, b)"),
        ("The import ", "statement"),
        (CONTEXT * 20, " return a + b"),
        ("a", "b"),
    )
    expected, found = theirs.loglikelihood(requests, disable_tqdm=True), ours.loglikelihood(requests, disable_tqdm=True)
    for (sums, greedy), (other, others) in zip(found, expected):
        assert sums == pytest.approx(other, abs=1e-4)
        assert greedy == others
    assert not all(greedy for _, greedy in found)


def test_what_is_likeliest_at_every_step_is_greedy(theirs, ours):
    context, written = ours.tok_encode(CONTEXT), []
    for _ in range(6):
        written.append(int(theirs.model(torch.tensor([context + written])).logits[0, -1].argmax()))
    requests = [(("", ""), context, ids) for ids in (written, [*written[:5], written[5] ^ 1])]
    for model in (ours, theirs):
        assert [greedy for _, greedy in model._loglikelihood_tokens(requests, disable_tqdm=True)] == [True, False]


def test_rolling_loglikelihoods(theirs, ours):
    """Of a word, of a text that fills the window to the token, of one of several windows."""
    one = "def add(a, b):\n    return a + b\n"
    ids = ours.tok_encode(one * 30)[:SEQ_LEN]
    requests = asked("loglikelihood_rolling", ("x",), (ours.subject.tokenizer.decode(ids),), (one * 30,))
    expected = theirs.loglikelihood_rolling(requests, disable_tqdm=True)
    assert ours.loglikelihood_rolling(requests) == pytest.approx(expected, abs=1e-3, rel=1e-6)


def test_texts_are_continued_alike(theirs, ours):
    """Greedily, up to the first stop text, and with a context that has to lose its beginning."""
    settings = {"do_sample": False, "until": ["\n\n"], "max_gen_toks": 8}
    requests = asked("generate_until", (CONTEXT, settings), ("x", settings), (CONTEXT * 20, settings))
    expected = theirs.generate_until(requests, disable_tqdm=True)
    assert ours.generate_until(requests) == expected
    stop = expected[0][2:4]
    requests = asked("generate_until", (CONTEXT, {**settings, "until": stop}))
    assert ours.generate_until(requests) == theirs.generate_until(requests, disable_tqdm=True) != expected[:1]


def test_an_answer_longer_than_the_window_is_weighed_in_windows(ours):
    answer = ours.subject.tokenizer.decode(ours.tok_encode(CONTEXT * 20)[: SEQ_LEN + 9])
    (sums, greedy), (rolling,) = (
        ours.loglikelihood(asked("loglikelihood", ("", answer)), disable_tqdm=True)[0],
        ours.loglikelihood_rolling(asked("loglikelihood_rolling", (answer,))),
    )
    assert sums == pytest.approx(rolling, rel=1e-6)
    assert not greedy


def test_windows_are_those_of_the_harness():
    ids = list(range(1, 24))
    for window in (1, 4, 5, 22, 23, 24):
        pairs = map(make_disjoint_window, get_rolling_token_windows(ids, 0, window, 1))
        assert list(windows([0], ids, window)) == list(pairs)
    assert list(windows([0], ids, None)) == [([0], ids)]
    assert list(windows([7, 8, 9], [1, 2], 3)) == [([8, 9], [1, 2])]


def test_settings_of_a_task_are_followed_or_refused():
    greedy = sampling_of({"until": "\n", "do_sample": False, "temperature": 0.7, "max_new_tokens": 5}, 3)
    assert (greedy.temperature, greedy.stop, greedy.max_new_tokens, greedy.seed) == (0.0, ["\n"], 5, 3)
    drawn = sampling_of({"until": ["a", ""], "do_sample": True, "top_k": 7}, 1)
    assert (drawn.temperature, drawn.top_k, drawn.top_p, drawn.stop, drawn.max_new_tokens) == (1.0, 7, 1.0, ["a"], 256)
    assert sampling_of({"temperature": 0.5}, 1).temperature == 0.5
    with pytest.raises(ConfigError, match="hold 'typical_p'; known are until, max_gen_toks"):
        sampling_of({"typical_p": 0.2}, 1)
    with pytest.raises(ConfigError, match="ask for num_beams=4; give num_beams: 1"):
        sampling_of({"num_beams": 4}, 1)


def test_draws_differ_between_repeats_and_not_between_batches(ours):
    wishes = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 12}
    requests = asked("generate_until", (CONTEXT, wishes), ("x", wishes))
    repeated = [request for request in requests for _ in range(3)]
    texts = ours.generate_until(repeated)
    assert len(set(texts)) == 6
    alone = HarnessModel(
        Subject(decoder=ours.subject.decoder, tokenizer=ours.subject.tokenizer, name="gpt2", rows=1), seed=1
    )
    assert alone.generate_until(repeated[3:]) == texts[3:]
