"""The door: every verb, as `python <verb>.py`, `prospero <verb>` and `python -m prospero <verb>`.

Hydra composes the settings; this file turns whatever goes wrong on the way into one readable line and exit code 2.
"""

import contextlib
import importlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from prospero import registry, secret_values
from prospero.configuration.options import CHOICES, OPTIONS, SWEEP
from prospero.errors import ConfigError, Interrupted, ProsperoError, suggest
from prospero.printable import printable, printable_lines
from prospero.processes import ranks

COMPLETION = ("--shell-completion", "-sc")
SHELLS = ("bash", "zsh", "fish")
ASKED_OF_COMPLETION = [[f"install={shell}"] for shell in SHELLS]
EACH_ALONE = (("--cfg", "-c"), ("--info", "-i"), COMPLETION, SWEEP, ("--run", "-r"))
"""What is done with the settings: one of these (the spellings of each)."""
OF_CFG = ("--resolve", "--package", "-p")
"""Options of what `--cfg` prints."""
BY_US = ("--run", "-r", "--config-name", "-cn", "--config-dir", "-cd")
"""Options with which a single job is composed here; whatever else is asked, Hydra does."""


def main(verb: str | None = None, arguments: list[str] | None = None) -> NoReturn:
    """Run a verb with the command line's arguments and leave with its exit code."""
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    secret_values.remember_settings(given)
    secret_values.remember_environment(given)
    sys.excepthook = _print_traceback
    try:
        code = _answer(verb, given)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up(sys.stdout)
        code = 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is not None or not (_is_broken(sys.stdout) or _is_broken(sys.stderr)):
            raise
        _say(f"error: the output cannot be written: {error.strerror}; free space or write it elsewhere")
        code = ProsperoError.exit_code
    sys.exit(code)


def _answer(verb: str | None, given: list[str]) -> int:
    """Run a verb; say in one line what ended it early, and return the exit code."""
    try:
        if verb is None:
            verb, given = _verb_from(given)
        return run(verb, given)
    except ProsperoError as error:
        if "debug=traceback" in given or "traceback=true" in given:
            raise
        if not _said_by_another_rank(error):
            _say(f"error: {printable(secret_values.scrub(str(error)))}")
        return error.exit_code
    except Interrupted as error:
        if not ranks.is_launched_child():
            _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return 128 + signal.SIGINT
    except Exception as error:
        if not isinstance(error, BrokenPipeError):
            _said_by_another_rank(error)
        raise


