"""One page for each command: what it does, its examples, its groups and its own settings."""

import ast
from collections.abc import Iterator

from generator.groups import meaning, program
from generator.presets import default_choices
from generator.settings import cell, code, light_class, settings_of, table
from prospero.configuration.help_text import examples
from prospero.configuration.schema import field_docs, source_file
from prospero.configuration.words import LAYERS
from prospero.registry import PARTS, VERBS, Verb, as_typed


def verb_pages() -> Iterator[tuple[str, str]]:
    """Yield (path, Markdown) of every command, and of their list."""
    for name, verb in VERBS.items():
        yield f"commands/{name}.md", "\n".join(_page(name, verb)) + "\n"
    yield "commands/index.md", "\n".join(_index()) + "\n"


def verb_navigation() -> list[str]:
    """Return the menu of the commands."""
    return [f"commands/{name}.md" for name in VERBS]


def _index() -> Iterator[str]:
    yield "# Every command\n"
    yield "Each is also `prospero <command>` and `python -m prospero <command>`; `--help` behind it prints its examples"
    yield "and settings. Exit codes: 0 ended, 2 a mistake in settings or data, 3 diverged, 4 stuck, 128 + n ended by"
    yield "signal n.\n"
    yield "| command | what it does |\n|---|---|"
    for name, verb in VERBS.items():
        yield f"| [`{program(name)}`]({name}.md) | {cell(verb.summary)} |"


def _page(name: str, verb: Verb) -> Iterator[str]:
    yield f"# {as_typed(name)}\n"
    yield f"{cell(verb.summary[0].upper() + verb.summary[1:])}.\n"
    if story := _story(verb):
        yield f"{story}\n"
    yield "## Examples\n"
    for command, comment in examples(name):
        yield f"{cell(comment[0].upper() + comment[1:])}:\n\n    {command}\n"
    if verb.settings is None:
        return
    inherited = _inherited(verb)
    docs = field_docs(verb.settings)
    yield from _groups(name, verb, [group for group in PARTS if group in docs])
    rows = list(settings_of(light_class(verb.settings), leave_out=inherited))
    if rows:
        yield "## Its own settings\n"
        if verb.word:
            yield f"The first word without a `=` fills `{verb.word}`.\n"
        yield from table(rows)
        yield ""


def _groups(name: str, verb: Verb, groups: list[str]) -> Iterator[str]:
    if verb.extends:
        yield f"Beside its own it takes every group and setting of [`{verb.extends}`]({verb.extends}.md).\n"
        return
    if not groups:
        return
    choices = default_choices(name)
    yield "## Groups\n\n| group | what it is | chosen by default |\n|---|---|---|"
    for group in [*groups, *(layer for layer in LAYERS if layer in choices)]:
        yield f"| [`{group}`](../groups/{group}.md) | {cell(meaning(group))} | {code(choices.get(group, 'null'))} |"
    yield ""


def _inherited(verb: Verb) -> frozenset[str]:
    """Return the settings that stand on the page of the verb that this one extends."""
    base = VERBS[verb.extends].settings if verb.extends else None
    return frozenset(field_docs(base)) if base else frozenset()


def _story(verb: Verb) -> str:
    """Return what the docstring of the verb's function says beyond its first sentence, as a paragraph."""
    module, _, function = verb.function.partition(":")
    tree = ast.parse(source_file(module).read_text(encoding="utf-8"))
    defined = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    doc = ast.get_docstring(next(defined)) or ""
    return "\n\n".join(cell(" ".join(part.split())) for part in doc.split("\n\n"))
