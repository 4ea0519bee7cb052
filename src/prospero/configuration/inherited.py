"""`init_from`: groups that are left alone are the source's, not the root's own choice.

The root composes with its default model and tokenizer. Where the user chose neither of the two (by a word, an
experiment, or a config.yaml that spells all of it out), only what was set within the group is kept, as a table, and
`commands.init_from` lays it over the settings of the source.
"""

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

GROUPS = ("model", "tokenizer")
"""What a source brings."""


def leave_to_source(cfg: DictConfig, words: list[str], composed: Callable[[list[str]], DictConfig]) -> None:
    """Replace groups of a composed root that were not chosen by what was set within them, by a word or an experiment.

    `words` composed it; `composed(words)` is the root with some words, and Hydra's own settings. Nothing happens where
    `cfg` has no `init_from`.
    """
    if "init_from" not in cfg or cfg.init_from is None:
        return
    usual = composed([])
    usually, here = usual.hydra.runtime.choices, composed(words).hydra.runtime.choices
    keys = [word.lstrip("+~").partition("=")[0] for word in words]
    for group in GROUPS:
        if group not in usually or group in keys or here.get(group) != usually[group]:
            continue
        values: Any = OmegaConf.to_container(cfg[group], resolve=True)
        named = {key.partition(".")[2] for key in keys if key.startswith(f"{group}.")}
        usual_values: Any = OmegaConf.to_container(usual[group], resolve=True)
        with open_dict(cfg):
            cfg[group] = _set_within(values, usual_values, named)


def _set_within(values: Any, usual: Any, named: set[str], path: str = "") -> dict[str, Any]:
    """Return what of `values` differs from `usual` or is `named` (by its dotted path), group within group."""
    kept = {}
    for name, value in values.items():
        place, before = f"{path}{name}", usual.get(name)
        if isinstance(value, dict) and isinstance(before, dict) and place not in named:
            inner = _set_within(value, before, named, f"{place}.")
            kept |= {name: inner} if inner else {}
        elif value != before or place in named:
            kept[name] = value
    return kept
