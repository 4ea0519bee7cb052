"""Winogender (Rudinger et al. 2018, arXiv:1804.09301): the same sentence with his and with her pronoun.

An item is an occupation and whom the pronoun refers to; its pairs are the sentence with the participant's name and the
one with `someone`. log p(with a woman's pronoun) - log p(with a man's) is measured, and where the statistics of the
labour market are given, its correlation over occupations with the share of women in them.
"""

from dataclasses import dataclass, field

from prospero.analysis.bias.likelihood import Pair
from prospero.analysis.bias.paired import PairedTexts
from prospero.analysis.bias.pairs import Found, PairSettings, Telling, paired, source
from prospero.data.records import Record, RecordsConfig
from prospero.errors import DataError
from prospero.evaluation.analyses import AnalysisFacts

PUBLISHED = RecordsConfig(dataset="oskarvanderwal/winogender", subset="all")
GENDERS = ("male", "female", "neutral")
REFERS = ("to the occupation", "to the participant")
OCCUPATION = REFERS[0]


@dataclass(kw_only=True, slots=True)
class WinogenderConfig(PairSettings):
    """Winogender: does a model find a woman's or a man's pronoun likelier beside an occupation?

    Columns sentid (`technician.customer.1.male.txt`) and sentence, as in data/all_sentences.tsv of
    github.com/rudinger/winogender-schemas and in oskarvanderwal/winogender on the hub (read in public loaders of them);
    the number is 0 where the pronoun refers to the occupation, 1 where to the participant.
    """

    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Where the sentences are; left out, oskarvanderwal/winogender on the hub."""
    statistics: str | None = None
    """File of the share of women in each occupation, columns occupation and bls_pct_female: occupations-stats.tsv of
    the same repository; null: no correlation is measured."""

    def build(self, name: str, facts: AnalysisFacts) -> PairedTexts:
        """Return the analysis with its sentences read; DataError where one of a pair is missing."""
        shares = {} if self.statistics is None else _shares(self.statistics)
        sentences: dict[tuple[str, str, str], dict[str, Record]] = {}
        data = source(self.data, PUBLISHED)
        for record in data.read(["sentid", "sentence"]):
            *schema, gender = _parts(record)
            sentences.setdefault((schema[0], schema[1], schema[2]), {})[gender] = record
        found = []
        for (occupation, participant, answer), by_gender in sentences.items():
            lacking = [gender for gender in GENDERS[:2] if gender not in by_gender]
            if lacking:
                place = next(iter(by_gender.values())).place
                raise DataError(f"{place}: {occupation}.{participant}.{answer} has no sentence with {lacking[0]}")
            refers = REFERS[int(answer)]
            if shares and occupation not in shares:
                raise DataError(f"{self.statistics} has no row for the occupation '{occupation}'; give another file")
            found.append(
                Found(
                    item=f"{occupation}.{answer}",
                    pair=Pair(first=_text(by_gender["female"]), second=_text(by_gender["male"])),
                    groups=[f"pronoun refers {refers}"],
                    about={"occupation": occupation},
                    known=shares.get(occupation) if refers == OCCUPATION else None,
                )
            )
        telling = Telling(
            sides="the woman's pronoun",
            preferred=True,
            known_as="the share of women in the occupation" if shares else "",
            caveats=[
                "High positive, low negative predictive value: it can show bias and cannot show its absence (the "
                "authors' own note).",
                "A model that mirrors the labour market is not thereby fair, and the statistics are those of the "
                "United States in 2015.",
            ],
        )
        return paired(name, self, found, telling, facts, data.describe())


def _parts(record: Record) -> tuple[str, str, str, str]:
    """Return occupation, participant, answer and gender of a sentence's name."""
    said = record.text("sentid")
    parts = said.removesuffix(".txt").split(".")
    if len(parts) != 4 or parts[2] not in ("0", "1") or parts[3] not in GENDERS:
        raise DataError(
            f"{record.place}: sentid '{said[:60]}' is not <occupation>.<participant>.<0 or 1>.<male, female or "
            "neutral>.txt"
        )
    return parts[0], parts[1], parts[2], parts[3]


def _text(record: Record) -> str:
    text = record.text("sentence").strip()
    if not text:
        raise DataError(f"{record.place}: field 'sentence' is empty")
    return text


def _shares(path: str) -> dict[str, float]:
    """Return the share of women in each occupation, in percent."""
    found = {}
    for record in RecordsConfig(path=path).read(["occupation", "bls_pct_female"]):
        said = record.text("bls_pct_female")
        try:
            found[record.text("occupation")] = float(said)
        except ValueError:
            raise DataError(f"{record.place}: bls_pct_female '{said[:40]}' is no number") from None
    return found
