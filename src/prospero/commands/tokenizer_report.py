"""`tokenizer_report`: what a tokenizer makes of a corpus, beside others, and by the size of its vocabulary."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.data.settings import PrepareConfig
from prospero.errors import ConfigError

if TYPE_CHECKING:
    from prospero.data.prepare import PreparedData
    from prospero.data.tokenizer.bpe import BPETokenizerConfig
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.runs.folder import TokenizerReportFolder

EXAMPLES = [
    ("prospero tokenizer_report run=last", "the tokenizer of the newest run, on the data it was trained on"),
    ("prospero tokenizer_report data=stdlib tokenizer.vocab_size=4096", "one that is trained now"),
    ("prospero tokenizer_report run=last beside=[other/tokenizer.json]", "and another on the same text"),
    ("prospero tokenizer_report data=stdlib vocab_sizes=[512,2048,8192]", "and a small model for each of these sizes"),
]
OF_A_RUN = ("run", "beside", "most_mb", "out", "outputs_dir", "plugins", "traceback")
"""Settings that go with run=; the others describe data that are prepared now."""
KNOWN = {
    "GPT-2": ("openai-community/gpt2", "gpt2"),
    "Llama 3": ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3-8B"),
    "Llama 2": (
        "meta-llama/Llama-2-7b-hf",
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "hf-internal-testing/llama-tokenizer",
    ),
}
"""Tokenizers that are measured beside it where the hub's cache on this machine holds one of the names."""


