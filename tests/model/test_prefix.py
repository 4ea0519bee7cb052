"""A picture before the text: who sees whom, decoding, the sizes of everything, what is refused."""

import pytest
import torch

from prospero.errors import ConfigError
from prospero.model.layers.lookback import Lookback
from prospero.model.prefix import PrefixConfig, PrefixKind, prefix_mask
from prospero.model.size import flops_per_token
from prospero.model.transformer import Position, Transformer, TransformerConfig

VOCAB, T, P = 17, 6, 4
IDS = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]])


def prefix(**changes) -> PrefixConfig:
    return PrefixConfig(**({"kind": PrefixKind.image, "image_size": 8, "patch_size": 4, "d_model": 16} | changes))


def build(text: dict | None = None, **changes) -> Transformer:
    torch.manual_seed(0)
    text = {"n_layers": 2, "d_model": 32, "n_heads": 2, "init_std": 0.2} | (text or {})
    return TransformerConfig(**text, prefix=prefix(**changes)).build(VOCAB, T).eval()


def images(n: int = 2, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def prefix_states(model: Transformer, pictures: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """What the last block gives for the positions of the picture, [B, P, D]."""
    kept = []
    hook = model.blocks[-1].register_forward_hook(lambda module, inputs, output: kept.append(output))
    model(ids, images=pictures)
    hook.remove()
    assert kept[0].shape[1] == P + ids.shape[1]
    return kept[0][:, :P]


def test_the_prefix_sees_all_of_itself_and_never_the_text():
    model, pictures = build(n_layers=0), images()  # no block in the encoder: only the text model's attention mixes
    before = prefix_states(model, pictures, IDS)
    changed = pictures.clone()
    changed[:, :, 4:, 4:] = 255 - changed[:, :, 4:, 4:]  # the last patch alone
    assert (prefix_states(model, changed, IDS)[:, 0] - before[:, 0]).abs().max() > 1e-3
    assert torch.equal(prefix_states(model, pictures, IDS.flip(1)), before)


def test_the_text_sees_the_picture_and_no_later_token():
    model, pictures = build(), images()
    before = model(IDS, images=pictures).logits
    later = IDS.clone()
    later[:, 4] = 0
    after = model(later, images=pictures).logits
    assert torch.equal(after[:, :4], before[:, :4])
    assert not torch.equal(after[:, 4], before[:, 4])
    assert (model(IDS, images=images(3)[1:]).logits - before).abs().amax(dim=(1, 2)).min() > 1e-3


def test_the_mask_by_hand():
    seen = prefix_mask(4, 2, torch.float32, torch.device("cpu")) == 0
    assert seen.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("position", Position)
def test_cached_decoding_equals_the_full_forward_for_rows_of_unequal_length(position):
    model, pictures = build({"position": position}), images()
    full = model(IDS, images=pictures).logits
    cache = model.new_cache(2, T)
    cache.announce(torch.tensor([2, 4]))
    first = model(IDS[:, :4], images=pictures, cache=cache).logits
    found = {(0, 1): first[0, 1], (1, 3): first[1, 3]}
    for step in range(2):
        tokens = torch.tensor([[int(IDS[0, 2 + step])], [int(IDS[1, 4 + step])]])
        logits = model(tokens, cache=cache).logits
        found |= {(0, 2 + step): logits[0, 0], (1, 4 + step): logits[1, 0]}
    for (row, place), logits in found.items():
        torch.testing.assert_close(logits, full[row, place], atol=1e-5, rtol=1e-5)


def test_padding_to_the_right_changes_nothing():
    model, pictures = build(), images()
    alone = model(IDS[:, :3], images=pictures).logits
    torch.testing.assert_close(model(IDS, images=pictures).logits[:, :3], alone, atol=1e-6, rtol=1e-5)


def test_without_a_picture_the_text_is_read_alone_as_by_the_same_model_without_a_prefix():
    model = build()
    torch.manual_seed(0)
    plain = TransformerConfig(n_layers=2, d_model=32, n_heads=2, init_std=0.2).build(VOCAB, T).eval()
    assert torch.equal(model(IDS).logits, plain(IDS).logits)


def test_every_parameter_of_the_picture_gets_a_gradient():
    model = build(projector_layers=2)
    model(IDS, images=images()).logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max()] == []


def test_a_blind_model_sees_an_even_grey():
    model = build(blind=True)
    assert torch.equal(model(IDS, images=images()).logits, model(IDS, images=images().flip(0)).logits)


def test_sizes():
    model = build(channels=1)
    assert (model.image_shape, model.prefix_len) == ((1, 8, 8), P)
    assert model.new_cache(1, T).max_len == P + T
    with pytest.raises(ValueError, match=r"a picture of \(3, 8, 8\), and the model reads \(1, 8, 8\)"):
        model(IDS, images=images())
    with pytest.raises(ValueError, match="7 tokens exceed max_seq_len=6"):
        model(torch.zeros(1, T + 1, dtype=torch.long), images=images(1, 1))


def test_the_work_of_the_picture_is_shared_out_to_the_tokens():
    model = build({"n_layers": 1}, n_layers=0)
    block = sum(p.numel() for name, p in model.blocks.named_parameters() if p.dim() == 2)
    picture = 4 * 4 * 3 * 16 + 16 * 32  # patches and projector
    attention = 12 * 32 * (P + T) ** 2
    expected = (6 * (block * (P + T) + picture * P + VOCAB * 32 * T) + attention) // T
    assert flops_per_token(model, T) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build({"document_attention": True}), "leave document_attention=true out"),
        (lambda: build({"windows": [4]}), r"leave windows=\[4\] out"),
        (lambda: build({"lookback": Lookback.shift}), "leave lookback=shift out"),
        (lambda: prefix(patch_size=3), "patch_size=3 does not divide prefix.image_size=8"),
        (lambda: prefix(n_heads=3), "n_heads=3 does not divide prefix.d_model=16"),
        (lambda: prefix(channels=2), "choose 3 .colour. or 1 .grey."),
        (lambda: prefix(frozen=True), "keep an encoder of random weights"),
        (lambda: TransformerConfig(prefix=PrefixConfig(blind=True)), "blind=True is for prefix.kind=image"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
