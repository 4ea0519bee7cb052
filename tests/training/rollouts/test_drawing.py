"""A completion depends on weights, prompt, seed, row and its number alone."""

import torch

from prospero.data.prompts import Prompt
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.generation.decoder import ModelDecoder
from prospero.generation.sampling import SamplingConfig
from prospero.model.transformer import TransformerConfig
from prospero.training.rollouts.drawing import draw

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))


def drawn(prompts, *, seed=3, rows=64, weights=0):
    torch.manual_seed(weights)
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(TOKENIZER.vocab_size, 32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # an untrained model hardly looks at its prompt
    sampling = SamplingConfig(temperature=1.0, top_p=1.0, n=3, max_new_tokens=5, seed=seed)
    found = draw(ModelDecoder(model), TOKENIZER, [(row, _prompt(text)) for row, text in prompts], sampling, rows=rows)
    return [[one.ids for one in group] for group in found]


def _prompt(text: str) -> Prompt:
    return Prompt(0, [TOKENIZER.eot_id, *TOKENIZER.encode(text)], [], {})


def test_neighbours_and_their_number_change_nothing():
    whole = drawn([(4, "a+b"), (5, "c"), (6, "a+b")])
    assert drawn([(5, "c")])[0] == whole[1] and drawn([(6, "a+b"), (4, "a+b")], rows=2) == [whole[2], whole[0]]
    assert len({tuple(ids) for ids in whole[0] + whole[2]}) == 6, "rows and numbers draw differently"
    assert all(1 <= len(ids) <= 5 for group in whole for ids in group)


def test_seed_weights_and_prompt_count():
    once = drawn([(4, "a+b")])
    assert drawn([(4, "a+b")], seed=4) != once
    assert drawn([(4, "a+b")], weights=1) != once
    assert drawn([(4, "a-b")]) != once
