"""`chat`: a dialogue with a model in the terminal, or line by line from a pipe."""

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from prospero.data.parts import MISSING
from prospero.errors import ConfigError, ProsperoError
from prospero.generation.settings import Engine, Precision
from prospero.training.parts import SamplingSettings

if TYPE_CHECKING:
    from prospero.generation.chat import Chat

EXAMPLES = [
    ("prospero chat run=last", "the newest run; /help says what can be typed"),
    ("prospero chat run=mine system='Be brief.' sampling.temperature=0", "a system prompt, greedily"),
    ("prospero chat run=outputs/models/qwen", "an imported model, with its own template; a Hugging Face folder too"),
    ("echo 'What is a list?' | prospero chat run=last", "lines from a pipe; only the answers go to standard output"),
]


@dataclass(kw_only=True, slots=True)
class ChatConfig:
    """Which model, its system prompt, and how to draw the tokens."""

    sampling: SamplingSettings = MISSING
    """How the next token is drawn."""
    run: str = "last"
    """The run: last, a name, a folder (of a run, a checkpoint, a model, or one of Hugging Face's), or an .onnx file."""
    system: str | None = None
    """The system prompt, which stands before all turns; null: none."""
    template: str | None = None
    """plain, chatml, or a file in Jinja; null: the tokenizer's own template where it has one, else plain."""
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
        for name in ("run", "outputs_dir", "template"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")


def chat(config: ChatConfig) -> int:
    """Open the model and answer line by line; answers go to standard output, all else to standard error."""
    from prospero import log as logging_setup

    logging_setup.configure()
    talk(_opened(config), sys.stdin)
    return 0


def _opened(config: ChatConfig) -> "Chat":
    from prospero.commands.generate import GenerateConfig, open_decoder
    from prospero.data.rendering.chat_template import ChatTemplate, named_control_tokens
    from prospero.data.rendering.messages import template_source
    from prospero.generation.chat import Chat, checked
    from prospero.log import log

    checked(config.sampling)
    source = None if config.template is None else template_source(config.template, "template")
    decoder, tokenizer, _ = open_decoder(
        GenerateConfig(
            sampling=config.sampling,
            run=config.run,
            precision=config.precision,
            engine=config.engine,
            outputs_dir=config.outputs_dir,
        )
    )
    for name in named_control_tokens(source) if source is not None else ():
        if name not in tokenizer.control_names:
            raise ConfigError(f"template={config.template} writes {name}, which is no token of run={config.run}")
    if source is None and tokenizer.chat_template is None:
        log.info("%s has no template for dialogues; plain marks are used (User: ... Assistant: ...)", config.run)
    template = ChatTemplate.of(tokenizer, source)
    return Chat(decoder, tokenizer, config.sampling, system=config.system, template=template)


def talk(chat: "Chat", lines: TextIO) -> None:
    """Answer each line until the input ends or /quit; Ctrl-C stops an answer, not the program."""
    from prospero.generation.chat_commands import Quit, command

    _say("Type a message; /help says what else. Ctrl-C stops an answer, Ctrl-D ends.", only_terminal=lines)
    while True:
        try:
            line = _next(lines)
            if line is None:
                return
            if line.startswith("/"):
                _say(command(line, chat))
            elif line.strip():
                _answer(chat, line)
        except Quit:
            return
        except KeyboardInterrupt:
            _say("\n(/quit or Ctrl-D ends)", only_terminal=lines)
        except ProsperoError as error:
            _say(f"error: {error}")


def _answer(chat: "Chat", text: str) -> None:
    """Print one answer as it is written; what the model no longer reads is said before it."""
    from prospero.printable import printable_lines

    before = chat.left_out
    pieces = chat.answer(text)
    if chat.left_out > before:
        _say(f"({chat.left_out} of {len(chat.messages)} turns no longer fit what the model reads and have left)")
    try:
        for piece in pieces:
            print(printable_lines(piece), end="", flush=True)
    except KeyboardInterrupt:
        pieces.close()
        print(flush=True)
        _say("(stopped)")
        return
    print(flush=True)
    if chat.completion is not None and chat.completion.ended_by == "length":
        _say(f"(cut after {len(chat.completion.ids)} tokens, see sampling.max_new_tokens)")


def _next(lines: TextIO) -> str | None:
    """Return the next message, its lines joined where they end with a backslash; None at the end of the input."""
    parts: list[str] = []
    while True:
        line = _read(lines, "... " if parts else "> ")
        if line is None:
            return "\n".join(parts) if parts else None
        if not line.endswith("\\"):
            return "\n".join([*parts, line])
        parts.append(line[:-1])


def _read(lines: TextIO, prompt: str) -> str | None:
    if lines is not sys.stdin or not lines.isatty():
        line = lines.readline()
        return line.removesuffix("\n") if line else None
    import importlib.util

    if importlib.util.find_spec("readline"):
        import readline  # noqa: F401  # the arrows then work in input()
    try:
        return input(prompt)
    except EOFError:
        print()
        return None


def _say(text: str, *, only_terminal: TextIO | None = None) -> None:
    from prospero.printable import printable_lines

    if only_terminal is None or only_terminal.isatty():
        print(printable_lines(text), file=sys.stderr, flush=True)
