"""Sharing items among processes, and going on with those that are missing."""

import pytest

from prospero.evaluation.run_tasks import Share, blocks, measure_all, measured, missing_items
from prospero.evaluation.samples_file import SamplesWriter, bring_together, read_samples
from prospero.runs.folder import EvaluationFolder
from tests.evaluation.fakes import NOBODY, Halves


def run(folder, tasks, *, rank=0, world_size=1):
    found = read_samples(folder)
    done = {task.name: [line.outcome.item for line in found if line.task == task.name] for task in tasks}
    return measure_all(
        tasks,
        NOBODY,
        {task.name: missing_items(task, done[task.name]) for task in tasks},
        share=Share(rank=rank, world_size=world_size),
        made_with={task.name: "mark" for task in tasks},
        open_writer=lambda: SamplesWriter(folder.share(rank)),
    )


def together(folder, tasks):
    bring_together(folder, read_samples(folder), [task.name for task in tasks])
    return folder.samples.read_bytes()


def test_neighbours_are_worked_on_together_whatever_is_done():
    assert blocks(range(10), 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert blocks([1, 3, 4, 9], 4) == [[1, 3], [4], [9]]


def test_two_processes_leave_the_bytes_of_one(tmp_path):
    tasks = [Halves(), Halves("more", 5)]
    alone, shared = EvaluationFolder(tmp_path / "a"), EvaluationFolder(tmp_path / "b")
    for folder in (alone, shared):
        folder.path.mkdir()
    assert list(run(alone, tasks)) == ["halves", "more"]
    assert tasks[0].asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    first, second = ([Halves(), Halves("more", 5)] for _ in range(2))
    run(shared, first, rank=0, world_size=2)
    missing = {"halves": list(range(10)), "more": list(range(5))}
    measure_all(
        second,
        NOBODY,
        missing,
        share=Share(rank=1, world_size=2),
        made_with={"halves": "mark", "more": "mark"},
        open_writer=lambda: SamplesWriter(shared.share(1)),
    )
    assert [one.asked for one in first] == [[[0, 1, 2, 3], [8, 9]], [[0, 1, 2, 3]]]
    assert [one.asked for one in second] == [[[4, 5, 6, 7]], [[4]]]
    assert together(shared, tasks) == together(alone, tasks)


def test_a_broken_off_job_goes_on_and_does_nothing_twice(tmp_path):
    whole, broken = EvaluationFolder(tmp_path / "a"), EvaluationFolder(tmp_path / "b")
    for folder in (whole, broken):
        folder.path.mkdir()
    run(whole, [Halves()])
    with pytest.raises(KeyboardInterrupt):
        run(broken, [Halves(worse_at=9)])
    assert [line.outcome.item for line in read_samples(broken)] == list(range(8))
    with open(broken.samples, "ab") as file:
        file.write(whole.samples.read_bytes().splitlines()[8][:30])  # what a kill leaves of a line
    bring_together(broken, read_samples(broken), ["halves"])
    task = Halves()
    run(broken, [task])
    assert task.asked == [[8, 9]]
    assert together(broken, [task]) == together(whole, [task])
    again = Halves()
    run(broken, [again])
    assert again.asked == []


def test_the_numbers_are_those_of_all_items(tmp_path):
    folder, task = EvaluationFolder(tmp_path), Halves()
    run(folder, [task])
    found = measured(task, read_samples(folder))
    assert found.values() == {"halves/half": 2.25, "halves/whole": 4.5}
    with pytest.raises(RuntimeError, match="9 of 10 items have a line"):
        measured(task, read_samples(folder)[1:])


def test_a_task_that_measures_other_items_than_asked_is_found_out(tmp_path):
    class Wrong(Halves):
        def outcomes(self, subject, items):
            yield from super().outcomes(subject, [item + 1 for item in items])

    with pytest.raises(RuntimeError, match=r"asked for the items \[0, 1, 2, 3\] and measured others"):
        run(EvaluationFolder(tmp_path), [Wrong()])
