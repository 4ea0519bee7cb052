"""`inspect`: documents before and after each cleaning step, and what was dropped and why; nothing is written."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prospero.data.parts import MISSING, CleaningSettings, RenderingSettings, SourceSettings
from prospero.errors import ConfigError, suggest

if TYPE_CHECKING:
    from prospero.data.inspection import Inspection

EXAMPLES = [
    ("prospero inspect data=stdlib cleaning=prose", "ten documents before and after each step, and the dropped"),
    (
        "prospero inspect data=files data.path='texts/*.md' cleaning=web step=length n=3",
        "one step of those that run",
    ),
]


@dataclass(kw_only=True, slots=True)
class InspectConfig:
    """What is cleaned, how, and how much of it is shown."""

    data: SourceSettings = MISSING
    """Where the text comes from."""
    rendering: RenderingSettings | None = None
    """What a document is, a text or a record of an example; null: a text."""
    cleaning: dict[str, CleaningSettings] = field(default_factory=dict)
    """The cleaning steps, in their order."""
    n: int = 10
    """Documents shown for each step, drawn from those that it changes."""
    examples: int = 3
    """Documents shown for each reason to drop one: the first."""
    lines: int = 12
    """Lines that differ shown for each document."""
    step: str | None = None
    """The one step that is shown (the others run all the same); null: every step."""
    limit: int | None = 10_000
    """Documents that are read, from the first; null: all."""
    seed: int = 0
    """Decides which of the changed documents are shown."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs; nothing is written there."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts; imported before anything is composed."""
    traceback: bool = False
    """Show the full traceback of an error (`debug=traceback` sets it)."""

    def __post_init__(self) -> None:
        for name, least in (("n", 0), ("examples", 0), ("lines", 1), ("limit", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ConfigError(f"{name}={value} is impossible; give {least} or more")


def inspect(config: InspectConfig) -> int:
    """Read and clean the text, and print what each step did to it; return the exit code."""
    import sys

    from prospero import log
    from prospero.data.inspection import inspect_cleaning

    log.configure()
    if config.step is not None and config.step not in config.cleaning:
        steps = ", ".join(config.cleaning) or "none at all"
        raise ConfigError(
            f"step={config.step} is no step of this cleaning=.{suggest(config.step, config.cleaning)} Steps: {steps}."
        )
    source = config.data.build()
    rendering = None if config.rendering is None else config.rendering.build()
    log.log.info("Reading %s.", source.describe())
    found = inspect_cleaning(
        source,
        config.cleaning,
        rendering,
        n=config.n,
        examples=config.examples,
        seed=config.seed,
        limit=config.limit,
    )
    for line in shown(found, config, colour=sys.stdout.isatty()):
        print(line)
    return 0


def shown(found: "Inspection", config: InspectConfig, *, colour: bool) -> Iterator[str]:
    """Yield what is printed: each step with its changes and drops, and all drops by reason."""
    from prospero.data.text_change import change_lines
    from prospero.printable import printable

    bold, usual = ("\x1b[1m", "\x1b[0m") if colour else ("", "")
    report, names = found.report, list(config.cleaning)
    for number, name in enumerate(names, 1):
        if config.step not in (None, name):
            continue
        dropped = [row for row in report["dropped"] if row["step"] == name]
        counts = f"changed {report['changed'].get(name, 0):,}, dropped {sum(row['documents'] for row in dropped):,}"
        yield f"{bold}step {number} of {len(names)}, {name}: {counts} of {found.read:,} documents{usual}"
        for what, count in report["changed"].items():
            if what.startswith(f"{name}: "):  # a step that says what it changed
                yield printable(f"  {what.removeprefix(f'{name}: ')}: {count:,}")
        for change in found.changes[name]:
            yield from change_lines(change, colour=colour, most=config.lines)
        yield ""
    yield f"{bold}dropped: {found.read - report['kept']:,} of {found.read:,} documents{usual}"
    for row in report["dropped"]:
        share = row["documents"] / found.read
        yield f"  {row['step']}, {row['reason']}: {row['documents']:,} ({share:.1%})"
        if config.step in (None, row["step"]):
            for example in row["examples"]:
                yield printable(f"    {example['id']}: {' '.join(example['text'].split())}")
    if not found.all_read:
        yield f"the first {found.read:,} documents; limit=null reads all"
