"""Braces in globs, as shells have them: `{a,b}` stands for `a` and for `b`."""

import re

_INNERMOST = re.compile(r"\{([^{}]*,[^{}]*)\}")
"""Braces with a comma in them and no braces; `{a}` is the text that it is, as in bash."""
MOST = 10_000
"""Globs that braces may stand for."""


def has_braces(pattern: str) -> bool:
    """Return whether a pattern holds braces that stand for several."""
    return _INNERMOST.search(pattern) is not None


def unbraced(pattern: str) -> list[str]:
    """Return the patterns that one with braces stands for, each once, in their order; also of braces within braces.

    Raises ValueError for more than `MOST`.
    """
    waiting, done = [pattern], dict[str, None]()
    while waiting:
        one = waiting.pop()
        found = _INNERMOST.search(one)
        if found is None:
            done[one] = None
        else:
            start, end = found.span()
            waiting += [one[:start] + choice + one[end:] for choice in reversed(found[1].split(","))]
        if len(waiting) + len(done) > MOST:
            raise ValueError(f"its braces stand for more than {MOST} globs")
    return list(done)
