"""Each family: equal logits after import, from the cache too; equal texts; the way back changes no tensor.

Every switch is set wrong once and must be seen: a tolerance can hide a wrong model.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prospero.interop.families.family import Read
from prospero.interop.formats import Exported
from prospero.interop.hugging_face import write_hugging_face
from prospero.interop.import_folder import Foreign, read_foreign
from prospero.interop.settings import ExportConfig
from prospero.model.layers.attention import AttentionKernel, QKNormWidth
from prospero.model.layers.block import NormPlace
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.transformer import Transformer, TransformerConfig
from tests.interop.foreign import FAST, FOREIGN, input_ids, saved, transformers

TOLERANCE = 1e-4
"""Largest difference between logits of size 6 to 11; what rounding leaves is 4e-5."""


@dataclass(frozen=True)
class Pair:
    """A model of theirs, what was read of it, and the logits it gives."""

    theirs: Any
    foreign: Foreign
    ids: Tensor
    logits: Tensor


_kept: dict[str, Pair] = {}


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory, long_form):
    """Make the pair of a name, once; those that are not among FAST are for --long."""
    transformers.utils.logging.disable_progress_bar()

    def make(name: str) -> Pair:
        if name not in FAST and not long_form:
            pytest.skip("the deep grid is for --long")
        if name not in _kept:
            folder = tmp_path_factory.mktemp(name)
            theirs = saved(name, folder)
            foreign = read_foreign(folder)
            ids = input_ids(time=foreign.max_seq_len)
            with torch.no_grad():
                _kept[name] = Pair(theirs, foreign, ids, theirs(ids).logits)
        return _kept[name]

    return make


@pytest.fixture(autouse=True)
def exact_products():
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


def ours(foreign: Foreign, **changes: Any) -> Transformer:
    """Our model with their weights; under changed settings those that it still has."""
    model = replace(foreign.config, **changes).build(foreign.vocab_size, foreign.max_seq_len)
    state = {name: tensor.float() for name, tensor in foreign.state.items() if name in model.state_dict()}
    model.load_state_dict(state, strict=not changes)
    return model.eval()


def difference(model: Transformer, pair: Pair) -> float:
    with torch.no_grad():
        return (model(pair.ids).logits - pair.logits).abs().max().item()


@pytest.mark.parametrize("name", FOREIGN)
def test_logits_are_equal_by_both_kernels(name, pair_of):
    pair = pair_of(name)
    model = ours(pair.foreign)
    assert pair.logits.abs().max() > 3
    for kernel in (AttentionKernel.sdpa, AttentionKernel.explicit):
        model.set_attention(kernel)
        assert difference(model, pair) < TOLERANCE


@pytest.mark.parametrize("name", FOREIGN)
def test_the_cache_gives_the_logits_of_the_whole(name, pair_of):
    pair = pair_of(name)
    model, lengths = ours(pair.foreign), torch.tensor([5, 13])
    wanted = [pair.logits[row, length - 1 :] for row, length in enumerate(lengths)]
    cache = model.new_cache(2, pair.foreign.max_seq_len)
    cache.announce(lengths)
    steps = pair.foreign.max_seq_len - 13
    with torch.no_grad():
        first = model(pair.ids[:, :13], cache=cache).logits
        found = [[first[row, length - 1]] for row, length in enumerate(lengths)]
        for step in range(steps):
            token = pair.ids.gather(1, (lengths + step).unsqueeze(1))
            logits = model(token, cache=cache).logits
            for row in range(2):
                found[row].append(logits[row, 0])
    for row in range(2):
        got = torch.stack(found[row])
        assert (got - wanted[row][: len(got)]).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", FOREIGN)
def test_greedy_text_is_theirs_token_for_token(name, pair_of):
    pair = pair_of(name)
    prompt, length = pair.ids[:1, :4], 16
    their_text = pair.theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=length, do_sample=False, eos_token_id=None
    )
    model = ours(pair.foreign)
    cache, ids, token = model.new_cache(1, pair.foreign.max_seq_len), prompt, prompt
    with torch.no_grad():
        for _ in range(length):
            token = model(token, cache=cache).logits[:, -1:].argmax(-1)
            ids = torch.cat((ids, token), dim=1)
    assert ids.tolist() == their_text.tolist()


NOT_WRITTEN = {"qwen2_windows": "windows=some"}
"""Read, and of no class that is written."""


@pytest.mark.parametrize("name", [name for name in FOREIGN if name not in NOT_WRITTEN])
def test_the_way_back_changes_no_tensor_and_no_logit(name, pair_of, tmp_path):
    pair = pair_of(name)
    model, foreign = ours(pair.foreign), pair.foreign
    exported = Exported(model, foreign.tokenizer, {"model": foreign.description, "facts": {}}, tmp_path)
    write_hugging_face(exported, tmp_path / "out", ExportConfig(out="out"))
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    with torch.no_grad():
        assert (theirs(pair.ids).logits - pair.logits).abs().max() < TOLERANCE
    again, state = read_foreign(tmp_path / "out"), model.state_dict()
    for key in dict(model.named_parameters()):
        assert torch.equal(again.state[key], state[key]), key
    assert all(not again.state[key].any() for key in again.state.keys() - state.keys()), "a bias of zeros, no other"


YARN = RopeScalingConfig(kind=Scaling.yarn, factor=4.0, original_max_seq_len=12)
LLAMA3 = RopeScalingConfig(kind=Scaling.llama3, factor=8.0, original_max_seq_len=24)
MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("llama_grouped_biased", {"norm_eps": 1e-5}),
    ("llama_grouped_biased", {"activation": Activation.geglu}),
    ("llama_grouped_biased", {"qkv_bias": False}),
    ("llama_grouped_biased", {"attention_out_bias": False}),
    ("llama_grouped_biased", {"feed_forward_bias": False}),
    ("llama3", {"rope_scaling": RopeScalingConfig()}),
    ("llama3", {"rope_scaling": replace(LLAMA3, low_freq_factor=2.0)}),
    ("llama3", {"rope_scaling": replace(LLAMA3, high_freq_factor=3.0)}),
    ("llama3", {"rope_scaling": replace(LLAMA3, original_max_seq_len=25)}),
    ("llama_linear", {"rope_scaling": RopeScalingConfig(kind=Scaling.linear, factor=2.1)}),
    ("llama_yarn", {"rope_scaling": replace(YARN, magnitude=1.0)}),
    ("llama_yarn", {"rope_scaling": replace(YARN, beta_slow=0.2)}),
    ("phi3_long", {"rope_scaling": RopeScalingConfig()}),
    ("mistral", {"windows": [10]}),
    ("mistral", {"windows": [12]}),
    ("mistral", {"windows": []}),
    ("qwen2_windows", {"windows": [9]}),
    ("qwen2_windows", {"qkv_bias": False}),
    ("qwen3", {"qk_norm": False}),
    ("phi3_partial", {"rotary_dim": None}),
    ("phi3_partial", {"rotary_dim": 6}),
    ("gemma2", {"embedding_scale": 1.0}),
    ("gemma2", {"embedding_scale": 7.99}),
    ("gemma2", {"attention_softcap": None}),
    ("gemma2", {"logit_softcap": None}),
    ("gemma2", {"windows": [0, 7]}),
    ("gemma2", {"norm_place": NormPlace.pre}),
    ("gemma2", {"norm_place": NormPlace.post}),
    ("gemma2", {"activation": Activation.geglu_exact}),
    ("gemma2", {"norm_eps": 1e-2}),
    ("gemma3", {"window_rope_theta": None}),
    ("gemma3", {"window_rope_theta": 9000.0}),
    ("gemma3", {"rope_theta": 9e5}),
    ("gemma3", {"windows": [7, 7, 7]}),
    ("gemma3", {"qk_norm": False}),
    ("olmo2", {"norm_place": NormPlace.pre}),
    ("olmo2", {"norm_place": NormPlace.sandwich}),
    ("olmo2", {"qk_norm": False, "qk_norm_width": QKNormWidth.head}),
    ("pythia", {"parallel_residual": False}),
    ("pythia", {"rotary_dim": 8}),
    ("pythia", {"activation": Activation.gelu}),
    ("pythia", {"norm_bias": False}),
    ("pythia", {"norm_eps": 1e-4}),
    ("gpt2", {"activation": Activation.gelu_exact}),
    ("gpt2", {"norm_eps": 1e-4}),
    ("gpt2", {"n_heads": 2}),
    ("gpt2_exact_gelu", {"activation": Activation.gelu}),
    ("gpt_neo", {"windows": []}),
    ("gpt_neo", {"windows": [0, 9]}),
    ("opt", {"activation": Activation.gelu}),
    ("arcee", {"activation": Activation.relu}),
    ("stablelm", {"qkv_bias": False}),
]
"""Model -> our settings with one mistake."""


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=[f"{name}-{change}" for name, change in MISTAKES])
def test_a_wrong_setting_is_seen(name, mistake, pair_of):
    pair = pair_of(name)
    assert difference(ours(pair.foreign, **mistake), pair) > TOLERANCE


def scaled(state: dict[str, Tensor], part: str, factor: float = 1.0, plus: float = 0.0) -> dict[str, Tensor]:
    return {name: tensor * factor + plus if part in name else tensor for name, tensor in state.items()}


def interleaved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a NeoX file gives when its fused rows are taken as all queries, all keys, all values."""
    changed = dict(state)
    for name in [name for name in state if name.endswith("attention.q.weight")]:
        fused = torch.stack([state[name.replace(".q.", f".{part}.")].unflatten(0, (4, 16)) for part in "qkv"], dim=1)
        for part, rows in zip("qkv", fused.flatten(0, 2).chunk(3)):
            changed[name.replace(".q.", f".{part}.")] = rows
    return changed


