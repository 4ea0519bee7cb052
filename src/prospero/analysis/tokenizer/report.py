"""The report on a tokenizer: its numbers beside those of others on the same text; JSON, a page, the screen."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from prospero.analysis.tokenizer.measures import (
    WITHOUT_SPACES,
    Cost,
    Fertility,
    TokenUse,
    cost_by_language,
    cost_by_source,
    fertility_by_script,
    round_trip,
    token_use,
    words_of,
)
from prospero.data.prepare import PreparedData
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.paths import write_text
from prospero.printable import printable
from prospero.runs.folder import TokenizerReportFolder
from prospero.runs.page import page, panel, tiles

SHOWN_TOKENS, SHOWN_SOURCES = 40, 20
STYLE = """
table.rows th { text-align: left; color: #656d76; font-weight: 500; padding: 3px 12px 3px 0; }
table.rows td { width: auto; font-family: ui-monospace, monospace; }
table.rows td + td, table.rows th + th { text-align: right; }
code { background: #eef0f2; border-radius: 4px; padding: 1px 5px; margin: 0 6px 4px 0; display: inline-block;
  white-space: pre-wrap; overflow-wrap: anywhere; font: 12px ui-monospace, monospace; }
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one tokenizer makes of the texts."""

    vocab_size: int
    sources: dict[str, Cost]
    scripts: dict[str, Fertility]
    languages: dict[str, Cost]
    hard: dict[str, str | None]
    """Hard text -> what came back where it differs."""
    changed: int
    """Documents that do not come back."""

    @property
    def whole(self) -> Cost:
        """All sources together."""
        rows = list(self.sources.values())
        names = ("documents", "n_bytes", "characters", "tokens")
        return Cost(**{name: sum(getattr(row, name) for row in rows) for name in names})


@dataclass(slots=True)
class TokenizerReport:
    """A tokenizer's own numbers first, then those of others."""

    name: str
    fingerprint: str
    tokenizers: dict[str, Measured]
    use: TokenUse
    study: dict[int, dict[str, float]] = field(default_factory=dict)
    """Vocabulary size -> what came of a small model with it."""

    def plain(self) -> dict[str, Any]:
        """Return all numbers as plain values."""
        return {
            "data": {"name": self.name, "fingerprint": self.fingerprint},
            "tokenizers": {name: _plain(measured) for name, measured in self.tokenizers.items()},
            "unused": [self.shown(id_) for id_ in self.use.unused],
            "longest": [
                {"id": id_, "token": self.shown(id_), "bytes": len(self.use.pieces[id_]), "count": self.count(id_)}
                for id_ in self.use.longest[:SHOWN_TOKENS]
            ],
            "study": {str(size): row for size, row in self.study.items()},
        }

    def shown(self, id_: int) -> str:
        """Return a token as text."""
        return self.use.pieces[id_].decode(errors="backslashreplace")

    def count(self, id_: int) -> int:
        """Return how often a token stands in the data."""
        return int(self.use.counts[id_])


def measured(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], words: Mapping[str, int]) -> Measured:
    """Measure one tokenizer on (source, text) and on the words in them."""
    hard, changed = round_trip(tokenizer, texts)
    return Measured(
        vocab_size=tokenizer.vocab_size,
        sources=cost_by_source(tokenizer, texts),
        scripts=fertility_by_script(tokenizer, words),
        languages=cost_by_language(tokenizer),
        hard=hard,
        changed=changed,
    )


def report_of(
    prepared: PreparedData, texts: Sequence[tuple[str, str]], others: Mapping[str, Tokenizer]
) -> TokenizerReport:
    """Measure the tokenizer of prepared data, and `others` on the same texts."""
    words = words_of(text for _, text in texts)
    rows = {name: measured(one, texts, words) for name, one in ({"this": prepared.tokenizer} | dict(others)).items()}
    name = prepared.receipt["source"]["description"]
    return TokenizerReport(name, prepared.fingerprint, rows, token_use(prepared))


def write_report(folder: TokenizerReportFolder, report: TokenizerReport) -> None:
    """Write the page and the numbers."""
    folder.path.mkdir(parents=True, exist_ok=True)
    write_text(folder.summary, json.dumps(report.plain(), indent=1, ensure_ascii=False) + "\n")
    write_text(folder.page, page("Tokenizer", _sections(report), style=STYLE))


def screen(report: TokenizerReport) -> str:
    """Return what is said on the screen."""
    lines = [f"{'':24} {'tokens':>9} {'bytes/token':>11}  comes back"]
    for name, row in report.tokenizers.items():
        back = "all" if _all_back(row) else f"{_n_lost(row)} of {len(row.hard)} hard texts differ"
        lines.append(f"{name[:24]:24} {row.vocab_size:>9,} {row.whole.bytes_per_token:>11.3f}  {back}")
    own = report.tokenizers["this"]
    lines += ["", f"{'script':24} {'words':>9} {'tokens/word':>11}  bytes/token"]
    for script, row in own.scripts.items():
        fertility = "" if script in WITHOUT_SPACES else f"{row.tokens_per_word:.3f}"
        lines.append(f"{script:24} {row.words:>9,} {fertility:>11}  {row.n_bytes / row.tokens:.3f}")
    unused = report.use.unused
    some = ", ".join(repr(report.shown(id_)) for id_ in unused[:8])
    lines += ["", f"{len(unused):,} tokens never occur in the data{': ' + some if some else ''}"]
    lines.append("longest: " + ", ".join(repr(report.shown(id_)) for id_ in report.use.longest[:8]))
    lines += [
        f"vocabulary {size:>6,}: {row['bits_per_byte']:.4f} bits per byte, {row['bytes_per_token']:.3f} bytes per token"
        for size, row in report.study.items()
    ]
    return "\n".join(map(printable, lines))


