"""Speed of writing text, beside Hugging Face's `generate` with the same weights.

    python benchmarks/generate.py                  both layouts, one row and sixteen, one thread
    python benchmarks/generate.py --tokens 60 --rounds 3 --rows 1 --onnx      exported files, float32 and 8 bits, too

Greedy, a prompt of 16 tokens; every contender writes in turn in every round, so that a busy machine slows all alike.
A line: tokens a second of the process's own processor time, min / median / max over the rounds; the same by the clock;
the median ratio to Hugging Face; how many tokens are those of Hugging Face. Random weights: what 8-bit weights cost is
measured on a trained run, by `generate.py precision=int8`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prospero.checkpoints.model_folder import describe_model
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.generation.decoder import Decoder, ModelDecoder
from prospero.generation.onnx_decoder import OnnxDecoder
from prospero.generation.packed import PackedDecoder
from prospero.generation.settings import Precision
from prospero.interop.formats import Exported
from prospero.interop.onnx_export import write_onnx
from prospero.interop.settings import ExportConfig, Quantize
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.norms import Norm
from prospero.model.transformer import Position, Transformer, TransformerConfig

VOCAB, PROMPT = 8192, 16
LAYOUTS = {
    "llama": TransformerConfig(n_layers=6, d_model=384, n_heads=6),
    "gpt2": TransformerConfig(
        n_layers=6,
        d_model=384,
        n_heads=6,
        norm=Norm.layer,
        position=Position.learned,
        activation=Activation.gelu,
        bias=True,
        tie_embeddings=True,
    ),
}
Writer = Callable[[Tensor, int], Tensor]
"""(prompt [B, T], tokens) -> what was written, [B, tokens]."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--onnx", action="store_true", help="export the same weights, and let onnxruntime write too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    for layout, config in LAYOUTS.items():
        model = config.build(VOCAB, PROMPT + arguments.tokens + 1).eval()
        contenders = {"hugging face": hugging_face(layout, model), "forward": writer(ModelDecoder(model))}
        for precision in (Precision.float32, Precision.bf16, Precision.int8):
            contenders[f"packed {precision.name}"] = writer(PackedDecoder(model, precision))
        for quantize in Quantize if arguments.onnx else ():
            contenders[f"onnx {quantize.name}"] = exported(model, quantize, arguments.threads)
        for rows in arguments.rows:
            prompt = torch.randint(VOCAB, (rows, PROMPT))
            print(f"\n{layout}, {rows} rows, {arguments.tokens} tokens, {arguments.threads} threads", flush=True)
            measure(contenders, prompt, arguments.tokens, arguments.rounds)


@torch.inference_mode()
def measure(contenders: dict[str, Writer], prompt: Tensor, tokens: int, rounds: int) -> None:
    """Let all contenders write in turn, `rounds` times after one that does not count, and print a line for each."""
    processor: dict[str, list[float]] = {name: [] for name in contenders}
    clock: dict[str, list[float]] = {name: [] for name in contenders}
    texts = {name: write(prompt, tokens) for name, write in contenders.items()}
    for _ in range(rounds):
        for name, write in contenders.items():
            begun = time.process_time(), time.perf_counter()
            write(prompt, tokens)
            processor[name].append(prompt.shape[0] * tokens / (time.process_time() - begun[0]))
            clock[name].append(prompt.shape[0] * tokens / (time.perf_counter() - begun[1]))
    first = next(iter(contenders))
    for name in contenders:
        ratio = statistics.median(own / other for own, other in zip(processor[name], processor[first]))
        by_clock = statistics.median(own / other for own, other in zip(clock[name], clock[first]))
        equal = int((texts[name] == texts[first]).sum())
        print(
            f"  {name:14} {_three(processor[name])} of processor time, {_three(clock[name])} by the clock; "
            f"{ratio:.2f} x ({by_clock:.2f} x by the clock); {equal} of {texts[first].numel()} tokens equal",
            flush=True,
        )


def _three(values: list[float]) -> str:
    return f"{min(values):.0f} / {statistics.median(values):.0f} / {max(values):.0f}"


