"""The documentation is right: commands compose, links lead somewhere, every setting is told of, the site builds."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from prospero import cli, registry
from prospero.configuration import composition, rewording
from prospero.configuration.schema import field_docs
from prospero.configuration.words import LAYERS, for_hydra, spelt_out
from prospero.errors import ConfigError

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from generator import groups, pictures, record, settings, verbs  # noqa: E402
from generator.commands import Command, commands_of  # noqa: E402

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "leaderboard/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
DAILY = ("start", "how_to", "concepts")
"""Folders whose commands are composed always; those of the other pages with --long."""
OF_THE_READER = {
    ("count", ()): "the verb that CONTRIBUTING.md adds",
    ("evaluate", ("run=last", "tasks=[headlines]")): "the preset that docs/TASKS.md shows",
}
"""Commands that need what the page tells the reader to write."""
GENERATED = re.compile(r"docs/(groups|commands|api)/(\w+)\.md")


@pytest.fixture(autouse=True)
def clean_hydra():
    composition.register()
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def words_of(command: Command) -> list[str]:
    """Return a command's settings as Hydra takes them, of a sweep the first of the values; errors are the program's."""
    words, options = cli._arranged(cli._with_word(command.verb, list(command.words)))
    swept = "-m" in options
    words = for_hydra(command.verb, spelt_out(command.verb, words), swept=swept)
    return [cli._first(word) for word in words if "interval(" not in word] if swept else words


def compose(verb: str, words: list[str], *, typed: bool) -> None:
    """Compose settings as the program does."""
    with rewording.worded(verb, words):
        config = composition.composed(verb, words)
        if typed:
            composition.typed(config)
    GlobalHydra.instance().clear()


def checked(markdown: str) -> list[Command]:
    """Return the commands of a page that compose without what the reader writes."""
    return [
        one
        for one in dict.fromkeys(commands_of(markdown))
        if (one.verb, one.words) not in OF_THE_READER
        and not {"--config-dir", "-sc"} & set(one.words)
        and registry.VERBS[one.verb].settings is not None
        and not any(word.startswith("plugins=") for word in one.words)
    ]


def plain_settings(verb: str) -> set[str]:
    """Return the settings of a verb that are no groups: of several values of one the last counts."""
    return set(field_docs(str(registry.VERBS[verb].settings))) - set(registry.PARTS)


def together(commands: list[Command]) -> list[tuple[str, list[str]]]:
    """Return (verb, settings) of commands, those together that touch other groups: a third of the time."""
    rows: list[tuple[str, list[str], set[str]]] = []
    for command in commands:
        words = words_of(command)
        keys = {re.split(r"[.=]", word.lstrip("+~"))[0] for word in words} - plain_settings(command.verb)
        for verb, row, taken in rows:
            if verb == command.verb and not keys & taken and not {*LAYERS} & (keys | taken):
                row.extend(word for word in words if word not in row)
                taken.update(keys)
                break
        else:
            rows.append((command.verb, words, keys))
    return [(verb, row) for verb, row, _ in rows]


@pytest.mark.heavy
def test_every_command_that_a_newcomer_reads_composes():
    pages = [page for page in PAGES if page.name in ("README.md", "index.md") or page.parent.name in DAILY]
    for verb, words in together(list(dict.fromkeys(one for page in pages for one in checked(page.read_text())))):
        compose(verb, words, typed=False)


@pytest.mark.deep
@pytest.mark.heavy
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_composes_alone(page):
    for command in checked(page.read_text()):
        compose(command.verb, words_of(command), typed=not command.told)


@pytest.mark.deep
@pytest.mark.heavy
@pytest.mark.parametrize("group", [*registry.PARTS, *LAYERS])
def test_every_command_of_a_group_composes(group):
    commands = checked(dict(groups.group_pages())[f"groups/{group}.md"])
    assert len(commands) >= len(list((ROOT / "conf" / group).glob("*.yaml")))
    for command in commands:
        compose(command.verb, words_of(command), typed=False)


@pytest.mark.parametrize("wrong", ["model.n_layr=3", "model=smal", "run=last"])
def test_a_command_that_is_wrong_is_found(wrong):
    with pytest.raises(ConfigError):
        for verb, words in together(checked(f"A page.\n\n    python train.py seed=2\n    python train.py {wrong}\n")):
            compose(verb, words, typed=False)


def test_commands_are_found_where_they_stand():
    text = (
        "Text with `prospero look run=a` and `prospero show batch ...`.\n\n"
        "    A=1 python train.py x=1 \\\n        y=2 && prospero chat   # why\n\n"
        "```bash\ntorchrun --nproc-per-node 8 train.py trainer=fsdp\n```\n    prospero export run=<name>\n"
    )
    assert list(commands_of(text)) == [
        Command("train", ("x=1", "y=2")),
        Command("chat", ()),
        Command("train", ("trainer=fsdp",)),
        Command("look", ("run=a",), told=True),
    ]


def test_links_lead_to_files_and_to_generated_pages():
    for page in PAGES:
        prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#\s]+)", prose):
            if "://" in target:
                continue
            path = (page.parent / target).resolve()
            made = GENERATED.fullmatch(str(path.relative_to(ROOT)))
            kinds = {"groups": [*registry.PARTS, *LAYERS, "sweeps"], "commands": list(registry.VERBS), "api": []}
            there = made[2] in [*kinds[made[1]], "index"] if made else path.exists()
            assert there, f"{page.relative_to(ROOT)} leads to {target}"


def test_the_table_of_parts_has_every_group():
    table = (DOCS / "concepts/parts.md").read_text()
    assert [group for group in [*registry.PARTS, *LAYERS] if f"`{group}`" not in table] == []


def test_a_newcomer_reads_the_readme_in_two_minutes():
    assert len((ROOT / "README.md").read_text().split()) < 600


def test_every_setting_of_every_part_is_on_its_groups_page():
    pages = dict(groups.group_pages())
    for group, parts in registry.PARTS.items():
        rows = pages[f"groups/{group}.md"].splitlines()
        for path in parts.values():
            for name, meaning in field_docs(path).items():
                told = [row for row in rows if row.startswith((f"| `{name}` |", f"| `{name}."))]
                assert told, f"{group}: {path} has {name}"
                assert any(settings.cell(meaning) in row for row in told) or f"`{name}." in told[0], (path, name)


def test_every_verb_has_a_page_with_its_own_settings():
    pages = dict(verbs.verb_pages())
    for name, verb in registry.VERBS.items():
        page = pages[f"commands/{name}.md"]
        inherited = field_docs(str(registry.VERBS[verb.extends].settings)) if verb.extends else {}
        own = set(field_docs(verb.settings)) - set(inherited) if verb.settings else set()
        assert [item for item in own if f"`{item}" not in page] == [], name


def test_a_group_that_has_no_room_yet_is_in_the_menu(monkeypatch):
    monkeypatch.setitem(groups.ROOMS, "Data", ["data"])
    menu = groups.group_navigation()
    others = next(entry["Others"] for entry in menu if "Others" in entry)
    assert others == [f"groups/{g}.md" for g in registry.PARTS if g in
                      ("rendering", "cleaning", "dedup", "split", "tokenizer", "packing", "augmentation")]  # fmt: skip


@pytest.mark.heavy
def test_the_pictures_show_what_the_code_does(tmp_path):
    recorded = json.loads((DOCS / "runs/concepts.json").read_text())
    assert recorded["schedules"] == record.schedules()
    assert recorded["packings"] == record.packings(tmp_path)


def test_a_drawn_picture_follows_the_colours_of_the_page():
    drawn = pictures.packing() + pictures.attention()
    assert "#" not in re.sub(r"&#\w+;", "", drawn), "a colour of its own would not follow the dark page"


def test_the_part_of_the_how_to_page_is_a_part(tmp_path, monkeypatch):
    import importlib

    import torch

    code = re.search(r"```python\n(.*?)```", (DOCS / "how_to/own_part.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "part_of_the_docs.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "ADDED", {})
    importlib.import_module("part_of_the_docs")
    model = registry.config_class("model", "bigram")(d_model=8).build(vocab_size=11, max_seq_len=4)
    with torch.no_grad():
        assert model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, 11)


@pytest.mark.processes
def test_the_site_builds_strictly_and_asks_nothing_of_the_network(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install -e '.[docs]'")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "x"}
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(registry.PARTS) + len(registry.VERBS) + len(list(DOCS.rglob("*.md")))
    outside = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?(?:https?:)?//""")
    fonts = re.compile(r"@import|url\([\"']?(?:https?:)?//")
    for page in pages:
        text = page.read_text()
        assert not outside.search(text), page.name
        assert "<!-- drawn" not in text, page.name
    assert not [sheet for sheet in (tmp_path / "site").rglob("*.css") if fonts.search(sheet.read_text())]
