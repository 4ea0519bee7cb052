"""Tasks inside training over several processes: the numbers of one, and as many calls of the model on every rank."""

import json
from pathlib import Path

import pytest

from tests.ranks import run_ranks
from tests.training.evaluation_processes import ITEMS, train

pytestmark = pytest.mark.processes

TWO = ["ddp", "fsdp", "tensor_parallel"]
TASK = ("val/next_number/right", "val/next_number/nats")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Case -> what each rank found; the cases of one process are run here."""
    folder = tmp_path_factory.mktemp("evaluation")
    cases = [case for name in TWO for case in (name, f"{name}+still")]
    run_ranks(Path(__file__).with_name("evaluation_processes.py"), str(folder), *cases)
    found = {case: [json.loads((folder / f"{case}_{rank}.json").read_text()) for rank in (0, 1)] for case in cases}
    alone = {case: [json.loads(json.dumps(train(folder, case)))] for case in ("one", "one+still")}
    return found | alone


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_the_same_weights_give_the_same_numbers_bit_for_bit(name, results):
    ours, theirs = results[f"{name}+still"][0]["series"], results["one+still"][0]["series"]
    for number in TASK:
        assert len(theirs[number]) == 2 and ours[number] == theirs[number]


@pytest.mark.parametrize("name", TWO)
def test_a_run_is_measured_as_in_one_process(name, results):
    ours, theirs = results[name][0]["series"], results["one"][0]["series"]
    assert [step for step, _ in theirs[TASK[1]]] == [3, 6] and theirs[TASK[1]][1][1] < theirs[TASK[1]][0][1]
    assert ours[TASK[0]] == theirs[TASK[0]]
    assert ours[TASK[1]] == [[step, pytest.approx(value, rel=1e-4)] for step, value in theirs[TASK[1]]]


@pytest.mark.parametrize("name", TWO)
def test_all_ranks_have_the_same_numbers_and_stop_by_them_together(name, results):
    first, second = results[name]
    assert first["numbers"] == second["numbers"] and set(first["numbers"]) == set(TASK)
    assert first["step"] == second["step"] == results["one"][0]["step"] == 6


def test_copies_share_the_items_and_parts_of_a_model_make_the_same_calls(results):
    shares = [found["asked"] for found in results["ddp"]]
    assert shares == [[*range(0, ITEMS, 2)] * 2, [*range(1, ITEMS, 2)] * 2]
    for name in ("fsdp", "tensor_parallel"):
        assert [found["asked"] for found in results[name]] == [[*range(ITEMS)] * 2] * 2
