"""What `--help` prints: the commands people really type, and the menu read from `conf/` as it is on disk."""

from dataclasses import is_dataclass
from pathlib import Path

from prospero import registry
from prospero.configuration.schema import field_docs, schema
from prospero.paths import config_dir

SUMMARIES = {
    "train": "train a language model, from raw text to a measured model in a run folder",
    "prepare": "clean, de-duplicate, split and tokenise text, without training",
    "generate": "write text with the model of a run",
    "find_lr": "find a learning rate with a range test; takes every setting of train",
    "checkpoint": "verify, merge or show what a run has saved",
}

EXAMPLES = {
    "train": [
        ("python train.py", "the embedded default: minutes on a CPU, no account, no download"),
        ("python train.py model=base trainer=gpu max_steps=20000", "GPT-2 124M class on a GPU"),
        ("python train.py model=lstm optimizer=muon schedule=wsd 'regularizers=[l2,z_loss]'", "other parts"),
        (
            "python train.py data=files data.path=corpus.jsonl.zst cleaning=web tokenizer.vocab_size=8192",
            "your own text",
        ),
        (
            "python train.py data=files data.path=shakespeare.txt tokenizer=char split=tail model=tiny",
            "one long document",
        ),
        ("python train.py max_minutes=10 'callbacks=[default,early_stopping]'", "stop by time or when val/loss rises"),
        ("python train.py logger=wandb name=first tags=[demo]", "W&B, offline when no key is found"),
        ("python train.py -m model=tiny,lstm_tiny optimizer.lr=1e-3,3e-3 seed=1,2", "a sweep, with a table at the end"),
        ("python train.py run_dir=outputs/a resume=auto", "start, or continue after a kill, by the same command"),
        ("python train.py debug=overfit", "does it learn one batch by heart? (debug: see `ls conf/debug`)"),
        ("python train.py model=large trainer=fsdp --cfg job", "print the composed settings and do nothing"),
    ],
    "prepare": [
        ("python prepare.py", "the embedded default"),
        (
            "python prepare.py data=files data.path='texts/*.md' cleaning=prose tokenizer.vocab_size=4096",
            "a glob of files",
        ),
        (
            "python prepare.py data=hub data.dataset=roneneldan/TinyStories",
            "a Hugging Face data set (pip install 'prospero[hub]')",
        ),
    ],
    "generate": [
        ("python generate.py run=last prompt='The import statement'", "the newest run"),
        ("python generate.py run=first prompt='def ' sampling.temperature=0", "a run by its name, greedily"),
        (
            "python generate.py run=outputs/a prompt='ROMEO:' sampling.top_k=20 sampling.seed=2",
            "a folder",
        ),
    ],
    "find_lr": [("prospero find_lr model=tiny optimizer=muon", "prints the suggestion, writes the curve")],
    "checkpoint": [
        ("prospero checkpoint verify outputs/a", "is every byte of a run's checkpoints and model as it was written?"),
        ("prospero checkpoint show outputs/a", "step, metrics, settings, tensors and files of the newest"),
        (
            "prospero checkpoint merge outputs/a/checkpoints/step_00000400 outputs/a_400",
            "the weights of all processes as one model folder, for generate and others",
        ),
    ],
}


def overview() -> str:
    """Return the help of `prospero` itself."""
    lines = ["Prospero: a laboratory for language models on Lightning and Hydra.", "", "commands:"]
    lines += [f"  prospero {verb:<10} {summary}" for verb, summary in SUMMARIES.items()]
    lines += ["", "`prospero <command> --help` shows examples and settings; `python <command>.py` is the same command."]
    return "\n".join(lines)


