"""Which parameters are decayed, and how they are grouped: the one home of that rule.

Decayed (and regularised) are the weights of two or more dimensions that are not embeddings. Left out are norms and
biases, which scale or shift and have no product to keep small, and embeddings, whose rows are seldom updated.
A tied matrix is one parameter, and it is an embedding.
"""

from typing import Any

from torch import nn

from prospero.errors import ConfigError


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that want a gradient, by name; a tied parameter once, under its first name."""
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise ConfigError(f"{type(model).__name__} has no parameter to train: all are frozen, or there are none")
    return found


def is_decayed(model: nn.Module) -> dict[str, bool]:
    """Say of each trainable parameter whether it is decayed: at least 2-D, and of no embedding."""
    embeddings = {
        id(p)
        for m in model.modules()
        if isinstance(m, nn.Embedding | nn.EmbeddingBag)
        for p in m.parameters(recurse=False)
    }
    return {name: p.ndim >= 2 and id(p) not in embeddings for name, p in trainable_parameters(model).items()}


def decayed_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that weight decay and the parameter regularisers act on; none at all is an error."""
    decayed = is_decayed(model)
    found = {name: p for name, p in trainable_parameters(model).items() if decayed[name]}
    if not found:
        raise ConfigError(f"{type(model).__name__} has no weight to decay (trainable, 2-D or more, not an embedding)")
    return found


def hidden_matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the decayed matrices of exactly two dimensions without the head (`model.output_weight()`); for Muon."""
    head = model.output_weight() if hasattr(model, "output_weight") else None  # type: ignore[operator]
    found = {name: p for name, p in decayed_parameters(model).items() if p.ndim == 2 and p is not head}
    if not found:
        raise ConfigError(f"{type(model).__name__} has no matrix for muon (trainable, 2-D, not embedding, not head)")
    return found


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimiser's groups: `decay` with `weight_decay`, `no_decay` with 0; empty groups are left out."""
    decayed = is_decayed(model)
    if weight_decay > 0:
        decayed_parameters(model)  # asked for decay: there must be something to decay
    parameters = trainable_parameters(model)
    groups = [
        {
            "name": "decay",
            "params": [p for name, p in parameters.items() if decayed[name]],
            "weight_decay": weight_decay,
        },
        {"name": "no_decay", "params": [p for name, p in parameters.items() if not decayed[name]], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    check_cover(model, groups)
    return groups


def check_cover(model: nn.Module, groups: list[dict[str, Any]]) -> None:
    """Raise unless every trainable parameter of `model` is in exactly one of `groups`, and nothing else is."""
    names = {id(p): name for name, p in trainable_parameters(model).items()}
    counts = dict.fromkeys(names, 0)
    for group in groups:
        for p in group["params"]:
            if id(p) not in counts:
                raise ValueError(f"group {group.get('name')!r} holds a tensor that the model does not train")
            counts[id(p)] += 1
    wrong = [names[key] for key, count in counts.items() if count != 1]
    if wrong:
        count = next(count for count in counts.values() if count != 1)
        raise ValueError(f"every parameter belongs to exactly one group, but {wrong[0]!r} is in {count}")
