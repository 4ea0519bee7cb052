"""What does not go with rollouts is refused in one line, before data are prepared."""

import pytest

from prospero import compose
from prospero.errors import ConfigError
from prospero.training.rollouts.building import check_rollouts

GRPO = ["data=sums", "rendering=prompt_response", "packing=padded", "loss=[grpo]"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reward=[answer]"], r"reward=\[answer\] is read by loss=grpo"),
        (["rollouts.group_size=4"], r"rollouts.\* are read by loss=grpo"),
        (["callbacks=[checkpoints,rollouts]"], "the callback rollouts shows what loss=grpo draws"),
        ([*GRPO], "choose at least one: reward="),
        ([*GRPO, "reward=[answer]", "packing=concat"], "choose packing=padded"),
        ([*GRPO, "reward=[answer]", "loss=[grpo,cross_entropy]"], "loss=grpo stands alone.*cross_entropy"),
        ([*GRPO, "reward=[answer]", "augmentation=token_noise"], "augmentation=none"),
        ([*GRPO, "reward=[answer]", "trainer.compile=whole"], "trainer.compile=whole is for batches of one length"),
        ([*GRPO, "reward=[answer]", "max_tokens=1e6"], "max_tokens is not known beforehand.*max_steps"),
    ],
)
def test_what_does_not_go_together(words, message):
    with pytest.raises(ConfigError, match=message):
        check_rollouts(compose("train", words))


def test_the_experiment_goes_together():
    check_rollouts(compose("train", ["experiment=grpo_sum"]))
    check_rollouts(compose("train", []))
