"""How large a model is and what a token costs, counted from its modules and not from a formula beside them."""

from dataclasses import dataclass

from torch import Tensor, nn

from prospero.model.adapters.lora import LoRALinear
from prospero.model.base import LanguageModel
from prospero.model.layers.attention import Attention

PICTURE = "prefix."
"""How the names of the parts begin that read a picture."""


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Numbers of parameters; a shared matrix is counted once."""

    total: int
    embedding: int
    """In embedding tables (a tied head is one of them; an untied head is not)."""
    by_module: dict[str, int]
    """Name of each direct child, `blocks` as one, to its parameters."""
    trained: int | None = None
    """Those that want a gradient; None: all of them."""

    @property
    def non_embedding(self) -> int:
        """All but the embedding tables."""
        return self.total - self.embedding


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count the parameters of `model` by walking it."""
    tables = {id(p): p.numel() for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    by_module = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    named = {name: n for name, n in by_module.items() if n}
    return ParameterCount(total, sum(tables.values()), named, trained if trained < total else None)


def flops_per_token(model: LanguageModel, seq_len: int) -> int:
    """Return the floating-point operations of forward and backward per trained token, in sequences of `seq_len`.

    Matrix products only, a multiply-add being two operations, the backward pass twice the forward: 6 per weight of
    every `nn.Linear`, recurrent matrix and of the head (4 of a frozen one, which has no gradient of its own), and
    12 x heads x head_dim x seq_len per attention layer. For the standard Transformer this is PaLM's 6 N + 12 L H Q T
    (Chowdhery et al. 2022, appendix B) with N without the embedding table: attention counts in full though half of it
    is masked, as usual in reports of MFU. Recomputation
    by activation checkpointing is not counted, as it is no useful work. A picture before the text is shared out to the
    text's tokens: the encoder sees it alone, the blocks see both; of a foreign encoder the weights alone are counted.
    """
    whole, attention = seq_len + model.prefix_len, 0
    passes: dict[int, tuple[Tensor, int]] = {}
    """Weight -> it, and the positions that go through it in a sequence of `seq_len` tokens."""
    for name, module in model.named_modules():
        in_picture = name.startswith(PICTURE)
        places = model.prefix_len if in_picture else whole
        if isinstance(module, LoRALinear):
            passes |= {id(p): (p, places) for p in (module.lora_A, module.lora_B)}
        if isinstance(module, nn.Linear):
            passes[id(module.weight)] = (module.weight, places)
        elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            passes |= {id(p): (p, places) for p in module.parameters() if p.dim() == 2}
        elif isinstance(module, Attention):
            attention += 12 * module.n_heads * module.head_dim * places * places
    head = model.output_weight()
    # A tied head is the embedding table (behind a projection, a Linear, in an RNN).
    table = head if isinstance(head, nn.Parameter) else model.get_parameter("embedding.weight")
    if isinstance(head, nn.Parameter) or id(table) not in passes:
        passes[id(table)] = (table, seq_len)
    flops = sum((6 if p.requires_grad else 4) * p.numel() * places for p, places in passes.values())
    return (flops + attention) // seq_len
