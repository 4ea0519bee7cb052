"""The model that a command is given by `run=`: a run, a checkpoint, a model folder, or one of Hugging Face's."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.checkpoints.model_folder import find_tokenizer, load_model, locate, read_description
from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.checkpoints.source import trained_before
from prospero.data.prepare import find_prepared
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.generation.fastest import decoder_for
from prospero.generation.fingerprint import weights_mark
from prospero.generation.settings import Precision
from prospero.generation.validation_text import find_validation_text
from prospero.interop.import_folder import describe_foreign, is_foreign, load_foreign
from prospero.log import log
from prospero.runs import find as find_run
from prospero.runs.folder import RunFolder
from prospero.runs.result import read_result

if TYPE_CHECKING:
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.generation.decoder import Decoder
    from prospero.model.base import LanguageModel


class ModelPlace:
    """Where a model lies; what it is can be asked before its weights are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """As it was found: of a run, of a checkpoint, of a model."""
        self.foreign = folder.is_dir() and is_foreign(folder)

    @classmethod
    def find(cls, run: str, outputs_dir: str) -> "ModelPlace":
        """Return the place that `run` names; ConfigError when there is none."""
        return cls(find_run.find(run, outputs_dir))

    @cached_property
    def source(self) -> "Path | Checkpoint":
        """The model folder or the checkpoint itself; DataError when there is none."""
        return self.folder if self.foreign else locate(self.folder)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Plain values {model, facts}: what it is built from, and what is known of its making."""
        return self._known[0]

    @property
    def tokenizer(self) -> "Tokenizer | None":
        """Its tokenizer, where there is one."""
        return self._known[1]

    @cached_property
    def _known(self) -> "tuple[dict[str, Any], Tokenizer | None]":
        if self.foreign:
            return describe_foreign(self.folder)
        source = self.source
        if isinstance(source, Path):
            return read_description(source), find_tokenizer(source)
        memory = source.memory
        return {"model": memory.get("model") or {}, "facts": memory}, find_tokenizer(source)

    @property
    def data_fingerprint(self) -> str | None:
        """That of the prepared data it was trained on, where it is known."""
        return self.description["facts"].get("data_fingerprint")

    @property
    def trained_before(self) -> list[str | None]:
        """Those of the models that it was made from by `init_from`, the first one first; None: not known."""
        return trained_before(self.description["facts"])

    @property
    def seq_len(self) -> int | None:
        """Tokens of a sequence of its training, or those that it reads at once."""
        trained = (self.description["facts"].get("config") or {}).get("seq_len")
        return trained or self.description["model"].get("max_seq_len")

    @property
    def tokens(self) -> int | None:
        """Tokens that it was trained on by its own run, as far as its weights go; None where that is not known."""
        facts = self.description["facts"]
        if "tokens" in facts or self.run is None:
            return facts.get("tokens")
        result, step = read_result(self.run.path), str(facts.get("checkpoint", "")).removeprefix("step_")
        if not step.isdigit() or not result.get("steps"):
            return None
        return round(result["tokens"] * int(step) / result["steps"])

    @property
    def document_ids(self) -> bool:
        """Whether the model tells documents apart that stand in one sequence."""
        return bool((self.description["model"].get("settings") or {}).get("document_attention"))

    def analysis_facts(self, seed: int, limit: int | None, outputs_dir: str) -> "AnalysisFacts":
        """Return what analyses of the model are built with; ConfigError where it reads no text."""
        model, facts = self.description["model"], self.description["facts"]
        if self.tokenizer is None:
            raise ConfigError(f"{self.folder} has no tokenizer.json, so it reads no text; give the run's folder")
        settings = model.get("settings") or {}
        return AnalysisFacts(
            tokenizer=self.tokenizer,
            model_kind=str(model.get("name")),
            n_layers=int(settings["n_layers"]),
            n_heads=settings.get("n_heads"),
            seq_len=self.seq_len,
            tokens=self.tokens,
            data=find_prepared(Path(outputs_dir, "data"), facts.get("data_fingerprint")),
            run=None if self.run is None else self.run.path,
            seed=seed,
            limit=limit,
            outputs_dir=outputs_dir,
        )

    @cached_property
    def run(self) -> RunFolder | None:
        """The run that it comes from, where it lies in the run's folder."""
        source = self.source
        outer = source.path.parent.parent if isinstance(source, Checkpoint) else source.parent
        run = RunFolder(outer)
        inside = isinstance(source, Checkpoint) or source.resolve() == run.model.resolve()
        return run if inside and run.config.is_file() else None

    @property
    def name(self) -> str:
        """How reports call it: the run, and the checkpoint where one was named."""
        named = self.folder.resolve()
        if self.run is None or named == self.run.path.resolve() or not isinstance(self.source, Checkpoint):
            return named.name if self.run is None else self.run.path.resolve().name
        return f"{self.run.path.resolve().name} {self.source.path.name}"

    def load(self) -> "tuple[LanguageModel, Tokenizer | None, dict[str, Any]]":
        """Read the weights; return (model in evaluation mode, tokenizer, description), and say what was read."""
        model, tokenizer, description = load_foreign(self.folder) if self.foreign else load_model(self.source)
        what = description["facts"].get("checkpoint", "checkpoint")
        log.info("run: %s (%s, %s)", self.folder, description["model"]["name"], what)
        return model, tokenizer, description


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model whose weights are read, and what tells it from others."""

    model: "LanguageModel"
    tokenizer: "Tokenizer"
    description: dict[str, Any]

    def decoder(self, precision: Precision, *, rows: int, outputs_dir: str) -> "Decoder":
        """Return what reads and writes with it in `precision`; a narrow one says what it costs."""
        narrow = precision is not Precision.float32
        fingerprint, data = self.description["facts"].get("data_fingerprint"), Path(outputs_dir, "data")
        text = find_validation_text(data, fingerprint, self.tokenizer) if narrow else None
        return decoder_for(self.model, precision, text, rows=rows)

    def mark(self, precision: Precision) -> list[Any]:
        """Return plain values that differ when model, weights, tokenizer or precision do."""
        return [self.description["model"], self.tokenizer.fingerprint(), weights_mark(self.model), precision.name]