@dataclass(kw_only=True, slots=True)
class TokenizerReportConfig(PrepareConfig):
    """A run; without one, all settings of the preparation, of which the tokenizer and the data are looked at."""

    run: str | None = None
    """The run: last, a name, or a folder; null prepares the data that the other settings describe."""
    beside: list[str] = field(default_factory=list)
    """Other tokenizers on the same text: a tokenizer.json, or a folder that holds one."""
    most_mb: int = 10
    """Megabytes of text that are encoded anew, evenly spread over the documents."""
    vocab_sizes: list[int] = field(default_factory=list)
    """Vocabularies with which a small model is trained each, for its bits per byte; none: nothing is trained."""
    study_mb: int = 5
    """Megabytes of text that each of these models is trained on, the same for every vocabulary."""
    out: str | None = None
    """Folder of the report; without one <run folder>/tokenizer_report, or <outputs_dir>/tokenizer_report."""

    def __post_init__(self) -> None:
        PrepareConfig.__post_init__(self)
        for name in ("run", "out"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        for name in ("most_mb", "study_mb"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1")
        if len(set(self.vocab_sizes)) != len(self.vocab_sizes):
            raise ConfigError(f"vocab_sizes={self.vocab_sizes} names a size twice")


def tokenizer_report(config: TokenizerReportConfig) -> int:
    """Measure, write the folder and print the numbers; return the exit code."""
    from prospero import log as logging_setup
    from prospero.analysis.tokenizer.measures import texts_of
    from prospero.analysis.tokenizer.report import report_of, screen, write_report
    from prospero.log import log
    from prospero.runs.folder import TokenizerReportFolder

    logging_setup.configure()
    folder = TokenizerReportFolder(_place(config))
    sized, others, prepared = _sized(config, folder), dict(_others(config)), _prepared(config)
    report = report_of(prepared, texts_of(prepared, config.most_mb * 1_000_000), others)
    for tokenizer in sized:
        report.study[tokenizer.vocab_size] = _small_model(config, tokenizer, folder)
    write_report(folder, report)
    print(screen(report))
    log.info("look at %s; the numbers are in %s", folder.page, folder.summary.name)
    return 0


def _others(config: TokenizerReportConfig) -> "Iterator[tuple[str, Tokenizer]]":
    """Yield (name, tokenizer) of those asked for, and of the well-known that lie on this machine."""
    from huggingface_hub import try_to_load_from_cache

    from prospero.data.tokenizer.tokenizer import load_tokenizer

    for path in dict.fromkeys(config.beside):
        yield path, load_tokenizer(Path(path).expanduser())
    for name, repositories in KNOWN.items():
        found = (try_to_load_from_cache(repository, "tokenizer.json") for repository in repositories)
        file = next((path for path in found if isinstance(path, str)), None)
        if file is not None:
            yield name, load_tokenizer(file)


def _place(config: TokenizerReportConfig) -> Path:
    """Return where the report goes."""
    from prospero.runs.find import find
    from prospero.runs.folder import RunFolder

    if config.out is not None:
        return Path(config.out).expanduser()
    return RunFolder(
        Path(config.outputs_dir) if config.run is None else find(config.run, config.outputs_dir)
    ).tokenizer_report


def _prepared(config: TokenizerReportConfig) -> "PreparedData":
    """Return the data that are looked at; ConfigError when a run's are not here."""
    from prospero.commands.opening import ModelPlace
    from prospero.data.mixture.preparation import prepare
    from prospero.data.prepare import find_prepared, open_prepared

    if config.run is None:
        return prepare(PrepareConfig(**_settings(config)))
    _refuse_settings_of_no_run(config)
    place, data = ModelPlace.find(config.run, config.outputs_dir), Path(config.outputs_dir, "data")
    folder = find_prepared(data, place.data_fingerprint)
    if folder is None:
        raise ConfigError(
            f"the data that {place.folder} was trained on are not under {data}; prepare them again with python "
            "prepare.py and the run's settings"
        )
    return open_prepared(folder)


def _settings(config: TokenizerReportConfig) -> dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in fields(PrepareConfig)}


def _refuse_settings_of_no_run(config: TokenizerReportConfig) -> None:
    """Raise ConfigError where settings of data stand beside run=, which would be ignored."""
    from prospero.configuration.compose import compose
    from prospero.plain import flat, plain

    words = [f"plugins=[{','.join(config.plugins)}]"] if config.plugins else []
    usual, given = flat(plain(compose("tokenizer_report", words))), flat(plain(config))
    odd = [name for name in given | usual if given.get(name) != usual.get(name) and name.split(".")[0] not in OF_A_RUN]
    if odd:
        raise ConfigError(
            f"run={config.run} has its own tokenizer and data, and {odd[0]}= describes others: give one of the two"
        )


def _sized(config: TokenizerReportConfig, folder: "TokenizerReportFolder") -> "list[BPETokenizerConfig]":
    """Return the tokenizer's settings with each size of the study; ConfigError where that cannot be."""
    from prospero.data.tokenizer.bpe import BPETokenizerConfig

    sized = []
    for size in sorted(config.vocab_sizes):
        if not isinstance(config.tokenizer, BPETokenizerConfig):
            raise ConfigError("vocab_sizes= is for a tokenizer that is trained to a size: tokenizer=bpe")
        sized.append(replace(config.tokenizer, vocab_size=size))
        if folder.study(size).exists():
            raise ConfigError(f"{folder.study(size)} is there from an earlier study; move it, or give another out=")
    return sized


def _small_model(
    config: TokenizerReportConfig, tokenizer: "BPETokenizerConfig", folder: "TokenizerReportFolder"
) -> dict[str, float]:
    """Train the smallest model with this tokenizer, on the same text as the others; return what came of it."""
    from prospero.commands.train import train
    from prospero.configuration.compose import compose
    from prospero.data.mixture.preparation import prepare
    from prospero.runs.result import read_result

    settings: dict[str, Any] = {**_settings(config), "tokenizer": tokenizer}
    row = prepare(PrepareConfig(**settings)).receipt["splits"]["train"]
    tokens = round(config.study_mb * 1e6 * row["tokens"] / row["bytes"])
    run = folder.study(tokenizer.vocab_size)
    train(replace(compose("train", ["model=tiny", "callbacks=[]"]), **settings, run_dir=str(run), max_tokens=tokens))
    bits_per_byte = read_result(run)["val/bits_per_byte"]
    return {"bits_per_byte": bits_per_byte, "bytes_per_token": row["bytes"] / row["tokens"]}
