"""Sizes as people write them: 5GB, 200MB, 64kB."""

import re

from prospero.errors import ConfigError

_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "b": 1, "": 1}


def bytes_of(text: str, name: str) -> int:
    """Return the bytes of `text`, the value of the setting `name`; raises ConfigError for what is no size above 0."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(found[2].lower()) if found else None
    size = int(float(found[1]) * unit) if found and unit else 0
    if size < 1:
        raise ConfigError(f"{name}={text} is no size; write it as 5GB, 200MB or 64kB")
    return size
