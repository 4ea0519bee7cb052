"""`init_from`: groups that are left alone are the source's, not the root's own choice.

The root composes with its default model and tokenizer. Where the user chose neither of the two (by a word, an
experiment, or a config.yaml that spells all of it out), only what was set within the group is kept, as a table, and
`commands.init_from` lays it over the settings of the source.
"""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

GROUPS = ("model", "tokenizer")
"""What a source brings."""


def leave_to_source(cfg: DictConfig, words: list[str], choices: Callable[[list[str]], Mapping[str, Any]]) -> None:
    """Replace groups of a composed root that were not chosen by what was set within them.

    `words` composed it; `choices(words)` are the presets that the root chooses with some words. Nothing happens where
    `cfg` has no `init_from`.
    """
    if "init_from" not in cfg or cfg.init_from is None:
        return
    usual, here = choices([]), choices(words)
    keys = [word.lstrip("+~").partition("=")[0] for word in words]
    for group in GROUPS:
        if group not in usual or group in keys or here.get(group) != usual[group]:
            continue
        inner = {key.split(".")[1] for key in keys if key.startswith(f"{group}.")}
        values: Any = OmegaConf.to_container(cfg[group], resolve=True)
        with open_dict(cfg):
            cfg[group] = {name: value for name, value in values.items() if name in inner}
