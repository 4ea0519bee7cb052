"""What an adapter is: what of a model is trained, and what is added to it for that.

It is applied before a model is compiled and spread over processes, and folded into the weights when the run is over,
so that whoever reads the model afterwards meets a plain one.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from prospero.errors import ConfigError, suggest
from prospero.model.base import LanguageModel


class Adapter:
    """Everything is trained and nothing is added; the base of all adapters."""

    def apply(self, model: LanguageModel) -> None:
        """Prepare `model` in place. Raises ConfigError for the name of a part that it does not have."""

    def merge(self, model: LanguageModel) -> None:
        """Fold what was added into the weights of `model`, in place: the same logits, plain layers, all trainable."""

    def added(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return those tensors of a model's `state` that the adapter has added, by their names there."""
        return {}

    def base_name(self, name: str) -> str:
        """Return the name that a tensor of the prepared model has in the plain one."""
        return name


def stands_for(name: str, path: str) -> bool:
    """Whether `name` (`attention`, `q`, `blocks.0`) is one of the parts, or a row of parts, on `path`."""
    return f".{name}." in f".{path}."


def check_names(setting: str, names: Iterable[str], paths: Iterable[str], what: str) -> None:
    """Raise ConfigError for the first of `names` that stands for none of `paths`; `what` they are, in a word."""
    paths = list(paths)
    known = dict.fromkeys(part for path in paths for part in path.split(".") if not part.isdigit())
    for name in names:
        if not any(stands_for(name, path) for path in paths):
            raise ConfigError(
                f"{setting}: the model has no {what} '{name}'.{suggest(name, known)} It has: {', '.join(known)}."
            )


def freeze(model: nn.Module) -> None:
    """Let nothing of `model` be trained."""
    model.requires_grad_(False)
