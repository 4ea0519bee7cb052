"""Two metrics.csv, cell by cell."""

from prospero.runs.metrics import is_clock
from prospero.runs.repetition.digits import Cell, Digits, WeightsCompared, compare_rows

ROWS = [
    {"step": "1", "tokens": "128", "train/loss": "5.5", "train/lr": "0.1", "train/seconds": "1.5"},
    {"step": "2", "tokens": "256", "train/loss": "5.25", "train/lr": "0.1", "train/seconds": "2.5"},
]


def test_clocks_are_no_digits():
    clocks = ["train/seconds", "train/step_seconds", "train/tokens_per_second", "train/mfu", "train/data_wait_ratio"]
    clocks += ["train/memory_bytes", "train/checkpoint_stall_seconds", "train/checkpoint_bytes"]
    assert all(map(is_clock, clocks))
    assert not any(map(is_clock, ["train/loss", "tokens", "val/bits_per_byte", "train/lr", "val/choice/accuracy"]))


def test_the_same_rows_at_another_speed_are_equal():
    slower = [{**row, "train/seconds": "9.0", "train/mfu": "0.1"} for row in ROWS]
    assert compare_rows(ROWS, slower) == Digits(rows=2, cells=6, last_step=2, first=None, differing=0)


def test_the_last_digit_of_one_number_is_found_and_named():
    other = [ROWS[0], {**ROWS[1], "train/loss": "5.250000000000001", "train/lr": "0.2"}]
    found = compare_rows(ROWS, other)
    assert found.first == Cell(2, "train/loss", "5.25", "5.250000000000001") and found.differing == 2
    assert str(found.first) == "step 2, train/loss: 5.25 then, 5.250000000000001 now (by 8.9e-16)"


def test_a_row_or_a_column_that_only_one_has_differs():
    more = [*ROWS, {"step": "3", "tokens": "384"}]
    assert compare_rows(ROWS, more).first == Cell(3, "tokens", None, "384")
    assert compare_rows(more, ROWS).first == Cell(3, "tokens", "384", None)
    assert compare_rows(ROWS, [{**ROWS[0], "val/loss": "5"}, ROWS[1]]).first == Cell(1, "val/loss", None, "5")
    assert str(Cell(3, "tokens", "384", None)) == "step 3, tokens: 384 then, nothing now"


def test_a_repetition_that_ends_early_validates_where_the_other_went_on():
    ended = [ROWS[0], {**ROWS[1], "val/loss": "5"}]
    assert compare_rows([*ROWS, {"step": "3"}], ended, until=2).first is None
    assert compare_rows([*ROWS, {"step": "3"}], [{**ROWS[0], "val/loss": "5"}, ROWS[1]], until=2).first is not None


def test_weights_say_where_they_differ():
    found = WeightsCompared("weights of model/", 3, "ab" * 32, "cd" * 32, ["head.weight"], 0.25)
    assert not found.equal and str(found).startswith(
        "weights of model/: 1 of 3 tensors differ, by up to 0.25 (first head.weight); sha256 abababababab then"
    )
