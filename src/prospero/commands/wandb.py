"""`wandb`: make a project's workspace in W&B by code, and hand a sweep to W&B's agents.

prospero wandb dashboard project=lab entity=us title="Language models"
prospero wandb sweep model=tiny,lstm_tiny 'optimizer.lr=tag(log,interval(1e-4,1e-2))' trials=20
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.errors import ConfigError, suggest

EXAMPLES = [
    ("prospero wandb dashboard", "the workspace of the project prospero; needs a key (wandb login)"),
    ("prospero wandb dashboard project=lab entity=us title='Language models'", "of another project, under this name"),
    ("prospero wandb dashboard url=https://wandb.ai/us/lab?nw=abc", "lay out anew the workspace that is there"),
    ("prospero wandb sweep model=tiny,lstm_tiny seed=1,2,3", "a grid; words are those of train.py -m"),
    (
        "prospero wandb sweep 'optimizer.lr=tag(log,interval(1e-4,1e-2))' max_steps=500 method=random trials=20",
        "a search; method= grid, random or bayes, trials= at most",
    ),
    ("prospero wandb sweep seed=1,2,3 register=false file=sweep.yaml", "only write the file; register it by hand"),
]
OF_WANDB = {"project": "logger.wandb.project", "entity": "logger.wandb.entity"}
"""Short names of settings of the logger, which both words take."""
DASHBOARD = (*OF_WANDB, "title", "url")
OF_SWEEP = ("title", "method", "trials", "register", "file")
"""What `wandb sweep` takes beside the settings of train."""
NOT_IN_A_SWEEP = ("hydra", "run_dir", "resume")
"""Settings, or groups of them, that one command for every trial cannot hold."""


def wandb(words: list[str]) -> int:
    """Do `dashboard | sweep` with the words that follow; return the exit code."""
    actions: dict[str, Callable[[list[str]], int]] = {"dashboard": dashboard, "sweep": sweep}
    name, *rest = words or [""]
    if name not in actions:
        said = f"There is no 'wandb {name}'.{suggest(name, actions)} " if name else ""
        raise ConfigError(f"{said}Write prospero wandb {' | '.join(actions)}; see --help.")
    for word in rest:
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(f"'{word}' is not a setting; settings are written name=value, see prospero wandb --help")
    return actions[name](rest)


def dashboard(words: list[str]) -> int:
    """Save the workspace of a project on W&B's server, and print where it is."""
    given = dict(word.split("=", 1) for word in words)
    for name in given:
        if name not in (*DASHBOARD, *OF_WANDB.values()):
            raise ConfigError(
                f"There is no setting '{name}'.{suggest(name, DASHBOARD)} Allowed: {', '.join(DASHBOARD)}."
            )
    settings = _logger_settings([word for word in words if word.partition("=")[0] not in ("title", "url")])
    if "url" in given and set(given) != {"url"}:
        raise ConfigError("url= names a workspace that is there, with its project and title; give it alone")
    _require_server("the workspace is made on W&B's server")
    with _worded():
        from wandb import Api

        from prospero.training.loggers.wandb.dashboard import workspace

        entity = settings.entity or Api().default_entity
        title = given.get("title", "Prospero")
        space = workspace(str(entity), settings.project, title, given.get("url"))
        print(f"saved: {_quietly_saved(space)}")
    return 0


@dataclass(kw_only=True, slots=True)
class SweepWords:
    """The words of `wandb sweep`, read."""

    train: list[str]
    """Those of train, in Hydra's spelling."""
    title: str | None = None
    method: str | None = None
    trials: int | None = None
    register: bool | None = None
    """None: register where a key is found."""
    file: str | None = None