def _open_closed_streams() -> None:
    """Give standard input, output and error a place where the caller has closed them (`>&-`).

    Else the next file that is opened would get the number of standard output, and what others print would end in it.
    """
    for number, mode in enumerate(("r", "w", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives it the lowest free number, which is this one
        name = ("stdin", "stdout", "stderr")[number]
        if vars(sys)[name] is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _is_broken(stream: TextIO) -> bool:
    """Whether what is printed to a stream cannot be written (a full disk); nothing more is written to it then."""
    try:
        stream.write("\n")  # what failed may have been larger than the buffer, which is empty now
        stream.flush()
    except OSError:
        _give_up(stream)
        return True
    return False


def _give_up(stream: TextIO) -> None:
    """Let what is still to be printed to a stream go nowhere, so that Python does not fail on it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody can be told on a full disk
        print(line, file=sys.stderr, flush=True)


def _print_traceback(kind: type[BaseException], error: BaseException, where: Any) -> None:
    """Print an uncaught exception as Python does, without the secrets that stood in its values."""
    import traceback

    text = secret_values.scrub("".join(traceback.format_exception(kind, error, where)))
    print(printable_lines(text), end="", file=sys.stderr)


def _said_by_another_rank(error: Exception) -> bool:
    """Tell the other processes of the run about `error`; return whether one of them says it to the user."""
    if not any(name in os.environ for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID")):
        return False
    from prospero.processes import rendezvous

    return rendezvous.tell_failure(error)


def _verb_from(given: list[str]) -> tuple[str, list[str]]:
    if not given or given[0] in ("-h", "--help", "help"):
        from prospero.configuration import help_text

        print(help_text.overview())
        sys.exit(0)
    if given[0] == "--version":
        import prospero

        print(f"prospero {prospero.__version__}")
        sys.exit(0)
    known = registry.VERBS
    if given[0] not in known:
        raise ConfigError(f"There is no command '{given[0]}'.{suggest(given[0], known)} Commands: {', '.join(known)}.")
    return given[0], given[1:]


def run(verb: str, given: list[str]) -> int:
    """Compose the configuration of `verb` and call its function; return the exit code."""
    verb, given = registry.in_two_words(verb, given)
    if registry.VERBS[verb].settings is None:
        return _run_plain(verb, given)
    given = _with_word(verb, given)
    words, options = _arranged(given)
    if "--version" in options:
        import prospero

        print(f"prospero {prospero.__version__}")
        return 0
    if any(option in options for option in COMPLETION):
        return _run_plain("completion", [words[0].partition("=")[2]])
    swept = any(option in options for option in SWEEP) or "hydra.mode=MULTIRUN" in words
    if swept:
        _check_sweep(verb, given)
    return _compose_and_call(verb, words, options, swept=swept)


def _with_word(verb: str, given: list[str]) -> list[str]:
    """Return the words with the first as the setting that it stands for: `show last` is `show run=last`."""
    name = registry.VERBS[verb].word
    if name is None or not given or "=" in given[0] or given[0].startswith("-"):
        return given
    return [f"{name}={given[0]}", *given[1:]]


def _check_sweep(verb: str, given: list[str]) -> None:
    if verb != "train":
        raise ConfigError(f"'{verb}' runs one job at a time; sweeps are for train: python train.py -m ...")
    _refuse_sweep_inside_a_world(given)


def _run_plain(verb: str, given: list[str]) -> int:
    if "-h" in given or "--help" in given:
        from prospero.configuration import help_text

        print(help_text.of_plain_verb(verb))
        return 0
    from prospero import log

    log.configure()
    return int(_function(verb)(given) or 0)


def _compose_and_call(verb: str, words: list[str], options: list[str], *, swept: bool) -> int:
    from prospero.configuration import composition, plugins, rewording
    from prospero.configuration.words import for_hydra, spelt_out

    composition.register()
    words = spelt_out(verb, words)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come here as they are; this file words them
    with rewording.worded(verb, [*words, *options]):
        loaded = plugins.load_named(verb, [*words, *options])
    _say_what_was_not_typed(loaded)
    words = for_hydra(verb, words, swept=swept)
    root = plugins.root_of(options, verb)
    with rewording.worded(root, [*words, *options]):
        if "-h" in options or "--help" in options:
            return _help(verb, root, words, swept=swept)
        config = None
        by_us = all(option in BY_US for option in options if option.startswith("-")) and not swept
        if by_us:
            config = composition.one_job(root, words)
        if config is None:
            if by_us:
                _check_sweep(verb, [*words, *options])
            _leave_to_hydra(verb, [*words, *options])
            return 0
        config = composition.with_plugins(config, loaded)
    return int(_function(verb)(config) or 0)


def _say_what_was_not_typed(loaded: dict[str, Path | None]) -> None:
    """Name the modules that a file had imported, to be seen where that file came from somebody else."""
    for name, file in loaded.items():
        if file is not None and not ranks.is_launched_child():
            print(f"imported {name}, which {file} names in plugins", file=sys.stderr)


def _leave_to_hydra(root: str, given: list[str]) -> None:
    """Let Hydra print what is asked (--cfg and its like), or run a sweep, whose jobs are processes of their own."""
    import hydra

    from prospero import paths

    def task(cfg: Any) -> None:
        raise ConfigError("this launcher runs jobs inside one process; use hydra/launcher=process")

    program, sys.argv = sys.argv, [sys.argv[0], *given]
    run_hydra = hydra.main(version_base="1.3", config_path=str(paths.config_dir()), config_name=root)(task)
    try:
        if any(option in given for option in EACH_ALONE[0]):
            _print_scrubbed(run_hydra)
        else:
            run_hydra()
    except SystemExit as left:
        if left.code == 1 and any(option in given for option in EACH_ALONE[0]):
            raise SystemExit(ProsperoError.exit_code) from left  # it has said that there is no such package
        raise
    finally:
        sys.argv = program


def _print_scrubbed(printing: Callable[[], Any]) -> None:
    """Print what `printing` prints, without the secrets among the settings."""
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            printing()
    finally:
        print(secret_values.scrub(shown.getvalue()), end="")


def _help(verb: str, root: str, words: list[str], *, swept: bool) -> int:
    from prospero.configuration import help_text

    print(help_text.of_verb(verb, root, [_first(word) if swept else word for word in words]))
    return 0


def _first(word: str) -> str:
    """Return a swept setting with the first of its values: `model=small,base` -> `model=small`."""
    key, equals, value = word.partition("=")
    return word if "[" in value or "(" in value or "'" in value else f"{key}{equals}{value.partition(',')[0]}"


def _function(verb: str) -> Callable[[Any], int | None]:
    module, _, name = registry.VERBS[verb].function.partition(":")
    return getattr(importlib.import_module(module), name)


def _arranged(given: list[str]) -> tuple[list[str], list[str]]:
    """Return the settings and the options with their values, wherever they stood on the command line.

    argparse takes settings in one row only, and answers the rest with its page of usage. Raises ConfigError for an
    option that does not exist, lacks its value, or does not go with another.
    """
    words, options, rest = [], [], list(given)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            words.append(word)
            continue
        option, equals, value = word.partition("=")
        if option not in OPTIONS:
            raise ConfigError(
                f"There is no option '{option}'.{suggest(option, OPTIONS)} Settings are written name=value; see --help."
            )
        options.append(option)
        if not OPTIONS[option]:
            if equals:
                raise ConfigError(f"The option '{option}' takes no value; see --help.")
            continue
        if not equals:
            value = rest.pop(0) if rest and "=" not in rest[0] and not rest[0].startswith("-") else ""
        if not value:
            raise ConfigError(f"The option '{option}' takes a value; see --help.")
        options.append(value)
        allowed = CHOICES.get(option, [])
        if allowed and value not in allowed:
            raise ConfigError(
                f"{option} {value} is not possible.{suggest(value, allowed)} Allowed: {', '.join(allowed)}."
            )
    _check_together(words, options)
    return words, options


def _check_together(words: list[str], options: list[str]) -> None:
    chosen = [option for spellings in EACH_ALONE for option in spellings if option in options]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} do not go together; give one of them")
    lonely = next((option for option in OF_CFG if option in options), None)
    if lonely and not any(option in options for option in EACH_ALONE[0]):
        raise ConfigError(f"{lonely} says how --cfg prints the settings; give it with --cfg job")
    if any(option in options for option in COMPLETION) and words not in ASKED_OF_COMPLETION:
        raise ConfigError('shell completion is set up by: eval "$(prospero completion bash)"')


def _refuse_sweep_inside_a_world(given: list[str]) -> None:
    launchers = {"TORCHELASTIC_RUN_ID": "WORLD_SIZE", "SLURM_STEP_ID": "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE": ""}
    for name, counter in launchers.items():
        size = os.environ.get(counter or name) or "1"
        if os.environ.get(name) and size.isdigit() and int(size) > 1:
            raise ConfigError(
                "-m inside torchrun, srun or mpirun would start the whole sweep once per rank; start it once, with "
                "plain python, and each job starts its own processes (trainer.devices): "
                f"python train.py {shlex.join(given)}"
            )
