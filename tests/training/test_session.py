"""A run that cannot be begun leaves nothing behind, and changes nothing of a run that is there."""

import pytest

from prospero import compose
from prospero.errors import ConfigError
from prospero.runs.folder import RunFolder
from prospero.training.assembly import assemble
from prospero.training.session import open_session

WORDS = ["data=files", "data.path=text.txt", "model=tiny", "trainer.accelerator=cpu", "trainer.precision=float32"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("text")
    return tmp_path


def session_of(*words):
    with open_session(compose("train", [*WORDS, *words])) as session:
        return session


@pytest.mark.parametrize("resume", ["yes", "last", "elsewhere/step_00000001"])
def test_a_new_folder_goes_when_there_is_nothing_to_resume(place, resume):
    with pytest.raises(ConfigError, match=f"resume={resume}"):
        session_of("run_dir=new", f"resume={resume}")
    assert sorted(path.name for path in place.iterdir()) == ["text.txt"]


def test_a_refused_resume_leaves_the_record_of_the_run_as_it_was(place):
    folder = RunFolder(place / "a")
    folder.path.mkdir()
    folder.config.write_text("seed: 1")
    with pytest.raises(ConfigError, match=r"resume=best: .* holds no readable checkpoint; start with resume=auto"):
        session_of("run_dir=a", "resume=best")
    assert folder.config.read_text() == "seed: 1" and not folder.environment.exists() and not folder.lock.exists()


def test_a_mistake_before_the_first_step_leaves_nothing(place):
    with pytest.raises(ConfigError, match="impossible"), open_session(compose("train", [*WORDS, "run_dir=new"])):
        assert (place / "new" / "log.txt").exists()
        raise ConfigError("impossible")
    assert not (place / "new").exists()


@pytest.mark.parametrize("words", [[], ["run_dir=new/deep/er"]], ids=["named by its time", "named"])
def test_nor_the_folders_above_that_were_made_for_it(place, words):
    (place / "outputs").mkdir()
    with pytest.raises(ConfigError, match="impossible"), open_session(compose("train", [*WORDS, *words])):
        raise ConfigError("impossible")
    assert sorted(path.name for path in place.iterdir()) == ["outputs", "text.txt"]
    assert not any((place / "outputs").iterdir())


def test_a_number_that_no_metric_measures_is_refused_before_the_data_are_prepared(place):
    with (
        pytest.raises(ConfigError, match=r"monitor=val/los is not measured. Did you mean 'val/loss'\?"),
        open_session(compose("train", [*WORDS, "monitor=val/los"])) as session,
    ):
        assemble(session)
    assert sorted(path.name for path in place.iterdir()) == ["text.txt"]


def test_what_has_begun_stays_and_says_its_settings(place):
    with pytest.raises(ConfigError, match="later"), open_session(compose("train", [*WORDS, "run_dir=new"])) as session:
        session.begin()
        raise ConfigError("later")
    folder = RunFolder(place / "new")
    assert folder.holds_a_run and folder.environment.exists() and not folder.lock.exists()


def test_a_folder_that_holds_a_run_is_not_taken_for_another(place):
    (place / "a").mkdir()
    (place / "a" / "config.yaml").write_text("seed: 1")
    with pytest.raises(ConfigError, match="run_dir=a already holds a run; continue it with resume=auto"):
        session_of("run_dir=a")
