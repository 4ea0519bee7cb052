"""A frozen teacher: no gradient, no dropout, its own document bounds, the student's precision, no padding."""

import pytest
import torch

from prospero.errors import DataError
from prospero.model.transformer import TransformerConfig
from prospero.training.distillation.frozen import FrozenTeacher, load_teacher
from tests.training.distillation.teachers import MODEL, SEQ_LEN, VOCAB, write_teacher


def batch(rows=2, length=8):
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(VOCAB, (rows, length), generator=generator)
    return {"input_ids": ids, "document_ids": (torch.arange(length) >= 5).int().expand(rows, length)}


def built(**settings):
    torch.manual_seed(2)
    return TransformerConfig(n_layers=1, d_model=16, n_heads=2, init_std=0.3, **settings).build(VOCAB, SEQ_LEN)


def logits(teacher, inputs):
    return teacher.logits(teacher.hidden(inputs).flatten(0, 1))


def test_it_says_what_the_model_says_and_has_no_gradient():
    model = built(dropout=0.5)
    teacher = FrozenTeacher(model.train(), VOCAB)
    found = logits(teacher, batch())
    assert torch.equal(found, model(batch()["input_ids"]).logits.flatten(0, 1)) and torch.equal(
        found, logits(teacher, batch())
    )
    assert not found.requires_grad and not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("reads", [False, True])
def test_it_is_told_of_documents_where_it_was_trained_so(reads):
    teacher = FrozenTeacher(built(document_attention=reads), VOCAB)
    alone = {"input_ids": batch()["input_ids"], "document_ids": torch.zeros(2, 8, dtype=torch.int32)}
    assert torch.equal(logits(teacher, batch()), logits(teacher, alone)) == (not reads)


def test_rows_of_padding_are_not_seen():
    model = built()
    assert torch.equal(
        logits(FrozenTeacher(model, 200), batch()), logits(FrozenTeacher(model, VOCAB), batch())[:, :200]
    )


def test_narrow_weights_say_what_autocast_would():
    ours = logits(FrozenTeacher(built(), VOCAB, torch.bfloat16), batch())
    model = built().eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        theirs = model(batch()["input_ids"]).logits.flatten(0, 1)
    assert torch.equal(ours, theirs) and ours.dtype == torch.bfloat16


def test_it_is_read_from_its_folder_and_draws_no_random_number(tmp_path):
    source = write_teacher(tmp_path / "teacher")
    torch.manual_seed(9)
    before = torch.random.get_rng_state()
    teacher = load_teacher(source, torch.float32, VOCAB)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert teacher.model.config == MODEL and teacher.vocabulary == VOCAB and not teacher.model.training


def test_another_model_in_its_place_is_refused(tmp_path):
    source = write_teacher(tmp_path / "teacher")
    write_teacher(tmp_path / "other", seed=2)
    (tmp_path / "teacher").rename(tmp_path / "away")
    with pytest.raises(DataError, match="does not exist"):
        load_teacher(source, torch.float32, VOCAB)
    (tmp_path / "other").rename(tmp_path / "teacher")
    with pytest.raises(DataError, match="is not the teacher it was when the run began"):
        load_teacher(source, torch.float32, VOCAB)
