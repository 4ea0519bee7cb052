"""A float that is whole is an integer: `max_tokens: 50e6` in a preset says what `max_tokens=50e6` says when typed.

YAML reads 50e6 as a float, which OmegaConf refuses for an integer's place. Only there, where the schema says so, is it
taken: in settings without a type (Lightning's own, say) 1.0 and 1 may mean different things.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import IntegerNode

LARGEST = 2.0**63
"""Beyond it a number is taken for a mistake; no setting is as large."""


@contextmanager
def taken() -> Iterator[None]:
    """Inside, what OmegaConf puts into an integer's place may be a whole float; other programs keep its own rule."""
    convert = IntegerNode._validate_and_convert_impl

    def convert_whole(self: IntegerNode, value: Any) -> int:
        whole = isinstance(value, float) and abs(value) < LARGEST and value.is_integer()
        return convert(self, int(value) if whole else value)

    IntegerNode._validate_and_convert_impl = convert_whole
    try:
        yield
    finally:
        IntegerNode._validate_and_convert_impl = convert
