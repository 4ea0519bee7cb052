"""The model card of an export (README.md): what the model is, what it read, what was measured, how it is used."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prospero import registry
from prospero.data.describe import receipt_lines
from prospero.errors import DataError
from prospero.interop.formats import Exported
from prospero.model.size import count_parameters
from prospero.plain import flat, plain
from prospero.runs.folder import RunFolder

HOW_EAGER = {"attn_implementation": "eager"}
EAGER = "attn_implementation='eager', for Transformers' sdpa leaves the cap on attention out"
UNSET = "Not set. Say it with `license=` when exporting, or here, before the model is shared."


def model_card(exported: Exported, architecture: str, *, license: str | None, name: str, eager: bool) -> str:
    """Return the card in Markdown, with the front matter that the hub reads."""
    facts, description = exported.description["facts"], exported.description["model"]
    parameters = count_parameters(exported.model)
    sections = [
        _front_matter(license),
        f"# {name}\n\n{architecture} with {parameters.total:,} parameters ({parameters.embedding:,} of them in "
        f"embeddings), a vocabulary of {exported.model.vocab_size:,} and {exported.model.max_seq_len:,} tokens "
        "at once, written by Prospero.",
        _use(name, eager=eager),
        _data(exported, facts),
        _table("Measured", _metrics(facts)),
        _table("Settings of the model", _settings(description)),
        f"## Licence\n\n{license or UNSET}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(license: str | None) -> str:
    lines = ["library_name: transformers", "pipeline_tag: text-generation", f"license: {license or 'unknown'}"]
    return "\n".join(["---", *lines, "tags:", "- prospero", "---"])


def _use(name: str, *, eager: bool) -> str:
    code = [
        "from transformers import pipeline",
        "",
        f'write = pipeline("text-generation", "{name}"{", model_kwargs=" + str(HOW_EAGER) if eager else ""})',
        'print(write("The import statement", max_new_tokens=20)[0]["generated_text"])',
    ]
    said = f"\n\nIt needs {EAGER}." if eager else ""
    return "## How to use it\n\n```python\n" + "\n".join(code) + "\n```" + said


def _data(exported: Exported, facts: Mapping[str, Any]) -> str:
    """What the model read: the receipt of its run, or where it was imported from."""
    if imported := facts.get("imported"):
        files = "\n".join(f"- {name}: sha256 {file['sha256']}" for name, file in imported["files"].items())
        source = f"{imported['source']}" + (f" ({imported['revision']})" if imported["revision"] else "")
        return f"## Where it comes from\n\nImported from {source}, {imported['date']}.\n\n{files}"
    receipt = _receipt(exported.source)
    if receipt is None:
        known = facts.get("data_fingerprint")
        return f"## Data\n\nFingerprint {known}." if known else "## Data\n\nThe receipt of the data was not at hand."
    return "## Data\n\n```\n" + "\n".join(receipt_lines(receipt)) + "\n```"


def _receipt(source: Path) -> dict[str, Any] | None:
    """Return the receipt of the run that `source` is, or lies in."""
    for place in (source, source.parent, source.parent.parent):
        file = RunFolder(place).receipt
        if file.is_file():
            try:
                return json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise DataError(f"{file} is damaged ({error}); without it the model card has no data") from error
    return None


def _metrics(facts: Mapping[str, Any]) -> dict[str, str]:
    metrics = facts.get("metrics") or {}
    return {name: f"{value:.4f}" for name, value in metrics.items() if isinstance(value, float)}


def _settings(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that are not the defaults, and the sizes."""
    kind = registry.config_class("model", description["name"])
    usual, own = flat(plain(kind())), flat(description["settings"])
    sizes = ("n_layers", "d_model", "n_heads")
    return {name: str(value) for name, value in own.items() if name in sizes or value != usual.get(name)}


def _table(title: str, rows: Mapping[str, str]) -> str:
    if not rows:
        return ""
    return "\n".join(
        [f"## {title}", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    )