def sweep(words: list[str]) -> int:
    """Write the sweep's YAML, register it where a key is found, and print what an agent is started with."""
    from yaml import safe_dump

    from prospero.paths import write_text
    from prospero.training.loggers.wandb.access import Mode, resolve_mode

    given = _read_sweep(words)
    plan, outputs_dir = _plan(given)
    text = safe_dump(plan.yaml(), sort_keys=False, allow_unicode=True)
    registers = resolve_mode(Mode.auto) is Mode.online if given.register is None else given.register
    if registers:
        _require_server("register=true asks W&B's server" if given.register else "the sweep is registered there")
    file = Path(given.file or Path(outputs_dir, "wandb_sweeps", f"{time.strftime('%Y-%m-%d_%H-%M-%S')}.yaml"))
    if file.exists():
        raise ConfigError(f"file={file} is there already; choose another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    print(f"written: {file} (method {plan.yaml()['method']}, {_size(plan)}, judged by {plan.metric}, {plan.goal})")
    if not registers:
        of = f" --entity {plan.entity}" if plan.entity else ""
        why = "as asked" if given.register is False else "no key for W&B was found, or WANDB_MODE is not online"
        print(f"not registered ({why}). Register it with: wandb sweep --project {plan.project}{of} {file}")
        return 0
    with _worded():
        path = _registered(plan.yaml())
    print(f"registered: {path}. Start an agent, on as many machines as you like, with: wandb agent {path}")
    return 0


def _read_sweep(words: list[str]) -> SweepWords:
    """Part our own words from those of train; ConfigError for what cannot be."""
    from prospero.secret_values import is_secret

    ours: dict[str, str] = {}
    train = []
    for word in words:
        name, _, value = word.partition("=")
        if name in OF_SWEEP:
            ours[name] = value
            continue
        if name.partition(".")[0].partition("/")[0].lstrip("+~") in NOT_IN_A_SWEEP:
            raise ConfigError(
                f"{name}= cannot be given to a sweep of W&B, whose trials share one command; the search is set by "
                "method= and trials="
            )
        if is_secret(name):
            raise ConfigError(
                f"{name}= would stand in W&B for all to read; give it by the environment: ${{oc.env:NAME}}"
            )
        train.append(f"{OF_WANDB.get(name, name)}={value}" if "=" in word else word)
    for name, value in ours.items():
        if not value.strip():
            raise ConfigError(f"{name}= is empty; give a value, or leave it out")
    register = {"true": True, "false": False}.get(ours.get("register", "").lower())
    if "register" in ours and register is None:
        raise ConfigError(f"register={ours['register']} is not possible; give true or false")
    trials = ours.get("trials")
    if trials is not None and not (trials.isdecimal() and int(trials) > 0):
        raise ConfigError(f"trials={trials} is not possible; give a whole number above zero")
    return SweepWords(
        train=train,
        title=ours.get("title"),
        method=ours.get("method"),
        trials=int(trials) if trials else None,
        register=register,
        file=ours.get("file"),
    )


def _plan(given: SweepWords) -> tuple[Any, str]:
    """Return the sweep and the outputs folder; every choice is composed once, so that no trial finds a mistake."""
    from hydra_plugins.prospero_process_launcher.judging import direction_of, monitor_of
    from prospero.configuration import composition, plugins, rewording
    from prospero.configuration.swept import chosen_from, parsed, probes, split
    from prospero.configuration.words import for_hydra, spelt_out
    from prospero.sweeps.wandb_sweep import Method, SweepPlan

    method = None
    if given.method is not None:
        if given.method not in Method.__members__:
            hint = suggest(given.method, Method.__members__)
            raise ConfigError(f"method={given.method} is not possible.{hint} Allowed: {', '.join(Method.__members__)}.")
        method = Method[given.method]
    words = spelt_out("train", given.train)
    if not any(word.startswith(("logger=", "+logger")) for word in words):
        words = ["logger=wandb", *words]
    composition.register()
    with rewording.worded("train", words):
        plugins.load_named("train", words)
        fixed, swept = split(parsed(for_hydra("train", words, swept=True)))
        space = {name: chosen_from(override) for name, override in swept.items()}
        if not space:
            raise ConfigError("no setting is swept; write for example model=tiny,lstm_tiny or seed=1,2,3")
        for probe in probes(fixed, space):
            config = composition.typed_job("train", probe)
            if "wandb" not in config.logger:
                raise ConfigError("the trials of a sweep report by the logger wandb; add it: logger=[...,wandb]")
        configs = [composition.composed("train", probe) for probe in probes(fixed, space)]
        metric = monitor_of(configs)
        goal = direction_of("monitor", metric, configs[:1])
    of_wandb = config.logger["wandb"]
    program = ["train.py"] if Path("train.py").is_file() else ["-m", "prospero", "train"]
    plan = SweepPlan(
        space=space,
        fixed=[word for word in fixed if not word.startswith(tuple(f"{name}=" for name in OF_WANDB.values()))],
        program=program,
        metric=metric,
        goal=goal,
        project=of_wandb.project,
        entity=of_wandb.entity,
        name=given.title,
        method=method,
        trials=given.trials,
    )
    plan.yaml()
    return plan, config.outputs_dir


def _size(plan: Any) -> str:
    """Return how many trials a sweep has, in words."""
    from prospero.sweeps.wandb_sweep import parameter

    lists = [found.get("values") for found in map(parameter, plan.space.values())]
    all_of_them = math.prod(len(values) for values in lists if values) if all(lists) else None
    known = [count for count in (all_of_them, plan.trials) if count is not None]
    return f"{min(known)} trials" if known else "trials without end: stop it in W&B, or give trials="


def _logger_settings(words: list[str]) -> Any:
    """Return the settings of the logger wandb as the command line composes them."""
    from prospero.configuration.compose import compose

    longer = [f"{OF_WANDB.get(name, name)}={value}" for name, _, value in (word.partition("=") for word in words)]
    return compose("train", ["logger=wandb", *longer]).logger["wandb"]


def _require_server(why: str) -> None:
    """Raise ConfigError where there is no key, where the environment says offline, or where nobody answers."""
    from prospero.training.loggers.wandb.access import Mode, check_server, has_key, resolve_mode

    if not has_key():
        raise ConfigError(f"{why}, and no key for W&B was found; run wandb login, or set WANDB_API_KEY")
    if (mode := resolve_mode(Mode.auto)) is not Mode.online:
        raise ConfigError(f"{why}, and WANDB_MODE={mode.value} says to stay away from it")
    try:
        check_server()
    except OSError as error:
        raise ConfigError(f"{why}, which cannot be reached ({error}); try again when the network is there") from error


@contextmanager
def _worded() -> Iterator[None]:
    """Turn what W&B's client raises into one line."""
    try:
        yield
    except ConfigError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"prospero wandb dashboard needs the package {error.name}, which is not installed; run "
            "pip install 'prospero[wandb]'"
        ) from error
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ConfigError(f"W&B refuses: {line}") from error


def _quietly_saved(space: Any) -> str:
    """Save a workspace and return its address, without W&B's own lines on the screen."""
    import contextlib
    import io

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        space.save()
    return space.url


def _registered(content: dict[str, Any]) -> str:
    """Register a sweep and return its path, entity/project/id."""
    import contextlib
    import io

    import wandb

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        identity = wandb.sweep(dict(content), entity=content.get("entity"), project=content["project"])
        entity = content.get("entity") or wandb.Api().default_entity
    return f"{entity}/{content['project']}/{identity}"
