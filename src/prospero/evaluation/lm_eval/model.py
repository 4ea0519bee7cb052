"""What the harness asks of a model, answered by a decoder: log-likelihoods, of whole texts too, and continuations.

Conventions are those of the harness's own class for Hugging Face's models (`HFLM`), so that numbers can be laid beside
published ones: an answer's tokens are what the whole text's tokens have after those of its context, a context that does
not fit loses its beginning, and a long text is read in windows of which each token is predicted once.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from prospero.errors import ConfigError
from prospero.evaluation.measurement import Subject
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context
from prospero.generation.weighing import weigh

MAX_NEW_TOKENS = 256
"""The harness's own, for a task that names no number."""
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names under which task files give the number of new tokens; the first that is there counts."""
SAME_NAME = ("top_p", "top_k", "min_p", "repetition_penalty", "length_penalty")
RENAMED = {"num_beams": "beams", "no_repeat_ngram_size": "no_repeat_ngram"}


class HarnessModel(TemplateLM):
    """A subject as the harness's `LM`."""

    def __init__(self, subject: Subject, seed: int) -> None:
        super().__init__()
        self.subject, self.seed = subject, seed

    @property
    def eot_token_id(self) -> int:
        """What separates documents."""
        return self.subject.tokenizer.eot_id

    @property
    def prefix_token_id(self) -> int:
        """What a text without a context is read after."""
        begin = self.subject.tokenizer.bos_id
        return self.eot_token_id if begin is None else begin

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Return the ids of a text; the tokenizer's BOS before it, where it has one, unless told otherwise."""
        begin, ids = self.subject.tokenizer.bos_id, self.subject.tokenizer.encode(string)
        return ids if begin is None or add_special_tokens is False else [begin, *ids]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of each text, read as a document."""
        texts = [self.tok_encode(request.args[0], add_special_tokens=False) for request in requests]
        return [sums for sums, _ in self._weigh([([self.prefix_token_id], ids) for ids in texts])]

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        return self._weigh([(context, continuation) for _, context, continuation in requests])

    @torch.inference_mode()
    def _weigh(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        """Return (log-likelihood, whether greedy decoding writes it) of each continuation after its context."""
        decoder, rows = self.subject.decoder, self.subject.rows
        parts = [
            (number, *part)
            for number, (context, continuation) in enumerate(pairs)
            for part in windows(context, continuation, decoder.window)
        ]
        parts.sort(key=lambda part: -len(part[1]) - len(part[2]))  # rows of like length stand together
        sums, greedy = [0.0] * len(pairs), [True] * len(pairs)
        with decoder.session():
            for start in range(0, len(parts), rows):
                batch = parts[start : start + rows]
                weighed = weigh(
                    decoder,
                    [context + continuation for _, context, continuation in batch],
                    [len(continuation) for _, _, continuation in batch],
                )
                for (number, _, _), found in zip(batch, weighed):
                    sums[number] += float(found.log_probabilities.double().sum())
                    greedy[number] &= bool(found.greedy.all())
        return list(zip(sums, greedy))

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return the continuation of each context; ConfigError for a setting of its task that is not known here."""
        decoder, tokenizer = self.subject.decoder, self.subject.tokenizer
        engine = Engine(decoder, tokenizer, max_rows=self.subject.rows, context=Context.slide)
        copies: Counter[tuple[int, int]] = Counter()
        settings: dict[str, SamplingConfig] = {}  # one object for all rows alike: they are drawn together
        numbers: dict[int, int] = {}
        texts = [""] * len(requests)
        with decoder.session():
            for number, request in enumerate(requests):
                context, wishes = list(request.args)
                sampling = settings.setdefault(repr(wishes), sampling_of(wishes, self.seed))
                place = (request.doc_id or 0, request.idx)
                ids = self._fitting(self.tok_encode(context) or [self.prefix_token_id], sampling.max_new_tokens)
                numbers[engine.add(ids, sampling, row=place[0], sample=copies[place])] = number
                copies[place] += 1
            while not engine.idle:
                for event in engine.step():
                    if event.completion is not None:
                        texts[numbers[event.row]] = event.completion.text
        return texts

    def _fitting(self, ids: list[int], new_tokens: int) -> list[int]:
        """Return the end of a context that leaves room for what is written, and at least half of a window."""
        window = self.subject.decoder.window
        return ids if window is None else ids[-max(1, window - new_tokens, window // 2) :]


def windows(context: list[int], continuation: list[int], window: int | None) -> Iterator[tuple[list[int], list[int]]]:
    """Yield (what is read before, what is predicted), each predicted once and with as much before it as fits."""
    if window is None:
        yield context, continuation
        return
    whole, begin = context + continuation, len(context)
    for start in range(begin, len(whole), window):
        stop = min(start + window, len(whole))
        yield whole[max(0, stop - window - 1) : start], whole[start:stop]


def sampling_of(wishes: dict[str, Any], seed: int) -> SamplingConfig:
    """Return `generation_kwargs` of a task as ours; ConfigError for what has no meaning here."""
    left = {name: value for name, value in wishes.items() if value is not None}
    lengths = [left.pop(name) for name in LENGTHS if name in left]
    until = left.pop("until", [])
    stop = [until] if isinstance(until, str) else list(until)
    temperature = float(left.pop("temperature", 0.0))
    if "do_sample" in left:
        draws = left.pop("do_sample")
        temperature = (temperature or 1.0) if draws else 0.0
    found = {name: left.pop(name) for name in SAME_NAME if name in left}
    found |= {ours: left.pop(theirs) for theirs, ours in RENAMED.items() if theirs in left}
    left.pop("use_cache", None)  # of Transformers; a cache is always used here
    if left:
        known = ", ".join(["until", *LENGTHS, "do_sample", "temperature", *SAME_NAME, *RENAMED])
        raise ConfigError(f"generation_kwargs of the task hold '{next(iter(left))}'; known are {known}")
    if found.get("beams", 1) > 1:
        raise ConfigError(f"generation_kwargs of the task ask for num_beams={found['beams']}; give num_beams: 1")
    choices: dict[str, Any] = {"top_p": 1.0} | found
    return SamplingConfig(
        **choices,
        temperature=temperature,
        max_new_tokens=int(lengths[0]) if lengths else MAX_NEW_TOKENS,
        stop=[text for text in stop if text],
        seed=seed,
    )