def writer(decoder: Decoder) -> Writer:
    """Return greedy writing with a decoder."""

    def write(prompt: Tensor, tokens: int) -> Tensor:
        with decoder.session():
            decoder.select([])
            written = [decoder.add(prompt.tolist(), range(len(prompt))).argmax(dim=-1)]
            while len(written) < tokens:
                written.append(decoder.step(written[-1]).argmax(dim=-1))
        return torch.stack(written, dim=1)

    return write


def exported(model: Transformer, quantize: Quantize, threads: int) -> Writer:
    """Return greedy writing by onnxruntime with an exported file of `model`."""
    description = describe_model(model.config, vocab_size=model.vocab_size, max_seq_len=model.max_seq_len)
    source = Exported(model, ByteTokenizerConfig().build(), {"model": description, "facts": {}}, Path())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        write_onnx(source, file, ExportConfig(to="onnx", out=str(file), quantize=quantize))
        return writer(OnnxDecoder(file, threads=threads))


def hugging_face(layout: str, model: Transformer) -> Writer:
    """Return greedy writing by Hugging Face's `generate` with the weights of `model`."""
    import transformers

    other: Any
    c, length, width = model.config, model.max_seq_len, 1024 if layout == "llama" else 4 * model.config.d_model
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    if layout == "llama":
        settings = transformers.LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=c.d_model,
            intermediate_size=width,
            num_hidden_layers=c.n_layers,
            num_attention_heads=c.n_heads,
            max_position_embeddings=length,
            rms_norm_eps=c.norm_eps,
            tie_word_embeddings=False,
            **ends,
        )
        other = transformers.LlamaForCausalLM(settings).eval()
    else:
        settings = transformers.GPT2Config(
            vocab_size=VOCAB, n_embd=c.d_model, n_layer=c.n_layers, n_head=c.n_heads, n_positions=length, **ends
        )
        other = transformers.GPT2LMHeadModel(settings).eval()
    other.load_state_dict(_renamed(layout, model.state_dict()), strict=False)
    probe = torch.arange(8).unsqueeze(0)
    torch.testing.assert_close(other(probe).logits, model(probe).logits, atol=1e-4, rtol=1e-4)

    def write(prompt: Tensor, tokens: int) -> Tensor:
        mask = torch.ones_like(prompt)
        written = other.generate(prompt, attention_mask=mask, max_new_tokens=tokens, do_sample=False, use_cache=True)
        return written[:, prompt.shape[1] :]

    return write


def _renamed(layout: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights by Hugging Face's names."""
    found: dict[str, Tensor] = {}
    llama = {
        "embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head", "attention_norm": "input_layernorm",
        "feed_forward_norm": "post_attention_layernorm", "attention.q": "self_attn.q_proj",
        "attention.k": "self_attn.k_proj", "attention.v": "self_attn.v_proj", "attention.out": "self_attn.o_proj",
        "feed_forward.gate": "mlp.gate_proj", "feed_forward.up": "mlp.up_proj", "feed_forward.down": "mlp.down_proj",
    }  # fmt: skip
    gpt2 = {
        "embedding": "transformer.wte", "positions": "transformer.wpe", "norm": "transformer.ln_f",
        "attention_norm": "ln_1", "feed_forward_norm": "ln_2", "attention.out": "attn.c_proj",
        "feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj",
    }  # fmt: skip
    names = llama if layout == "llama" else gpt2
    for name, tensor in state.items():
        block, part = (name.split(".", 2)[1], name.split(".", 2)[2]) if name.startswith("blocks.") else ("", name)
        layer, _, kind = part.rpartition(".")
        if layer not in names:
            continue
        prefix = "" if not block else f"model.layers.{block}." if layout == "llama" else f"transformer.h.{block}."
        transposed = layout == "gpt2" and kind == "weight" and layer.split(".")[0] in ("attention", "feed_forward")
        found[f"{prefix}{names[layer]}.{kind}"] = tensor.t() if transposed else tensor
    if layout == "gpt2":
        for block in range(sum(name.endswith("attention.q.weight") for name in state)):
            for kind in ("weight", "bias"):
                fused = torch.cat([state[f"blocks.{block}.attention.{part}.{kind}"] for part in "qkv"])
                found[f"transformer.h.{block}.attn.c_attn.{kind}"] = fused.t() if kind == "weight" else fused
        found["lm_head.weight"] = state["embedding.weight"]
    return found


if __name__ == "__main__":
    main()
