"""The study's file on a disk that is full for a moment."""

import errno

import pytest

optuna = pytest.importorskip("optuna")

from prospero.sweeps import journal as journal_module  # noqa: E402
from prospero.sweeps.journal import PatientJournal  # noqa: E402


class FullAtTimes(PatientJournal):
    """Has room for half of what is written, so many times, and then for all of it."""

    refusals = 0

    def write(self, content: bytes) -> None:
        if self.refusals:
            self.refusals -= 1
            super().write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(content)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(journal_module, "POLL_SECONDS", 0.0)


def study_on(backend):
    return optuna.create_study(storage=optuna.storages.JournalStorage(backend), study_name="s", load_if_exists=True)


def test_a_change_that_finds_no_room_waits_and_no_half_line_stays(tmp_path, capfd):
    path = tmp_path / "study.journal"
    backend = FullAtTimes(path)
    study = study_on(backend)
    backend.refusals = 3
    study.tell(study.ask(), 0.5)
    assert capfd.readouterr().out.count("is full; the study waits for room") == 1
    assert [trial.value for trial in study_on(PatientJournal(path)).trials] == [0.5]
    assert not list(tmp_path.glob("*.lock"))


def test_with_no_room_for_long_the_error_is_raised_and_the_study_stays_readable(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "PATIENCE_SECONDS", -1.0)
    path = tmp_path / "study.journal"
    backend = FullAtTimes(path)
    study = study_on(backend)
    backend.refusals = 1
    with pytest.raises(OSError, match="No space left"):
        study.ask()
    assert len(study_on(PatientJournal(path)).trials) == 0
