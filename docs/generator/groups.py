"""One page for each group of `conf/`: its presets, its parts, and every setting of each."""

from collections.abc import Iterator

from generator.presets import Preset, default_choices, presets_of
from generator.settings import REQUIRED, Setting, cell, class_doc, code, light_class, settings_of, table
from prospero.configuration.schema import field_docs
from prospero.configuration.words import LAYERS
from prospero.registry import MULTIPLE, PARTS, VERBS, as_typed

ROOMS = {
    "Data": ["data", "rendering", "cleaning", "dedup", "split", "tokenizer", "packing", "augmentation"],
    "Model": ["model", "adapter"],
    "Objective": ["loss", "regularizers", "reward"],
    "Optimisation": ["optimizer", "schedule"],
    "Training": ["trainer", "callbacks", "logger"],
    "Measuring": ["metrics", "tasks", "analyses"],
    "Writing": ["sampling", "retrieval"],
    "Recipes": ["experiment", "debug"],
}
"""Heading of the menu -> its groups; a group that is in none stands under `Others`."""
LAYER_DOCS = {
    "experiment": "A whole recipe: a preset that chooses parts and settings all over a run.",
    "debug": "A way to look for mistakes: a preset that lies over everything else that was chosen.",
}
SWEEPS = {
    "hydra/sweeper": {
        "grid": "hydra_plugins.prospero_grid_sweeper.grid_sweeper:GridSweeperConf",
        "optuna": "hydra_plugins.prospero_optuna_sweeper.optuna_sweeper:OptunaSweeperConf",
    },
    "hydra/launcher": {"process": "hydra_plugins.prospero_process_launcher.process_launcher:ProcessLauncherConf"},
}
"""The groups of `-m`, whose parts are plugins of Hydra: they stand in no registry of ours."""


def group_pages() -> Iterator[tuple[str, str]]:
    """Yield (path, Markdown) of every group, and of the settings of sweeps."""
    for group in [*PARTS, *LAYERS]:
        yield f"groups/{group}.md", "\n".join(_page(group)) + "\n"
    yield "groups/sweeps.md", "\n".join(_sweeps()) + "\n"
    yield "groups/index.md", "\n".join(_index()) + "\n"


def group_navigation() -> list[dict[str, list[str]]]:
    """Return the menu of the groups by rooms."""
    known = [group for groups in ROOMS.values() for group in groups]
    others = [group for group in [*PARTS, *LAYERS] if group not in known]
    rooms = ROOMS | ({"Others": others} if others else {})
    entries = [{room: [f"groups/{group}.md" for group in groups]} for room, groups in rooms.items()]
    return [*entries, {"Sweeps": ["groups/sweeps.md"]}]


def meaning(group: str) -> str:
    """Return what a group is: the docstring under its field in the first verb that has it."""
    if group in LAYERS:
        return LAYER_DOCS[group]
    return next(docs[group] for verb in verbs_of(group) if (docs := field_docs(str(VERBS[verb].settings))))


def verbs_of(group: str) -> list[str]:
    """Return the verbs that have a group, `train` first where it is one."""
    if group in LAYERS:
        return ["train"]
    return [name for name, verb in VERBS.items() if verb.settings and group in field_docs(verb.settings)]


def program(verb: str) -> str:
    """Return how a verb is typed."""
    return f"python {verb}.py" if verb in ("train", "prepare", "generate", "evaluate") else f"prospero {as_typed(verb)}"


def home(group: str) -> str:
    """Return the verb whose command lines show a group: the one in which it does something by itself."""
    verbs = verbs_of(group)
    wanted = {"tasks": "evaluate", "analyses": "analyse", "retrieval": "evaluate"}.get(group, "train")
    return wanted if wanted in verbs else verbs[0]


def _index() -> Iterator[str]:
    yield "# Every part\n"
    yield "A run is put together from parts. A group holds the parts that can stand in one place; `group=name` chooses"
    yield "one, `group.setting=value` changes one of its settings, and a group of several takes a list. These pages are"
    yield "made from the code when the site is built: what they say is what the programs accept.\n"
    yield "| group | what it is | presets (in bold: the default) |"
    yield "|---|---|---|"
    for entry in group_navigation()[:-1]:
        for paths in entry.values():
            for group in (path.removeprefix("groups/").removesuffix(".md") for path in paths):
                chosen = default_choices(home(group)).get(group, "").strip("[]").split(",")
                names = [f"**{cell(one.name)}**" if one.name in chosen else cell(one.name) for one in presets_of(group)]
                yield f"| [`{group}`]({group}.md) | {cell(meaning(group))} | {', '.join(names)} |"
    yield "\nOf [sweeps](sweeps.md): `hydra/sweeper`, `hydra/launcher`."


