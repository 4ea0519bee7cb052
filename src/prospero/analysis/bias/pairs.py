"""Pairs of texts from records: your own, or those of CrowS-Pairs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prospero.analysis.bias.likelihood import Pair, Scored, document_ids, places
from prospero.analysis.bias.neutral import LABEL, neutral_items
from prospero.analysis.bias.paired import NULL, Design, PairedTexts, PairItem
from prospero.data.records import Record, RecordsConfig
from prospero.errors import ConfigError, DataError, suggest
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.tasks.facts import slugs
from prospero.plain import plain

Item = TypeVar("Item")
DIRECTIONS = ("stereo", "antistereo")
BIAS_TYPES = (
    "race-color", "socioeconomic", "gender", "disability", "nationality", "sexual-orientation", "physical-appearance",
    "religion", "age",
)  # fmt: skip
"""In the order of the class labels on the hub."""
PUBLISHED = RecordsConfig(dataset="nyu-mll/crows_pairs", revision="refs/convert/parquet")
ALL = "all"
TRAINING_ITEMS = 100
"""Items inside a training, where nobody says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A pair that was read, and where it belongs."""

    item: str
    """Pairs of one item count as one observation."""
    pair: Pair
    groups: Sequence[str]
    """As the data call them."""
    about: Mapping[str, Any] = field(default_factory=dict)
    known: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How the numbers of a set are told."""

    sides: str
    """What a difference above 0 favours."""
    preferred: bool
    known_as: str = ""
    caveats: Sequence[str] = ()


@dataclass(kw_only=True, slots=True)
class PairSettings:
    """What all sets of pairs are measured by."""

    scored: Scored = Scored.whole
    """Which tokens are compared. whole: all, the log-likelihood of the text, as is usual for models that read from left
    to right; after: those after the words that differ; shared: those that both texts have, the pseudo-log-likelihood of
    CrowS-Pairs as far as such a model can give it."""
    length_matched: bool = False
    """Leave out pairs whose texts differ in tokens by the model's own tokenizer."""
    neutral: int = 80
    """Neutral pairs of texts, four to an item, that are measured beside them as the noise floor; 0: none."""
    limit: int | None = None
    """Items that are used, evenly spread; null: as the command says, or all."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} leaves nothing to measure; choose 1 or more, or null")
        if self.neutral < 0 or 0 < self.neutral < 8:
            raise ConfigError(f"neutral={self.neutral} gives no interval; choose 8 or more, or 0 for no noise floor")


@dataclass(kw_only=True, slots=True)
class BiasPairsConfig(PairSettings):
    """Which of two texts of your own is the likelier one, and by how much; groups are a field of the records."""

    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Where the records are."""
    first: str = "first"
    """The field of the first text: a difference above 0 means that it is the likelier one."""
    second: str = "second"
    """The field of the second text, the same but for who it is about."""
    group: str | None = None
    """The field by which numbers are told apart; null: none."""

    def build(self, name: str, facts: AnalysisFacts) -> PairedTexts:
        """Return the analysis with its records read."""
        fields = [self.first, self.second, *([] if self.group is None else [self.group])]
        found = []
        if not self.data.given:
            raise ConfigError(
                f"The analysis '{name}' needs pairs: give analyses.{name}.data.path=<jsonl, csv, tsv or parquet>, or "
                f"analyses.{name}.data.dataset=<owner/name of the hub>"
            )
        for record in self.data.read(fields):
            groups = [] if self.group is None else [record.text(self.group)]
            found.append(Found(item=record.place, pair=pair_of(record, self.first, self.second), groups=groups))
        telling = Telling(sides=f"'{self.first}'", preferred=True)
        return paired(name, self, found, telling, facts, self.data.describe())


