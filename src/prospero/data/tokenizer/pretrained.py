"""A tokenizer made elsewhere: a tokenizer.json, a folder that holds one, or a name on the Hugging Face hub."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prospero.data.hub_access import why_unreachable
from prospero.data.tokenizer.tokenizer import Tokenizer, load_tokenizer
from prospero.errors import ConfigError, DataError
from prospero.log import log


@dataclass(kw_only=True, slots=True)
class PretrainedTokenizerConfig:
    """A tokenizer that is used as it is; nothing is trained."""

    path: str
    """A tokenizer.json, a folder that holds one, or a hub name such as `openai-community/gpt2`."""
    revision: str = "main"
    """Branch, tag or commit when `path` is a hub name."""
    eot_token: str | None = None
    """Token that separates documents; when absent, the usual names are tried and `<|endoftext|>` is added last."""

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise ConfigError("tokenizer.path is empty; give a tokenizer.json, a folder that holds one, or a hub name")

    def build(self, texts: Callable[[], Iterator[str]] | None = None) -> Tokenizer:
        """Open or fetch the tokenizer; `texts` is not read."""
        path = Path(self.path).expanduser()
        looks_like_path = path.suffix == ".json" or self.path.startswith((".", "/", "~")) or self.path.count("/") > 1
        if path.exists() or looks_like_path:
            if self.revision != "main":
                raise ConfigError(
                    f"tokenizer.revision={self.revision} is for names on the hub, and {self.path} is a path here"
                )
            return load_tokenizer(path, self.eot_token)
        return self._from_hub()

    def needs_texts(self) -> bool:
        """Whether `build` reads the training text."""
        return False

    def _from_hub(self) -> Tokenizer:
        """Fetch `tokenizer.json` (and the files with the separator and the template, where there are) from the hub."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        reason = why_unreachable(f"the tokenizer {self.path}")
        try:
            get = partial(hf_hub_download, self.path, revision=self.revision, local_files_only=reason is not None)
            file = get("tokenizer.json")
            for beside in ("tokenizer_config.json", "chat_template.jinja"):
                with contextlib.suppress(EntryNotFoundError):  # the separator is then found among the usual names
                    get(beside)
        except Exception as error:  # network, name, revision or access: the hub has a class for each
            first = reason or (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"tokenizer.path={self.path!r} is no file or folder here, and the hub did not give it: {first}"
            ) from error
        if reason:
            log.warning("The hub cannot be reached (%s); the copy of %s on this machine is used.", reason, self.path)
        return load_tokenizer(file, self.eot_token)
