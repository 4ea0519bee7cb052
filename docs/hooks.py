"""What `mkdocs build` runs of ours: pages made from the code, pictures drawn from runs, links that leave the folder.

Nothing of it is committed: the site is built from the code that it describes. It needs no network.
"""

import html
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from generator.api import api_navigation, api_pages
from generator.groups import group_navigation, group_pages
from generator.pictures import drawn
from generator.verbs import verb_navigation, verb_pages

ROOT = Path(__file__).parent.parent
FROM_THE_TOP = {"CONTRIBUTING.md": "CONTRIBUTING.md", "leaderboard/README.md": "LEADERBOARD.md"}
"""File outside of docs/ -> the page that is made of it."""
FILLED = {"Every part": group_navigation, "Every command": verb_navigation, "API": api_navigation}
"""Section of the menu that ends with `...` -> what is put there."""
OTHERS = "More"
"""Section of the pages that nobody has put into the menu."""
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
_COMMAND = re.compile(r"^(?:python|prospero|torchrun|pip|mkdocs|pytest|curl|git|sbatch|sky|bash|docker|touch)\b")
_CODE = re.compile(r"(<pre><span></span><code>|<pre><code>)(.*?)(</code></pre>)", re.DOTALL)
_DRAWN = re.compile(r"<!-- drawn: (\w+) -->")
_DIAGRAM = re.compile(r'<p><img alt="([^"]*)" src="[^"]*pictures/(\w+\.svg)" ?/?></p>')
_COMMENT = re.compile(r"(?<=\s)(#\s.*)$")


def on_config(config: Any) -> Any:
    """Fill the menu with the generated pages, and with the pages that stand in no section."""
    config.nav = [_filled(entry) for entry in config.nav]
    named = set(_paths(config.nav))
    docs = Path(config.docs_dir)
    left = [path.name for path in sorted(docs.glob("*.md")) if path.name not in named]
    if left:
        config.nav.append({OTHERS: left})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and those of files that lie beside docs/."""
    for pages in (group_pages(), verb_pages(), api_pages()):
        for path, text in pages:
            files.append(File.generated(config, path, content=text))
    for path, page in FROM_THE_TOP.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files beside docs/ into links to their page, or into the path as text where there is none."""
    source = page.file.src_uri
    origin = next((path for path, name in FROM_THE_TOP.items() if name == source), f"docs/{source}")
    text = _LINK.sub(lambda found: _link(found, origin, source), markdown)
    return _four_spaces(text) if source in FROM_THE_TOP.values() else text


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """Put the pictures in, so that they follow the page's colours, and set comments apart from commands."""
    content = _CODE.sub(_commands_coloured, content)
    content = _DRAWN.sub(lambda found: drawn(found[1]), content)
    return _DIAGRAM.sub(lambda found: _diagram(found, Path(config.docs_dir) / "pictures"), content)


def _filled(entry: Any) -> Any:
    if isinstance(entry, dict):
        (title, children), *_ = entry.items()
        if isinstance(children, list):
            made: list[Any] = []
            for child in children:
                made += FILLED[title]() if child == "..." else [_filled(child)]
            return {title: made}
    return entry


def _paths(entries: list[Any]) -> list[str]:
    """Return every path of a menu."""
    found: list[str] = []
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        found += _paths(value) if isinstance(value, list) else [value]
    return found


def _link(found: re.Match[str], origin: str, source: str) -> str:
    target = found[2]
    if "://" in target or target.startswith(("mailto:", "#")):
        return found[0]
    place = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if place in FROM_THE_TOP:
        return f"{found[1]}{_relative(FROM_THE_TOP[place], source)}{found[3]}"
    if place == "README.md":
        return f"{found[1]}{_relative('index.md', source)}{found[3]}"
    if place.startswith("docs/"):
        return f"{found[1]}{_relative(place.removeprefix('docs/'), source)}{found[3]}"
    if not (ROOT / place).exists():
        return found[0]  # strict mode says so
    return f"] (`{place}`)"


def _relative(target: str, source: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(source) or ".")


def _four_spaces(text: str) -> str:
    """Indent what belongs to the entries of a numbered list by four spaces, which Markdown's Python asks for.

    GitHub takes the three that CONTRIBUTING.md has.
    """
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith("   ```"):
            inside = not inside
            lines.append(f" {line}")
        elif line.strip() and (inside or re.match(r"   \S", line)):
            lines.append(f" {line}")
        else:
            lines.append(line)
    return "\n".join(lines)


def _diagram(found: re.Match[str], folder: Path) -> str:
    """Return a diagram as part of the page, without the style that it has for those who show it alone."""
    text = (folder / found[2]).read_text(encoding="utf-8")
    return f'<figure class="drawn">{text.replace("<svg", "<svg class=diagram", 1)}</figure>'


def _commands_coloured(found: re.Match[str]) -> str:
    lines = html.unescape(re.sub(r"<[^>]+>", "", found[2])).splitlines()
    if not any(_COMMAND.match(line) for line in lines):
        return found[0]
    shown = [_COMMENT.sub(lambda comment: f"\0{comment[1]}\1", line) for line in lines]
    text = html.escape("\n".join(shown), quote=False).replace("\0", '<span class="c1">').replace("\1", "</span>")
    return f"{found[1]}{text}\n{found[3]}"
