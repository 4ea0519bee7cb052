"""`import`: make a model folder of a model of Hugging Face's, from a folder or from the hub."""

from dataclasses import dataclass
from pathlib import Path

from prospero.errors import ConfigError

EXAMPLES = [
    ("prospero import source=models/gpt2 name=gpt2", "a folder with config.json, model.safetensors, tokenizer.json"),
    ("prospero import source=HuggingFaceTB/SmolLM2-135M", "a name on the hub"),
]


@dataclass(kw_only=True, slots=True)
class ImportConfig:
    """Where the model is, and what it is called here."""

    source: str = ""
    """A folder of Hugging Face's, or a name on the hub such as openai-community/gpt2."""
    name: str | None = None
    """Name under which everything that takes a run finds it; null: the last part of `source`."""
    revision: str = "main"
    """Branch, tag or commit when `source` is a name on the hub."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs; the model goes to its folder models/."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ConfigError("Say what to import: prospero import source=<folder or hub name> name=<name>")
        if not self.outputs_dir.strip():
            raise ConfigError("outputs_dir= is empty; give its name, or leave it out")
        own = self.own_name()
        if own in ("", ".", "..", "last") or Path(own).name != own or own.startswith("."):
            raise ConfigError(f"name={own} cannot be the name of a model; choose another, as name=gpt2")

    def own_name(self) -> str:
        """Return `name`, or what `source` makes of it."""
        return self.name if self.name is not None else self.source.rstrip("/").rsplit("/", 1)[-1]


def import_model(config: ImportConfig) -> int:
    """Read the model, write it as a model folder, and say how to use it; return the exit code."""
    from prospero import log as logging_setup
    from prospero.interop.hub import fetched
    from prospero.interop.import_folder import import_folder
    from prospero.log import log
    from prospero.runs.find import imported_models

    logging_setup.configure()
    out = imported_models(config.outputs_dir) / config.own_name()
    if out.exists():
        raise ConfigError(f"{out} exists; it is not replaced, give another name=")
    folder, revision = Path(config.source).expanduser(), None
    if not folder.exists():
        if config.source.startswith((".", "/", "~")) or config.source.count("/") > 1:
            raise ConfigError(f"source={config.source} does not exist; give a folder, or a name on the hub")
        folder, revision = fetched(config.source, config.revision), config.revision
    elif config.revision != "main":
        raise ConfigError(f"revision={config.revision} is for names on the hub, and {folder} is a folder here")
    foreign = import_folder(folder, out, source=config.source, revision=revision)
    parameters = sum(tensor.numel() for tensor in foreign.state.values())
    log.info(
        "%s -> %s: %s, %s parameters, vocabulary %s, %s tokens at once",
        folder,
        out,
        foreign.family.architecture,
        f"{parameters:,}",
        f"{foreign.vocab_size:,}",
        f"{foreign.max_seq_len:,}",
    )
    log.info("write with: python generate.py run=%s prompt=...", config.own_name())
    return 0
