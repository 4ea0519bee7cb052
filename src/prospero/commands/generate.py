"""`generate`: write text with the model of a run: streamed to the screen, from a file of prompts, or in a dialogue."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.data.parts import MISSING
from prospero.errors import ConfigError, DataError
from prospero.evaluation.tasks.parts import RetrievalSettings
from prospero.generation.settings import Context, Engine, Precision
from prospero.training.parts import SamplingSettings

if TYPE_CHECKING:
    import numpy as np

    from prospero.data.retrieval import Retrieval
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.generation.batch_file import Prompt
    from prospero.generation.decoder import Decoder
    from prospero.generation.pictured import Pictured

EXAMPLES = [
    ("python generate.py run=last prompt='The import statement'", "the newest run"),
    ("python generate.py run=first prompt='def ' sampling.temperature=0", "a run by its name, greedily"),
    ("python generate.py run=outputs/a prompt='ROMEO:' sampling.top_k=20 sampling.n=3", "three texts of a folder"),
    ("python generate.py run=last prompts=prompts.jsonl out=texts.jsonl", "a file of prompts, many at a time"),
    ("python generate.py run=last prompt='The class of run is' retrieval=triples", "with what is known about run"),
    ("python generate.py run=last image=picture.png", "what a picture shows (a run of experiment=captions)"),
    ("python generate.py run=last prompt='def ' precision=int8", "8-bit weights; says what they cost"),
    ("python generate.py run=outputs/model.onnx prompt='def '", "an exported file"),
    ("python generate.py run=last", "prompts from the terminal, one after the other"),
]


@dataclass(kw_only=True, slots=True)
class GenerateConfig:
    """Which run, which prompts, and how to draw the tokens."""

    sampling: SamplingSettings = MISSING
    """How the next token is drawn."""
    retrieval: RetrievalSettings | None = None
    """What is put before the prompts: facts of a knowledge graph, paragraphs of a text, or nothing."""
    run: str = "last"
    """The run: last, a name, a folder (of a run, a checkpoint, a model, or one of Hugging Face's), or an .onnx file."""
    prompt: str | None = None
    """The beginning of the text; an empty one (prompt=) lets the model start a document of its own."""
    prompt_file: str | None = None
    """Read the prompt from this file (UTF-8) instead."""
    image: str | None = None
    """A picture (PNG, JPEG, ...) that stands before the prompt, for a model that reads one."""
    prompts: str | None = None
    """Continue every prompt of this file, one a line; of a .jsonl file the field `prompt` of each object, after the
    picture that its field `image` names, below the folder of the file."""
    out: str | None = None
    """With prompts=: the JSONL file for the texts; a job that was killed goes on in it."""
    batch_size: int = 16
    """With prompts=: texts written side by side; they do not depend on it."""
    context: Context = Context.refuse
    """A prompt longer than the model reads at once: refuse it, or slide (only its end counts)."""
    precision: Precision = Precision.float32
    """Weights as float32, bf16 or int8; auto takes the fastest by the clock that is at most 0.5 % worse."""
    engine: Engine = Engine.auto
    """torch, or onnx (onnxruntime) for an exported file; auto: by what run is."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts the run was made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "outputs_dir", "prompt_file", "prompts", "out", "image"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        given = [f"{name}=" for name in ("prompt", "prompt_file", "prompts") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"Give {' or '.join(given)}, not both")
        if (self.prompts is None) != (self.out is None):
            raise ConfigError("prompts= is the file of prompts and out= that of their texts; give both, or neither")
        if self.image is not None and self.prompts is not None:
            raise ConfigError("image= is one picture for one prompt; with prompts= each line names its own: image")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size} writes nothing; give 1 or more")


def generate(config: GenerateConfig) -> int:
    """Load the run's model and write; texts go to standard output (or `out`), facts about them to standard error."""
    from prospero import log as logging_setup
    from prospero.generation.decoder import ModelDecoder
    from prospero.generation.pictured import Pictured

    logging_setup.configure()
    work = _work(config)
    retrieval = _retrieval(config)
    decoder, tokenizer, mark = open_decoder(config)
    shape = decoder.model.image_shape if isinstance(decoder, ModelDecoder) else None
    if isinstance(work, Batch):
        return work.write(decoder, tokenizer, mark, retrieval, shape)
    image = _picture(config, shape)
    for prompt in work:
        text = _informed(config, decoder, tokenizer, retrieval, prompt)
        _show(config, decoder, tokenizer, text if image is None else Pictured(text, image))
    return 0


def _retrieval(config: GenerateConfig) -> "Retrieval | None":
    """Return what finds facts for a prompt, by the data that the model was trained on where nothing else is named."""
    from prospero.commands.opening import ModelPlace
    from prospero.data.prepare import find_prepared
    from prospero.data.retrieval import RetrievalFacts
    from prospero.registry import name_of

    if config.retrieval is None or name_of("retrieval", type(config.retrieval)) == "none":
        return None
    is_file = os.path.isfile(config.run)
    fingerprint = None if is_file else ModelPlace.find(config.run, config.outputs_dir).data_fingerprint
    prepared = find_prepared(Path(config.outputs_dir, "data"), fingerprint)
    return config.retrieval.build(RetrievalFacts(prepared=prepared))


def _room(config: GenerateConfig, decoder: "Decoder") -> int | None:
    """Return the tokens that a prompt with facts may have, so that what is written fits too; at least half a window."""
    window = decoder.window
    return None if window is None else max(1, window - config.sampling.max_new_tokens, window // 2)


def _informed(
    config: GenerateConfig, decoder: "Decoder", tokenizer: "Tokenizer", retrieval: "Retrieval | None", prompt: str
) -> str:
    """Return the prompt with the facts found for it, and say how many."""
    from prospero.log import log

    if retrieval is None:
        return prompt
    found = retrieval.before(prompt, tokenizer, _room(config, decoder))
    more = f" ({found.left_out} more had no room)" if found.left_out else ""
    log.info("retrieval: %d facts before the prompt%s", len(found.facts), more)
    return found.text


def _picture(config: GenerateConfig, shape: "tuple[int, int, int] | None") -> "np.ndarray | None":
    """Return the picture in the size that the model reads; ConfigError for one where none is read, and for none."""
    from prospero.data.pictures import read_picture
    from prospero.generation.pictured import NO_PICTURE

    if shape is None and config.image is not None:
        raise ConfigError(f"image={config.image}: {NO_PICTURE}")
    if shape is not None and config.image is None:
        raise ConfigError(f"run={config.run} reads a picture before the text; give image=<a PNG, JPEG, ... file>")
    return None if shape is None or config.image is None else read_picture(Path(config.image), shape[1], shape[0])


def open_decoder(config: GenerateConfig) -> "tuple[Decoder, Tokenizer, list[Any]]":
    """Return what decodes, its tokenizer, and what tells this model from others."""
    from prospero.commands.opening import ModelPlace, OpenModel

    is_file = os.path.isfile(config.run)
    if is_file and config.run.endswith(".onnx"):
        return _open_onnx(config, Path(config.run))
    place = ModelPlace(Path(config.run)) if is_file else ModelPlace.find(config.run, config.outputs_dir)
    if config.engine is Engine.onnx:
        raise ConfigError(
            f"engine=onnx runs an exported file, and run={config.run} is none; write one with: prospero export "
            f"run={config.run} to=onnx out=model.onnx, then give run=model.onnx"
        )
    model, tokenizer, description = place.load()
    if tokenizer is None:
        raise ConfigError(f"{place.folder} has no tokenizer.json, so it cannot write text; give the run's folder")
    opened = OpenModel(model, tokenizer, description)
    rows = 1 if config.prompts is None else config.batch_size
    decoder = opened.decoder(config.precision, rows=rows, outputs_dir=config.outputs_dir)
    return decoder, tokenizer, opened.mark(config.precision)


def _open_onnx(config: GenerateConfig, file: Path) -> "tuple[Decoder, Tokenizer, list[Any]]":
    """Return the same of an exported file."""
    from prospero.generation.onnx_decoder import OnnxDecoder
    from prospero.log import log

    if config.engine is Engine.torch:
        raise ConfigError(f"engine=torch cannot run {file}; leave engine= out, or give the run that it came from")
    if config.precision is not Precision.float32:
        raise ConfigError(
            f"precision={config.precision.name} does not change {file}, whose weights are as exported; leave it out"
        )
    decoder = OnnxDecoder(file)
    log.info("run: %s (%s, by onnxruntime)", file, decoder.description["name"])
    return decoder, decoder.tokenizer, [decoder.description, decoder.tokenizer.fingerprint(), file.stat().st_size]


def _work(config: GenerateConfig) -> "Batch | Iterator[str]":
    """Return what is to be continued: a file of prompts, or the prompts one by one."""
    import sys

    if config.prompts is not None:
        return Batch(config)
    prompt = config.prompt if config.prompt_file is None else _read(config.prompt_file)
    if prompt is None and config.image is None and sys.stdin.isatty():
        return _asked()
    return iter([prompt or ""])


def _asked() -> Iterator[str]:
    """Yield what is typed in the terminal, line by line, until its end."""
    import importlib.util
    import sys

    if importlib.util.find_spec("readline"):
        import readline  # noqa: F401  # the arrows then work in input()
    print("Type the beginning of a text; the end of the input (Ctrl-D) ends the dialogue.", file=sys.stderr)
    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return


def _read(prompt_file: str) -> str:
    try:
        return Path(prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompt_file={prompt_file} cannot be read: {error}") from error


def _show(config: GenerateConfig, decoder: "Decoder", tokenizer: "Tokenizer", prompt: "str | Pictured") -> None:
    """Print the texts of one prompt as they are written."""
    import time

    from prospero.generation import generate as generation
    from prospero.log import log
    from prospero.printable import printable_lines

    sampling, context = config.sampling, config.context
    shown = prompt if isinstance(prompt, str) else prompt.text
    searched = None
    if sampling.beams > 1:
        searched = generation.generate(decoder, tokenizer, [prompt], sampling, context=context)
    for number in range(sampling.n):
        if sampling.n > 1:
            print(f"--- {number + 1} of {sampling.n}")
        start, pieces = time.perf_counter(), 0
        if searched is not None:
            texts = iter([searched[number].text])
        else:
            texts = generation.stream(decoder, tokenizer, prompt, sampling, sample=number, context=context)
        begun = False
        for text in texts:
            if not begun:
                print(printable_lines(shown), end="")
            begun = True
            pieces += 1
            print(printable_lines(text), end="", flush=True)
        print("" if begun else printable_lines(shown))
        if searched is None:
            log.info("%d pieces, %.0f a second", pieces, pieces / max(time.perf_counter() - start, 1e-9))


class Batch:
    """A file of prompts and the file of their texts; both are read and checked before the model is."""

    def __init__(self, config: GenerateConfig) -> None:
        from prospero.generation.batch_file import read_prompts

        assert config.prompts is not None and config.out is not None
        self.config, self.out = config, Path(config.out)
        self.prompts = read_prompts(Path(config.prompts))
        if self.out.exists() and Path(config.prompts).exists() and self.out.samefile(config.prompts):
            raise ConfigError(f"out={config.out} is the file of the prompts; choose another")

    def write(
        self,
        decoder: "Decoder",
        tokenizer: "Tokenizer",
        mark: list[Any],
        retrieval: "Retrieval | None" = None,
        shape: "tuple[int, int, int] | None" = None,
    ) -> int:
        """Write the texts that are not there yet; return the exit code. `shape` is that of the pictures it reads."""
        import time

        from prospero.generation.batch_file import TextsFile, settings_mark
        from prospero.generation.generate import continuations
        from prospero.log import log
        from prospero.plain import plain

        sampling, context = self.config.sampling, self.config.context
        found = [] if retrieval is None else [retrieval.facts()]
        made_with = settings_mark(mark, plain(sampling), context.name, *found)
        texts = [prompt.text for prompt in self.prompts]
        if retrieval is not None:
            texts, self.prompts = self._informed(tokenizer, retrieval, _room(self.config, decoder))
        jobs = self._jobs(texts, tokenizer, decoder.window, shape)
        file = TextsFile(self.out, self.prompts, sampling.n, made_with)
        if file.done:
            log.info("%s holds the texts of %s prompts already", self.out, f"{file.done:,}")
        begun, todo = time.perf_counter(), len(self.prompts) - file.done
        file.write(
            continuations(
                decoder,
                tokenizer,
                ((number, jobs(number)) for number in range(file.done, len(self.prompts))),
                sampling,
                batch_size=self.config.batch_size,
                context=context,
                log_probabilities=True,
            )
        )
        log.info("%s: %s prompts continued in %.1f s", self.out, f"{todo:,}", max(time.perf_counter() - begun, 1e-9))
        return 0

    def _informed(
        self, tokenizer: "Tokenizer", retrieval: "Retrieval", room: int | None
    ) -> "tuple[list[str], list[Prompt]]":
        """Return the prompts with the facts before them, and each prompt with these facts as a field of its line."""
        from prospero.generation.batch_file import Prompt

        texts, prompts = [], []
        for number, prompt in enumerate(self.prompts, 1):
            if "facts" in prompt.fields:
                raise ConfigError(
                    f"prompt {number} of {self.config.prompts} has a field 'facts', which retrieval= writes; rename it"
                )
            found = retrieval.before(prompt.text, tokenizer, room)
            texts.append(found.text)
            prompts.append(Prompt(prompt.text, dict(prompt.fields) | {"facts": list(found.facts)}, prompt.image))
        return texts, prompts

    def _jobs(
        self, texts: list[str], tokenizer: "Tokenizer", window: int | None, shape: "tuple[int, int, int] | None"
    ) -> "Callable[[int], str | Pictured]":
        """Return what reads prompt `number` with its picture; all are checked first, ConfigError names the line."""
        from prospero.generation.engine import first_ids, window_start

        for number, prompt in enumerate(self.prompts):
            try:
                if prompt.image is None and shape is not None:
                    raise ConfigError("the model reads a picture, and there is no field 'image' with its name")
                if prompt.image is not None and shape is None:
                    raise ConfigError("a field 'image' names a picture, and the model reads none; leave it out")
                self._seen(number, texts[number], shape)
                if self.config.context is Context.refuse:
                    more = 0 if shape is None else 1  # the separator that a text after a picture begins with
                    window_start(len(first_ids(tokenizer, texts[number])) + more, window, self.config.context)
            except (ConfigError, DataError) as error:
                raise ConfigError(f"prompt {number + 1} of {self.config.prompts}: {error}") from error
        return lambda number: self._seen(number, texts[number], shape)

    def _seen(self, number: int, text: str, shape: "tuple[int, int, int] | None") -> "str | Pictured":
        from prospero.data.pictures import read_picture
        from prospero.data.sources.captions import inside
        from prospero.generation.pictured import Pictured

        prompt = self.prompts[number]
        if shape is None or prompt.image is None:
            return text
        assert self.config.prompts is not None
        path = inside(Path(self.config.prompts).parent, prompt.image)
        return Pictured(text, read_picture(path, shape[1], shape[0]))
