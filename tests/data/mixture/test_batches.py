"""Batches of a mixture: the same sequences of each part for the same step on any ranks and from any cursor."""

from dataclasses import replace

import pytest
import torch

from prospero.data.mixture.order import MixtureOrder
from prospero.data.mixture.preparation import prepare
from prospero.data.mixture.training import mixture_lines
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.errors import ConfigError, DataError
from tests.data.mixture.corpora import mixed
from tests.data.test_datamodule import GLOBAL, global_batches, module, take, whole_rows


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    return prepare(mixed(folder), progress=False)


def order_of(data) -> MixtureOrder:
    order = data.training_order()
    assert isinstance(order, MixtureOrder)
    return order


def limited(both, few, many=None):
    return replace(both, mixture=replace(both.mixture, max_epochs=(few, many)))


@pytest.fixture(scope="module")
def of_one_process(both):
    return global_batches(both, 30)


@pytest.mark.parametrize(("ranks", "micro"), [(1, 2), (2, 4), (4, 1)])
def test_the_steps_are_the_same_on_any_ranks(both, of_one_process, ranks, micro):
    assert global_batches(both, 30, ranks=ranks, micro_batch_size=micro) == of_one_process


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_cursor_is_all_that_a_checkpoint_needs(both, of_one_process, ranks):
    rows, counts = global_batches(both, 17, ranks=ranks, micro_batch_size=2, start=13 * GLOBAL)
    assert (rows, counts) == (of_one_process[0][13:], of_one_process[1][13:])


def test_each_step_has_its_shares_and_says_whose_text_it_is(both):
    for batch in take(module(both).train_dataloader(), 20):
        sources = batch.facts["source_ids"]
        assert sources.shape == batch.labels.shape
        assert [int((sources[:, 0] == part).sum()) for part in (0, 1)] == [GLOBAL // 4, GLOBAL * 3 // 4]
        assert bool((sources == sources[:, :1]).all())


def test_the_rows_are_of_the_parts(both):
    data = module(both)
    batch = take(data.train_dataloader(), 1)[0]
    arrays = data.train_packing.read(data.sequences_between(0, GLOBAL))
    rows = torch.cat([torch.from_numpy(arrays[name]) for name in ("input_ids", "labels")], dim=1)
    assert whole_rows(batch) == rows.tolist()
    documents = both.receipt["parts"]["few"]["splits"]["train"]["documents"]
    numbers = data.train_packing.documents(data.sequences_between(0, GLOBAL))
    assert numbers.min() < documents <= numbers.max()


def test_a_part_ends_and_the_others_go_on(both):
    data = module(limited(both, 0.5))
    half = order_of(data).lengths[0] // 2
    of_few = [int((b.facts["source_ids"][:, 0] == 0).sum()) for b in take(data.train_dataloader(), half)]
    assert of_few == [2] * (half // 2) + [half % 2] * (half % 2) + [0] * (half - half // 2 - half % 2)
    last = -(-half // 2)
    few, _ = mixture_lines(data.prepared, order_of(data), half)
    assert few.endswith(f"it ends with step {last} (max_epochs=0.5), and its share goes to the others from then on")
    assert "ends" not in mixture_lines(data.prepared, order_of(data), last - 1)[0]


def test_when_all_have_ended_there_is_no_batch(both):
    data = module(limited(both, 0.5, 0.5))
    ends = order_of(data).quotas.ends
    assert ends is not None
    data.advance(ends * GLOBAL)
    with pytest.raises(DataError, match=f"the mixture has no text for step {ends + 1}: its max_epochs allow {ends} st"):
        take(data.train_dataloader(), 1)


def test_a_part_with_less_than_a_sequence_to_give_is_refused(both):
    with pytest.raises(DataError, match=r"data.parts, 'few': max_epochs=0.001 of its .* sequences is none"):
        module(limited(both, 0.001))


def test_the_first_sequences_alone_are_refused(both):
    with pytest.raises(ConfigError, match="train_sequences=9 would be those of the mixture's first parts"):
        module(both, train_sequences=9)


def test_weights_are_of_tokens_where_sequences_hold_more_or_fewer(both):
    data = module(both, packing=PaddedPackingConfig(), seq_len=200)
    counts = [0, 0]
    for batch in take(data.train_dataloader(), 200):
        real, sources = batch.labels != -100, batch.facts["source_ids"]
        counts = [count + int((real & (sources == part)).sum()) for part, count in enumerate(counts)]
    assert counts[0] / sum(counts) == pytest.approx(0.25, abs=0.005)


def test_validation_is_of_all_parts_whatever_the_weights(both):
    unequal = replace(both, mixture=replace(both.mixture, stages=((0, (1.0, 0.0)),)))
    found = [list(module(prepared).val_dataloader()) for prepared in (both, unequal)]
    assert [b.labels.tolist() for b in found[0]] == [b.labels.tolist() for b in found[1]]
    assert {int(s) for b in found[1] for s in b.facts["source_ids"].unique()} == {0, 1}
