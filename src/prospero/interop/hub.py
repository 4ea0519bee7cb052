"""A model on the Hugging Face hub: its safetensors, settings and tokenizer, and nothing that runs."""

from pathlib import Path

from prospero.data.hub_access import why_unreachable
from prospero.errors import DataError
from prospero.log import log

PATTERNS = ["*.safetensors", "*.json", "vocab.txt", "merges.txt", "tokenizer.model", "*.jinja", "LICENSE*", "README.md"]


def fetched(name: str, revision: str, *, setting: str = "source") -> Path:
    """Return a folder with the files of the model `name`; DataError in one line when the hub does not give it.

    The line calls what the user gave by its `setting`.
    """
    from huggingface_hub import snapshot_download

    reason = why_unreachable(f"the model {name}")
    try:
        folder = snapshot_download(
            name, revision=revision, allow_patterns=PATTERNS, local_files_only=reason is not None
        )
    except Exception as error:  # network, name, revision or access: the hub has a class for each
        said = reason or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{setting}={name} is no folder here, and the hub did not give it: {said}. Where there is no internet, "
            f"fetch it elsewhere (hf download {name} --local-dir <folder>) and give {setting}=<folder>"
        ) from error
    if reason:
        log.warning("The hub cannot be reached (%s); the copy of %s on this machine is used.", reason, name)
    return Path(folder)
