"""What settings are where nobody gives them: those of a verb as its root composes, and those of a part by itself."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from prospero import registry
from prospero.configuration import composition
from prospero.configuration.schema import schema
from prospero.plain import flat


def default_settings(verb: str) -> dict[str, Any]:
    """Return the settings of a verb without a word by their dotted names, and each group with the parts chosen in it.

    Several parts of a group stand as one text with commas between them.
    """
    composition.register()
    cfg = composition.composed(verb, [])
    found = _plain(cfg)
    for group in registry.PARTS:
        if group in cfg:
            node = cfg._get_node(group)
            found[group] = (
                ",".join(node) if group in registry.MULTIPLE and isinstance(node, DictConfig) else _name(node)
            )
    return found


def part_settings(group: str, name: str) -> dict[str, Any]:
    """Return the settings of a registered part by itself; none where there is no such part today."""
    path = registry.PARTS.get(group, {}).get(name)
    return {} if path is None else _plain(OmegaConf.structured(schema(path)))


def _plain(cfg: Any) -> dict[str, Any]:
    values = OmegaConf.to_container(cfg, resolve=False, enum_to_str=True)
    return {name: value for name, value in flat(values).items() if not isinstance(value, dict)}


def _name(node: Any) -> str | None:
    kind = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
    source = None if kind is None else vars(kind).get("__source__")
    places = ((name, path) for parts in registry.PARTS.values() for name, path in parts.items())
    return next((name for name, path in places if path == source), None)
