"""NEFTune in a run: its model has the noise, also when a run goes back and builds it again."""

import pytest

from prospero import compose
from prospero.training.assembly import assemble
from prospero.training.session import open_session

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(("words", "alpha"), [(["augmentation=neftune", "augmentation.alpha=3"], 3.0), ([], 0.0)])
def test_the_model_of_a_run_knows_the_noise_also_when_it_is_built_again(tmp_path, monkeypatch, words, alpha):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("one line of text\n" * 200)
    settings = ["data=files", "data.path=text.txt", "split=tail", "tokenizer=byte", "model=tiny", "seq_len=16"]
    config = compose("train", [*settings, "model.n_layers=1", "dedup=none", "callbacks=[]", "run_dir=out", *words])
    with open_session(config, None) as session:
        run = assemble(session)
        assert run.module.model.embedding_noise == alpha
        assert run.rebuilt(begins=True).module.model.embedding_noise == alpha