def _plain(row: Measured) -> dict[str, Any]:
    return asdict(row) | {"bytes_per_token": round(row.whole.bytes_per_token, 4)}


def _n_lost(row: Measured) -> int:
    return sum(back is not None for back in row.hard.values())


def _all_back(row: Measured) -> bool:
    return not _n_lost(row) and not row.changed


def _sections(report: TokenizerReport) -> list[str]:
    own = report.tokenizers["this"]
    head = [(f"{own.whole.bytes_per_token:.3f}", "bytes a token"), (f"{own.vocab_size:,}", "tokens in the vocabulary")]
    head += [(f"{len(report.use.unused):,}", "never used in the data"), (_back(own), "comes back")]
    return [
        f"<h1>Tokenizer</h1><div class=quiet>{html.escape(report.name)}, data {report.fingerprint[:12]}; "
        f"measured on {own.whole.n_bytes / 1e6:.2f} MB of {own.whole.documents:,} documents</div>",
        tiles(head),
        panel("Bytes a token, by source", _by_source(report)),
        panel("Words, by script", _by_script(report)),
        panel("One sentence in many languages: tokens, and beside English", _by_language(report)),
        panel("Small models by size of the vocabulary", _study(report)),
        panel("What comes back", _round_trip(report)),
        panel(f"The longest tokens, of {own.vocab_size:,}", _tokens(report, report.use.longest, counts=True)),
        panel(f"Never used: {len(report.use.unused):,}, the longest first", _tokens(report, report.use.unused)),
    ]


def _back(row: Measured) -> str:
    return "all" if _all_back(row) else f"{len(row.hard) - _n_lost(row)} of {len(row.hard)}"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, whose first column names the row."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table class=rows><tr>{top}</tr>{body}</table>" if rows else ""


def _by_source(report: TokenizerReport) -> str:
    names, own = list(report.tokenizers), report.tokenizers["this"]
    rows = [["all", f"{own.whole.n_bytes / 1e6:.3f}"]]
    rows[0] += [f"{report.tokenizers[name].whole.bytes_per_token:.3f}" for name in names]
    for source, cost in list(own.sources.items())[:SHOWN_SOURCES]:
        each = [f"{report.tokenizers[name].sources[source].bytes_per_token:.3f}" for name in names]
        rows.append([printable(source), f"{cost.n_bytes / 1e6:.3f}", *each])
    return _rows(["source", "MB", *names], rows)


def _by_script(report: TokenizerReport) -> str:
    names = list(report.tokenizers)
    rows = []
    for script, own in report.tokenizers["this"].scripts.items():
        each = [report.tokenizers[name].scripts[script] for name in names]
        fertility = ["" if script in WITHOUT_SPACES else f"{row.tokens_per_word:.3f}" for row in each]
        whole = "" if script in WITHOUT_SPACES else f"{own.whole / own.words:.1%}"
        sizes = [f"{row.n_bytes / row.tokens:.3f}" for row in each]
        rows.append([script, f"{own.words:,}", *fertility, whole, *sizes])
    fertility, sizes = [f"tokens/word, {name}" for name in names], [f"bytes/token, {name}" for name in names]
    return _rows(["script", "words", *fertility, "one token", *sizes], rows)


def _by_language(report: TokenizerReport) -> str:
    names, rows = list(report.tokenizers), []
    for language in report.tokenizers["this"].languages:
        row = [language]
        for name in names:
            costs = report.tokenizers[name].languages
            tokens, english = costs[language].tokens, costs["English"].tokens
            row.append(f"{tokens}  ({tokens / max(1, english):.2f})")
        rows.append(row)
    return _rows(["language", *names], rows)


def _study(report: TokenizerReport) -> str:
    rows = [
        [f"{size:,}", f"{row['bits_per_byte']:.4f}", f"{row['bytes_per_token']:.3f}"]
        for size, row in report.study.items()
    ]
    return _rows(["vocabulary", "bits per byte", "bytes a token"], rows)


def _round_trip(report: TokenizerReport) -> str:
    rows = []
    for what in report.tokenizers["this"].hard:
        backs = [row.hard[what] for row in report.tokenizers.values()]
        rows.append([what, *("same" if back is None else printable(repr(back[:60])) for back in backs)])
    changed = [
        f"{row.whole.documents - row.changed:,} of {row.whole.documents:,}" for row in report.tokenizers.values()
    ]
    return _rows(["text", *report.tokenizers], [*rows, ["documents of the data", *changed]])


def _tokens(report: TokenizerReport, ids: Sequence[int], *, counts: bool = False) -> str:
    shown = [(printable(report.shown(id_)), report.count(id_)) for id_ in ids[:SHOWN_TOKENS]]
    cells = [(html.escape(token), f" × {count:,}" if counts else "") for token, count in shown]
    return "".join(f"<code><bdi>{token}</bdi>{count}</code>" for token, count in cells)