def _page(group: str) -> Iterator[str]:
    verb = home(group)
    presets = presets_of(group)
    yield f"# {group}\n"
    yield f"{cell(meaning(group))}\n"
    default = default_choices(verb).get(group, "null")
    several = f"Several at once: `{group}=[a,b]`. " if group in MULTIPLE else ""
    others = [f"[`{name}`](../commands/{name}.md)" for name in verbs_of(group)]
    yield f"{several}Chosen by default in `{verb}`: {code(default)}. A group of {', '.join(others)}.\n"
    yield "| preset | what it is for |\n|---|---|"
    for preset in presets:
        yield f"| [`{preset.name}`](#{_anchor(preset)}) | {cell(preset.comment)} |"
    yield ""
    if group in LAYERS:
        for preset in presets:
            yield from _preset_section(preset, verb, None)
        return
    for part, path in PARTS[group].items():
        yield from _part(group, part, path, [preset for preset in presets if preset.part == part], verb)
    for preset in presets:
        if preset.part is None:
            yield from _preset_section(preset, verb, None)


def _part(group: str, part: str, path: str, presets: list[Preset], verb: str) -> Iterator[str]:
    light = light_class(path)
    rows = list(settings_of(light))
    yield f"## {part} {{ #part-{part} }}\n"
    yield f"{cell(class_doc(light))}\n"
    module, _, name = path.partition(":")
    yield f"<p class='source'>{name} in <code>src/{module.replace('.', '/')}.py</code></p>\n"
    if rows:
        yield f"Every setting of `{part}`, behind `{_prefix(group, part, presets)}.`:\n"
        yield from table(rows)
    else:
        yield "It has no settings."
    yield ""
    for preset in presets:
        yield from _preset_section(preset, verb, rows)


def _prefix(group: str, part: str, presets: list[Preset]) -> str:
    if group not in MULTIPLE:
        return group
    packages = [preset.package for preset in presets]
    return f"{group}.{part}" if f"{group}.{part}" in packages or not packages else packages[0]


def _preset_section(preset: Preset, verb: str, rows: list[Setting] | None) -> Iterator[str]:
    yield f"### {preset.choice.strip(chr(39))} {{ #{_anchor(preset)} }}\n"
    yield f"{cell(preset.comment)}\n"
    words = [program(verb), preset.choice, *_needed(preset, rows or [])]
    yield f"    {' '.join(words)}"
    if changed := _changed(preset, rows or []):
        yield f"    {' '.join([*words, changed])}"
    yield ""
    if preset.sets:
        yield "What it sets:\n"
        yield f"```yaml\n{preset.sets}\n```\n"


def _needed(preset: Preset, rows: list[Setting]) -> list[str]:
    return [f"{preset.package}.{row.path}={row.path.upper()}" for row in rows if row.default == REQUIRED]


def _changed(preset: Preset, rows: list[Setting]) -> str:
    """Return one setting of a part as it is typed, with its default: the first that is a number or a choice."""
    for row in rows:
        plain = row.default not in ("null", REQUIRED) and "list" not in row.type and " to " not in row.type
        if plain and row.type.split(" or ")[0] != "text" and preset.package != "_global_" and "." not in row.path:
            return f"{preset.package}.{row.path}={row.default}"
    return ""


def _anchor(preset: Preset) -> str:
    return f"preset-{preset.name}"


def _sweeps() -> Iterator[str]:
    yield "# Sweeps\n"
    yield "`-m` starts a job for every combination of the values that are given with commas: see"
    yield "[how to sweep](../how_to/sweep.md). These are the settings of what plans the jobs and of what starts them.\n"
    for group, parts in SWEEPS.items():
        for name, path in parts.items():
            light = light_class(path)
            yield f"## {group}={name}\n"
            yield f"{cell(class_doc(light))}\n"
            prefix = group.replace("/", ".")
            rows = [row for row in settings_of(light) if row.path != "_target_"]
            yield f"Every setting, behind `{prefix}.`:\n"
            yield from table(rows)
            yield ""
