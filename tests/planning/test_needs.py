"""What a run needs: counted on a model small enough to count by hand."""

import torch

from prospero.model.transformer import TransformerConfig
from prospero.optim.adamw import AdamWConfig
from prospero.optim.sgd import SGDConfig
from prospero.planning.needs import needs_of, timed_tokens_per_second

CONFIG = TransformerConfig(n_layers=2, d_model=32, n_heads=2)


def build():
    return CONFIG.build(vocab_size=50, max_seq_len=16)


def needs(optimizer, *, half=False, recomputes=False):
    with torch.device("meta"):
        model = build()
    return needs_of(
        model, optimizer.build, seq_len=16, micro_batch_size=4, tokens=1000, half=half, recomputes=recomputes
    )


def test_weights_gradients_and_the_state_are_counted():
    found = needs(AdamWConfig(lr=0.1))
    n = sum(p.numel() for p in build().parameters())
    assert found.parameters == n and found.weight_bytes == 8 * n
    assert 8 * n <= found.state_bytes <= 8 * n + 1000  # two moments, and a counter for each tensor
    assert found.checkpoint_bytes == 4 * n + found.state_bytes
    assert needs(SGDConfig()).state_bytes == 4 * n


def test_activations_are_the_estimate_of_the_paper():
    hidden, logits = 4 * 16 * 32 * 34 * 2, 4 * 16 * 50 * 2
    assert needs(SGDConfig()).activation_bytes == 4 * (hidden + logits)
    assert needs(SGDConfig(), half=True).activation_bytes == 2 * (hidden + logits)
    again = 4 * 16 * 32 * (2 * 2 + 34)
    assert needs(SGDConfig(), recomputes=True).activation_bytes == 4 * (again + logits)


def test_what_would_take_long_is_not_timed():
    found, device = needs(SGDConfig()), torch.device("cpu")
    fast = timed_tokens_per_second(build, found, seq_len=16, rows=4, peak=1e12, device=device)
    assert fast is not None and fast > 0
    assert timed_tokens_per_second(build, found, seq_len=16, rows=4, peak=1.0, device=device) is None
