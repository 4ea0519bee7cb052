"""The running batch: every model preset, rows that leave and join, and what the server stands on."""

import pytest
import torch

from prospero.errors import ConfigError
from prospero.generation import engine as engine_module
from prospero.generation.decoder import ModelDecoder
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig, choose
from prospero.generation.settings import Context
from prospero.model.base import LanguageModel
from tests.generation.presets import TOKENIZER, presets, tiny

GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=9)


def reference(model: LanguageModel, prompt: str, count: int) -> list[int]:
    """Greedy ids by whole forward passes."""
    ids = TOKENIZER.encode(prompt)
    for _ in range(count):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    found = ids[-count:]
    return found[: found.index(TOKENIZER.eot_id)] if TOKENIZER.eot_id in found else found


def run(engine: Engine) -> dict[int, list[int]]:
    """Return the ids of every row that ends from now on."""
    ended = {}
    while not engine.idle:
        ended |= {event.row: event.completion.ids for event in engine.step() if event.completion is not None}
    return ended


@pytest.mark.parametrize("preset", presets())
def test_cached_rows_that_join_and_leave_equal_the_full_forward(preset):
    model = tiny(preset)
    prompts = ["The import", "x", "def f(a):", "yes and no", "0"]
    expected = [reference(model, prompt, 9) for prompt in prompts]

    alone = Engine(ModelDecoder(model), TOKENIZER, max_rows=1)
    alone.add(prompts[0], GREEDY)
    assert run(alone) == {0: expected[0]}

    engine = Engine(ModelDecoder(model), TOKENIZER, max_rows=3)  # ragged, and two wait for room
    for prompt in prompts[:2]:
        engine.add(prompt, GREEDY)
    early = [event for _ in range(4) for event in engine.step()]
    for prompt in prompts[2:]:  # these join rows that are four tokens further
        engine.add(prompt, GREEDY)
    early += engine.step()
    ended = {event.row: event.completion.ids for event in early if event.completion is not None}
    gone = engine.remove(1)
    assert (gone.ids if gone is not None else ended.pop(1)) == expected[1][:5]
    assert ended | run(engine) == {index: expected[index] for index in (0, 2, 3, 4)}
    assert engine.decoder.rows == 0


@pytest.fixture
def engine():
    return Engine(ModelDecoder(tiny("tiny")), TOKENIZER, max_rows=2)


def test_each_row_has_its_own_settings_and_length(engine):
    lively = SamplingConfig(temperature=1.0, max_new_tokens=4, seed=5)
    alone = Engine(ModelDecoder(engine.decoder.model), TOKENIZER)
    alone.add("b", lively, row=7)
    expected = run(alone)[0]
    engine.add("a", GREEDY)
    engine.add("b", lively, row=7)
    assert engine.step() and engine.decoder.rows == 2
    ended = run(engine)
    assert ended[1] == expected and ended[0] == reference(engine.decoder.model, "a", 9)


def test_events_hold_the_text_piece_by_piece(engine):
    handle = engine.add("a", GREEDY)
    events = []
    while not engine.idle:
        events += engine.step()
    assert [event.completion is None for event in events] == [True] * (len(events) - 1) + [False]
    assert "".join(event.text for event in events) == events[-1].completion.text
    assert engine.step() == [] and engine.remove(handle) is None


def test_who_waits_can_be_removed(engine):
    handles = [engine.add("a", GREEDY) for _ in range(4)]
    engine.step()
    assert engine.remove(handles[3]).ids == []
    assert set(run(engine)) == set(handles[:3])


def test_equal_prompts_are_read_once(engine, monkeypatch):
    read = []
    add = engine.decoder.add
    monkeypatch.setattr(
        engine.decoder, "add", lambda prompts, copies: read.append((prompts, copies)) or add(prompts, copies)
    )
    engine.add("same", GREEDY)
    engine.add("same", GREEDY)
    ended = run(engine)
    assert read == [([TOKENIZER.encode("same")], [0, 0])]
    assert ended[0] == ended[1] == reference(engine.decoder.model, "same", 9)


def test_what_is_refused(engine):
    with pytest.raises(
        ConfigError, match=r"the prompt has 40 tokens and the model reads 32 at once; shorten it by 8, or"
    ):
        engine.add("x" * 40, GREEDY)
    with pytest.raises(ConfigError, match="beams=2 is a search of its own"):
        engine.add("x", SamplingConfig(temperature=0.0, beams=2))
    with pytest.raises(ValueError, match="at least one token"):
        engine.add([], GREEDY)
    assert engine.idle
    sliding = Engine(engine.decoder, TOKENIZER, context=Context.slide)
    sliding.add("y" + "x" * 32, GREEDY)
    engine.add("x" * 32, GREEDY)
    assert run(sliding) == run(engine)


def test_a_row_that_asks_is_told_its_tokens_and_the_most_probable_ones(engine):
    model = engine.decoder.model
    asking = engine.add("ab", SamplingConfig(temperature=1.0, seed=3, max_new_tokens=5), top=3)
    silent = engine.add("ab", SamplingConfig(temperature=1.0, seed=3, max_new_tokens=5))
    events = []
    while not engine.idle:
        events += engine.step()
    assert all(event.likely is None for event in events if event.row == silent)
    told = [event.likely for event in events if event.row == asking]
    ended = {event.row: event.completion for event in events if event.completion is not None}
    assert [likely.id for likely in told] == ended[asking].ids == ended[silent].ids
    ids = TOKENIZER.encode("ab")
    for likely in told:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        best = logits[: TOKENIZER.vocab_size].topk(3)
        assert [id_ for id_, _ in likely.top] == best.indices.tolist()
        assert [value for _, value in likely.top] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert likely.log_probability == pytest.approx(float(logits[likely.id]), abs=1e-5)
        ids.append(likely.id)
    assert told[0].start == 0 and (engine.running, engine.waiting) == (0, 0)


def test_a_row_may_have_ends_of_its_own(engine):
    ids = reference(engine.decoder.model, "a", 9)
    handles = [engine.add("a", GREEDY, ends=[ids[2]]), engine.add("a", GREEDY)]
    ended = run(engine)
    assert ended == {handles[0]: ids[: ids.index(ids[2])], handles[1]: ids}


def test_rows_of_equal_rules_are_drawn_for_together(engine, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        engine_module, "choose", lambda logits, *rest: drawn.append(len(logits)) or choose(logits, *rest)
    )
    engine.add("a", SamplingConfig(seed=1, max_new_tokens=2, stop=["x"]))
    engine.add("b", SamplingConfig(seed=2, max_new_tokens=3))
    engine.step()
    assert drawn == [2]
    engine.remove(1)
    engine.add("b", SamplingConfig(top_k=2, max_new_tokens=3))
    engine.step()
    assert drawn == [2, 1, 1]