WRONG_WEIGHTS = [
    ("gemma2", "the 1 of the norms is lost", lambda state: scaled(state, "norm.weight", plus=-1.0)),
    ("gemma2", "the scale of the scores is lost", lambda state: scaled(state, "attention.q.", (20 / 32) ** 0.5)),
    ("gemma3", "the scale of the scores is lost", lambda state: scaled(state, "q_norm", (20 / 32) ** 0.5)),
    ("gpt_neo", "scores are divided by sqrt(H)", lambda state: scaled(state, "attention.q.", 1 / 4)),
    ("pythia", "the heads are not apart", interleaved),
    ("opt", "positions begin at 0", lambda s: s | {"positions.weight": s["positions.weight"].roll(2, 0)}),
    ("qwen3", "k_norm is lost", lambda state: scaled(state, "k_norm", 0.0, 1.0)),
    ("gpt2", "the bias of the queries is lost", lambda state: scaled(state, "attention.q.bias", 0.0)),
]


@pytest.mark.parametrize(("name", "mistake", "change"), WRONG_WEIGHTS, ids=[f"{n}-{m}" for n, m, _ in WRONG_WEIGHTS])
def test_wrong_weights_are_seen(name, mistake, change, pair_of):
    pair = pair_of(name)
    model = ours(pair.foreign)
    model.load_state_dict(change({key: tensor.float() for key, tensor in pair.foreign.state.items()}))
    assert difference(model, pair) > TOLERANCE, mistake


@pytest.mark.parametrize("name", ["llama3", "gemma3", "gpt2", "pythia"])
def test_the_settings_come_back_as_they_were(name, pair_of, tmp_path):
    foreign = pair_of(name).foreign
    read = Read(foreign.config, foreign.vocab_size, foreign.max_seq_len)
    exported = Exported(ours(foreign), foreign.tokenizer, {"model": foreign.description, "facts": {}}, tmp_path)
    write_hugging_face(exported, tmp_path / "out", ExportConfig(out="out"))
    again = read_foreign(tmp_path / "out")
    width = again.config.d_ff
    assert Read(again.config, again.vocab_size, again.max_seq_len) == replace(
        read, config=replace(read.config, d_ff=width)
    )
    assert isinstance(again.config, TransformerConfig) and Path(tmp_path, "out", "README.md").is_file()
