"""The settings of an export: which model, which format, where to, in which precision."""

from dataclasses import dataclass, field, fields
from enum import Enum

from prospero.errors import ConfigError
from prospero.interop.sizes import bytes_of


class ExportDtype(Enum):
    """Type of the numbers in the files; `keep` is that of the model, float32."""

    keep = "keep"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    q8_0 = "q8_0"


class Quantize(Enum):
    """Whether an ONNX file keeps its matrices in fewer bits."""

    none = "none"
    int8 = "int8"


@dataclass(kw_only=True, slots=True)
class ExportConfig:
    """Which model becomes which files."""

    run: str = "last"
    """The model: last, a name (of a run or an imported model), or a folder: of a run, a checkpoint or a model."""
    to: str = "huggingface"
    """The format, one of the table in interop/formats.py."""
    out: str = ""
    """What is written: a folder, or a file where the format is one file; what is there already is not replaced."""
    dtype: ExportDtype = ExportDtype.keep
    """Type of the numbers that are written; q8_0 (8 bits, a scale for each 32 numbers) is gguf's."""
    quantize: Quantize = Quantize.none
    """onnx: int8 stores the matrices in 8 bits, with a scale for each 32 numbers."""
    cache: bool = True
    """onnx: what the model has read goes in and out, so that text is continued token by token."""
    max_shard_size: str = "5GB"
    """huggingface: weights beyond this size (kB, MB, GB) are spread over several files."""
    license: str | None = None
    """huggingface: licence in the model card, by its SPDX name (apache-2.0); null: the card says that it is not set."""
    raw: bool = False
    """Take the weights of the last step where an average of them was validated."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts the run was made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "outputs_dir"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if not self.out.strip():
            raise ConfigError(f"Say where to write: prospero export run={self.run} to={self.to} out=<path>")
        for item in fields(self):
            if item.name in ("quantize", "cache") and self.to != "onnx" and getattr(self, item.name) != item.default:
                raise ConfigError(f"{item.name}= is a setting of to=onnx, and this is to={self.to}; leave it out")
        if self.dtype is ExportDtype.q8_0 and self.to != "gguf":
            raise ConfigError(f"dtype=q8_0 is for to=gguf, and this is to={self.to}; leave it out")
        bytes_of(self.max_shard_size, "max_shard_size")