@dataclass(kw_only=True, slots=True)
class CrowsPairsConfig(PairSettings):
    """CrowS-Pairs (Nangia et al. 2020, arXiv:2010.00133): is the more stereotyped of two sentences the likelier one?

    Columns sent_more, sent_less, stereo_antistereo and bias_type, as in data/crows_pairs_anonymized.csv of
    github.com/nyu-mll/crows-pairs (read there) and in nyu-mll/crows_pairs on the hub, where the last two are numbers.
    """

    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Where the records are; left out, nyu-mll/crows_pairs on the hub."""

    def build(self, name: str, facts: AnalysisFacts) -> PairedTexts:
        """Return the analysis with its records read."""
        found = []
        data = source(self.data, PUBLISHED)
        for record in data.read(["sent_more", "sent_less", "stereo_antistereo", "bias_type"]):
            groups = [label(record, "bias_type", BIAS_TYPES), label(record, "stereo_antistereo", DIRECTIONS)]
            found.append(Found(item=record.place, pair=pair_of(record, "sent_more", "sent_less"), groups=groups))
        telling = Telling(
            sides="the more stereotyped sentence",
            preferred=True,
            caveats=[
                "Many pairs of CrowS-Pairs do not say what they should: two sentences that differ in more than the "
                "group, or no stereotype (Blodgett et al. 2021, 'Stereotyping Norwegian Salmon').",
                "Its stereotypes are those of the United States, written by crowd workers there.",
            ],
        )
        return paired(name, self, found, telling, facts, data.describe())


def source(data: RecordsConfig, published: RecordsConfig) -> RecordsConfig:
    """Return `data` where it names a source, else the set on the hub."""
    return data if data.given else published


def pair_of(record: Record, first: str, second: str) -> Pair:
    """Return the two texts of a record; DataError where one is empty."""
    texts = [record.text(name).strip() for name in (first, second)]
    if "" in texts:
        raise DataError(f"{record.place}: field '{(first, second)[texts.index('')]}' is empty; a pair needs two texts")
    return Pair(first=texts[0], second=texts[1])


def label(record: Record, name: str, allowed: Sequence[str]) -> str:
    """Return which of `allowed` a field says, by its name or by its number (as class labels of the hub do)."""
    said = record.text(name).strip()
    if said in allowed:
        return said
    if said.isdecimal() and int(said) < len(allowed):
        return allowed[int(said)]
    raise DataError(
        f"{record.place}: field '{name}' says '{said[:40]}', which is none of {', '.join(allowed)}"
        f"{suggest(said, allowed)}"
    )


def paired(
    name: str, config: PairSettings, found: Sequence[Found], telling: Telling, facts: AnalysisFacts, origin: str
) -> PairedTexts:
    """Return the analysis of the pairs `found`, with neutral ones beside them."""
    kept, dropped = _kept(found, config.scored, config.length_matched, facts)
    if not kept:
        raise DataError(
            f"analyses.{name}: no pair of {origin} is left ({', '.join(f'{n:,} {why}' for why, n in dropped.items())})"
        )
    bundles: dict[str, list[Found]] = {}
    for one in kept:
        bundles.setdefault(one.item, []).append(one)
    chosen = spread(list(bundles.values()), most(config.limit, facts))
    names = list(dict.fromkeys(group for bundle in chosen for one in bundle for group in one.groups))
    slug = dict(zip(names, slugs([ALL, NULL, *names])[2:]))
    items = [_item(bundle, slug) for bundle in chosen]
    items += neutral_items(config.neutral // 4, facts)
    groups = {ALL: "all", **{slug[group]: group for group in names}}
    floor = NULL if config.neutral else ""
    design = Design(
        groups={**groups, **({NULL: LABEL} if floor else {})},
        nulls=dict.fromkeys(groups, floor),
        sides=telling.sides,
        scored=config.scored,
        preferred=telling.preferred,
        known_as=telling.known_as,
    )
    known = {"settings": plain(config), "records": origin, "pairs left out": dict(dropped)}
    return PairedTexts(name, items, design, known, telling.caveats, facts.seed)


def _item(bundle: Sequence[Found], slug: Mapping[str, str]) -> PairItem:
    groups = [ALL, *dict.fromkeys(slug[group] for one in bundle for group in one.groups)]
    about = {"from": bundle[0].item, **bundle[0].about}
    return PairItem(pairs=[one.pair for one in bundle], groups=groups, about=about, known=bundle[0].known)


def _kept(
    found: Sequence[Found], scored: Scored, length_matched: bool, facts: AnalysisFacts
) -> tuple[list[Found], Counter[str]]:
    """Return the pairs that can be compared, and why the others cannot."""
    kept, dropped = [], Counter[str]()
    for one in found:
        first, second = (document_ids(facts.tokenizer, text) for text in (one.pair.first, one.pair.second))
        mine, other = places(first, second, scored)
        if length_matched and len(first) != len(second):
            dropped["unequal in tokens"] += 1
        elif not mine or not other:
            dropped["without a token to compare"] += 1
        else:
            kept.append(one)
    return kept, dropped


def most(limit: int | None, facts: AnalysisFacts) -> int | None:
    """Return how many items there may be: by the settings, else the host, else a few inside a training, else all."""
    host = TRAINING_ITEMS if facts.training and facts.limit is None else facts.limit
    return host if limit is None else limit


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Return `limit` of them, evenly spread over their order."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[place * len(items) // limit] for place in range(limit)]
