"""Functions of the standard library whose docstrings hold doctests: write the body, and the doctests are the check."""

import ast
import re
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from prospero.errors import DataError

FUNCTIONS = {
    "_pydecimal": "localcontext _decimal_lshift_exact",
    "collections": "namedtuple",
    "difflib": "get_close_matches IS_CHARACTER_JUNK unified_diff context_diff ndiff restore",
    "doctest": "_ellipsis_match script_from_examples",
    "enum": "bin",
    "heapq": "merge",
    "http.cookiejar": "split_header_words join_header_words reach",
    "importlib.metadata._functools": "method_cache pass_none",
    "importlib.metadata._itertools": "always_iterable",
    "ipaddress": "summarize_address_range",
    "pickle": "encode_long decode_long",
    "pickletools": (
        "read_uint1 read_uint2 read_int4 read_uint4 read_uint8 read_stringnl read_stringnl_noescape_pair "
        "read_string1 read_string4 read_bytes1 read_bytes4 read_bytes8 read_bytearray8 read_unicodestringnl "
        "read_unicodestring1 read_unicodestring4 read_unicodestring8 read_decimalnl_short read_decimalnl_long "
        "read_floatnl read_float8 read_long1 read_long4"
    ),
    "shutil": "_basename",
    "statistics": (
        "_sum _exact_ratio mean fmean geometric_mean harmonic_mean median median_low median_high "
        "median_grouped mode multimode variance pvariance stdev pstdev covariance correlation "
        "linear_regression"
    ),
    "typing": "get_origin get_args is_typeddict",
}
"""Module -> functions that pass their doctests by their own source and not without a body, on Python 3.11 to 3.13.

Left out are those whose doctests are not meant to be run, need a network or other programs, or pass with any body.
"""

SETUP = """\
import importlib
module = importlib.import_module({module!r})
globals().update({{name: value for name, value in vars(module).items() if not name.startswith("__")}})
del {function}
"""
"""What comes before the function: all else that its module defines."""
TEST = """\
import doctest
examples = doctest.DocTestParser().get_doctest({docstring!r}, globals(), {function!r}, None, None)
assert doctest.DocTestRunner(verbose=False, optionflags=doctest.FAIL_FAST).run(examples).failed == 0
"""
"""What comes after it: the docstring as it was, whatever has been written."""


@lru_cache(maxsize=1)
def doctested() -> tuple[Mapping[str, Any], ...]:
    """Return {prompt, body, setup, test, name} of each function; DataError when this Python has no sources."""
    return tuple(row for module, names in FUNCTIONS.items() for row in _of_module(module, names.split()))


def _of_module(module: str, names: list[str]) -> Iterator[Mapping[str, Any]]:
    path = _file(module)
    text = path.read_text(encoding="utf-8")
    lines = re.split("(?<=\n)", text)  # as the parser counts them: a form feed ends none
    for node in ast.parse(text).body:
        docstring = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if not isinstance(node, ast.FunctionDef) or node.name not in names or docstring is None:
            continue
        end = node.body[0].end_lineno or node.lineno
        yield {
            "prompt": "".join(lines[node.lineno - 1 : end]),
            "body": "".join(lines[end : node.end_lineno]),
            "setup": SETUP.format(module=module, function=node.name),
            "test": TEST.format(docstring=docstring, function=node.name),
            "name": f"{module}.{node.name}",
        }


def _file(module: str) -> Path:
    folder = Path(sysconfig.get_paths()["stdlib"])
    place = folder.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    raise DataError(f"This Python has no source of its module {module} in {folder}; give tasks.code.data.path=...")