def of_verb(verb: str, root: str, given: list[str]) -> str:
    """Return a verb's help: ten commands, the menu of groups, the root's own settings, Hydra's options."""
    lines = [f"{verb}: {SUMMARIES[verb]}", "", "examples:"]
    for command, comment in EXAMPLES[verb]:
        lines += [f"  {command}", f"      {comment}"]
    lines += ["", "groups (choose with group=name, change one setting with group.setting=value):"]
    docs = field_docs(registry.ROOTS[root])
    for group, chosen in _defaults(root).items():
        several = " [several]" if group in registry.MULTIPLE else ""
        names = ", ".join(f"*{name}" if name in chosen else name for name in menu(group))
        lines += _wrapped(f"  {group + several:<24}", names)
    lines += ["      * chosen by default", "", "settings (name=value):"]
    light = schema(registry.ROOTS[root])
    for name, field in light.__dataclass_fields__.items():
        if name not in registry.PARTS:
            default = (
                field.default if not callable(getattr(field, "default_factory", None)) else field.default_factory()
            )
            lines += _wrapped(f"  {f'{name}={_shown(default)}':<24}", docs.get(name, ""))
    for group in _defaults(root):
        if group in registry.PARTS and any(word.split("=")[0] == group for word in given if "=" in word):
            lines += _settings_of(group, given)
    lines += ["", "options:"]
    lines += ["  --cfg job               print the composed settings and do nothing"]
    lines += ["  -m, --multirun          a sweep over comma-separated values"] if root == "train" else []
    lines += ["  --config-dir FOLDER     more presets of your own, laid out like conf/"]
    lines += ['  --shell-completion install=bash   eval "$(python train.py -sc install=bash)"']
    lines += ["", f"`{verb} <group>=<name> --help` lists every setting of that part. All presets: {_shown_folder()}"]
    return "\n".join(lines)


def of_plain_verb(verb: str) -> str:
    """Return the help of a verb that takes words instead of settings."""
    lines = [f"{verb}: {SUMMARIES[verb]}", "", "examples:"]
    for command, comment in EXAMPLES[verb]:
        lines += [f"  {command}", f"      {comment}"]
    return "\n".join(lines)


def menu(group: str) -> list[str]:
    """Return the names of the presets in `conf/<group>`, and of the parts that the user's plugins added."""
    return sorted({path.stem for path in (config_dir() / group).glob("*.yaml")} | set(registry.ADDED.get(group, {})))


def preset_comment(path: Path) -> str:
    """Return the comment at the head of a preset: its help text."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            words.append(line.lstrip("# "))
    return " ".join(words)


def _settings_of(group: str, given: list[str]) -> list[str]:
    """The settings of the part that the user named before `--help`, with their meaning."""
    name = [word.split("=", 1)[1] for word in given if word.split("=")[0] == group][-1].strip("[]")
    part = name if name in registry.PARTS[group] else _part_of_preset(group, name)
    if part is None:
        return []
    path = registry.PARTS[group][part]
    light = schema(path)
    prefix = f"{group}.{name}" if group in registry.MULTIPLE else group
    return ["", f"{group}={name}: {' '.join((light.__doc__ or '').split())}", *_fields_of(path, prefix)]


def _fields_of(path: str, prefix: str) -> list[str]:
    """One entry for each setting of a Config class, those of the settings inside it included."""
    lines = []
    for setting, text in field_docs(path).items():
        field = schema(path).__dataclass_fields__[setting]
        default = field.default if not callable(getattr(field, "default_factory", None)) else field.default_factory()
        inner = type(default).__dict__.get("__source__") if is_dataclass(default) else None
        if inner is not None:
            lines += _wrapped(f"  {f'{prefix}.{setting}':<40}", text) + _fields_of(inner, f"{prefix}.{setting}")
        else:
            lines += _wrapped(f"  {f'{prefix}.{setting}={_shown(default)}':<40}", text)
    return lines


def _part_of_preset(group: str, name: str) -> str | None:
    path = config_dir() / group / f"{name}.yaml"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = [part for part in registry.PARTS[group] if f"/schema/{group}/{part}@" in text]
    return found[0] if len(found) == 1 else None


def _defaults(root: str) -> dict[str, list[str]]:
    """group -> names chosen by default, read from the root's defaults list."""
    from omegaconf import OmegaConf

    chosen: dict[str, list[str]] = {}
    for item in OmegaConf.to_container(OmegaConf.load(config_dir() / f"{root}.yaml"))["defaults"]:  # type: ignore[index]
        if isinstance(item, dict):
            for group, value in item.items():
                if not str(group).startswith("override"):
                    chosen[str(group)] = value if isinstance(value, list) else [value]
    return chosen


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]  # type: ignore[index]
    return str(getattr(value, "name", value))


def _shown_folder() -> str:
    folder = config_dir()
    return "ls conf" if folder.parent == Path.cwd() else f"ls {folder}"


def _wrapped(head: str, text: str, width: int = 118) -> list[str]:
    lines, line = [], head
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            lines.append(line)
            line = " " * 24
        line += " " + word
    return [*lines, line]
