"""The door: every verb, as `python <verb>.py`, `prospero <verb>` and `python -m prospero <verb>`.

Hydra composes the settings; this file turns whatever goes wrong on the way into one readable line and exit code 2.
"""

import importlib
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from prospero import registry, secret_values
from prospero.errors import ConfigError, Interrupted, ProsperoError, suggest
from prospero.printable import printable, printable_lines
from prospero.processes import ranks

OPTIONS = {
    "--help": 0, "-h": 0, "--hydra-help": 0, "--version": 0, "--cfg": 1, "-c": 1, "--resolve": 0, "--package": 1,
    "-p": 1,
    "--run": 0, "-r": 0, "--multirun": 0, "-m": 0, "--shell-completion": 0, "-sc": 0, "--config-path": 1, "-cp": 1,
    "--config-name": 1, "-cn": 1, "--config-dir": 1, "-cd": 1, "--info": 1, "-i": 1, "--experimental-rerun": 1,
}  # fmt: skip
"""Option -> number of values that follow it."""
INFO = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
CHOICES = {"--cfg": ["job", "hydra", "all"], "--info": INFO} | {"-c": ["job", "hydra", "all"], "-i": INFO}
"""Option -> the values it can have."""


def main(verb: str | None = None, arguments: list[str] | None = None) -> NoReturn:
    """Run a verb with the command line's arguments and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    secret_values.remember_settings(given)
    secret_values.remember_environment(given)
    sys.excepthook = _print_traceback
    try:
        if verb is None:
            verb, given = _verb_from(given)
        code = run(verb, given)
    except ProsperoError as error:
        if "debug=traceback" in given or "traceback=true" in given:
            raise
        if not _said_by_another_rank(error):
            print(f"error: {printable(secret_values.scrub(str(error)))}", file=sys.stderr)
        code = error.exit_code
    except Interrupted as error:
        if not ranks.is_launched_child():
            print(error, file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except Exception as error:
        _said_by_another_rank(error)
        raise
    sys.stdout.flush()
    sys.exit(code)


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
    from prospero.configuration import help_text

    if not given or given[0] in ("-h", "--help", "help"):
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
    if registry.VERBS[verb].settings is None:
        return _run_plain(verb, given)
    words, options = _arranged([_as_text(word) for word in given])
    if any(option in options for option in ("-m", "--multirun")):
        if verb != "train":
            raise ConfigError(f"'{verb}' runs one job at a time; sweeps are for train: python train.py -m ...")
        _refuse_sweep_inside_a_world(given)
    return _compose_and_call(verb, words, options)


def _run_plain(verb: str, given: list[str]) -> int:
    if "-h" in given or "--help" in given:
        from prospero.configuration import help_text

        print(help_text.of_plain_verb(verb))
        return 0
    from prospero import log

    log.configure()
    return int(_function(verb)(given) or 0)


def _compose_and_call(verb: str, words: list[str], options: list[str]) -> int:
    from prospero.configuration import composition, plugins, rewording

    given = [*words, *options]
    composition.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come here as they are; this file words them
    with rewording.worded(verb, given):
        loaded = plugins.load_named(verb, given)
        _say_what_was_not_typed(loaded)
        if "-h" in options or "--help" in options:
            return _help(verb, words, options)
        composed = _composed_by_hydra(verb, given)
        config = None if composed is None else composition.with_plugins(composition.typed(composed), loaded)
    if config is None:
        return 0  # --cfg and its like, or a sweep, whose jobs ran in processes of their own
    return int(_function(verb)(config) or 0)


def _say_what_was_not_typed(loaded: dict[str, Path | None]) -> None:
    """Name the modules that a file had imported, to be seen where that file came from somebody else."""
    for name, file in loaded.items():
        if file is not None and not ranks.is_launched_child():
            print(f"imported {name}, which {file} names in plugins", file=sys.stderr)


def _composed_by_hydra(root: str, given: list[str]) -> Any:
    """Let Hydra do what the command line says; return the composed tree, or None when it was no single job."""
    import hydra

    from prospero import paths

    caught: list[Any] = []

    def task(cfg: Any) -> None:
        caught.append(cfg)  # only caught here: Hydra's part ends with the composition

    program, sys.argv = sys.argv, [sys.argv[0], *given]
    try:
        hydra.main(version_base="1.3", config_path=str(paths.config_dir()), config_name=root)(task)()
    finally:
        sys.argv = program
    return caught[0] if caught else None


def _help(verb: str, words: list[str], options: list[str]) -> int:
    from prospero.configuration import help_text, plugins

    root = next(iter(plugins.options_given(options, "--config-name", "-cn")), verb)
    swept = "-m" in options or "--multirun" in options
    print(help_text.of_verb(verb, root.removesuffix(".yaml"), [_first(word) if swept else word for word in words]))
    return 0


def _first(word: str) -> str:
    """Return a swept setting with the first of its values: `model=small,base` -> `model=small`."""
    key, equals, value = word.partition("=")
    return word if "[" in value or "(" in value or "'" in value else f"{key}{equals}{value.partition(',')[0]}"


def _as_text(word: str) -> str:
    """Quote the value of `prompt=` for Hydra's grammar, which would else trim it and trip over its punctuation."""
    key, equals, value = word.partition("=")
    if key != "prompt" or not equals or value[:1] in ("'", '"'):
        return word
    return "prompt='" + value.replace("'", "\\'") + "'"


def _function(verb: str) -> Callable[[Any], int | None]:
    module, _, name = registry.VERBS[verb].function.partition(":")
    return getattr(importlib.import_module(module), name)


def _arranged(given: list[str]) -> tuple[list[str], list[str]]:
    """Return the settings and the options with their values, wherever they stood on the command line.

    argparse takes settings in one row only, and answers the rest with its page of usage. Raises ConfigError for an
    option that does not exist or lacks its value.
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
        options.append(word)
        if OPTIONS[option] and not equals:
            if not rest or "=" in rest[0] or rest[0].startswith("-"):
                raise ConfigError(f"The option '{option}' takes a value; see --help.")
            options.append(value := rest.pop(0))
        allowed = CHOICES.get(option, [])
        if allowed and value not in allowed:
            raise ConfigError(
                f"{option} {value} is not possible.{suggest(value, allowed)} Allowed: {', '.join(allowed)}."
            )
    return words, options


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
