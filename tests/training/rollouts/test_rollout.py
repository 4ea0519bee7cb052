"""How texts become rows, and which of them a micro-batch takes."""

import torch

from prospero.training.rollouts.rollout import Rollout, laid_out


def test_the_completion_alone_is_a_target():
    input_ids, labels = laid_out([([9, 1, 2], [3, 9]), ([9, 4], [5])], fill=9)
    assert input_ids.tolist() == [[9, 1, 2, 3], [9, 4, 9, 9]]
    assert labels.tolist() == [[-100, -100, 3, 9], [-100, 5, -100, -100]]


def test_a_micro_batch_takes_whole_groups_and_knows_its_step():
    """Two steps of two prompts with three completions each; the second step has 8 targets."""
    texts = [([9], [row] * (1 if row < 10 else 2)) for row in range(12)]
    input_ids, labels = laid_out(texts, fill=9)
    rollout = Rollout(
        first_step=4, steps=2, input_ids=input_ids, labels=labels, facts={"rows": labels.clone()}, numbers={}
    )
    rows = rollout.rows(5, 1 / 2, 1)
    batch = rollout.batch(5, rows, prompts=2)
    assert batch.labels[:, 0].tolist() == [9, 10, 11] and batch.facts["rows"][:, 0].tolist() == [9, 10, 11]
    assert (batch.sequences, batch.tokens, batch.target_tokens) == (2, 12, 8)
    again = Rollout.of(rollout.state_dict())
    assert torch.equal(again.labels, labels) and again.first_step == 4
