"""What a run remembers: counted once a step, and the same after a checkpoint."""

from prospero.training.state import RunState
from tests.objective.fakes import tiny_batch


def test_a_step_counts_the_whole_global_batch():
    state, batch = RunState(), tiny_batch(batch_size=4, length=6)
    state.end_step(1, batch)
    state.end_step(2, batch)
    assert (state.step, state.sequences, state.step_sequences, state.tokens) == (2, 8, 4, 48)


def test_what_is_saved_comes_back_and_reasons_to_end_do_not():
    state = RunState(
        seconds=3.0, metrics={"val/loss": 1.5}, validation_pending=True, stop_reason="SIGTERM", exit_code=143
    )
    state.end_step(7, tiny_batch())
    other = RunState()
    other.restore(state.plain())
    assert other.plain() == state.plain() and other.metrics is not state.metrics
    assert other.stop_reason is None and other.exit_code == 0


def test_pauses_add_up(monkeypatch):
    clock = iter([10.0, 12.5, 20.0, 21.0])
    monkeypatch.setattr("prospero.training.state.time.perf_counter", lambda: next(clock))
    state = RunState()
    for _ in range(2):
        with state.pause():
            pass
    assert state.paused_seconds == 3.5
