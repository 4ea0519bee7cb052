"""The code of a run as it was: its commit checked out beside the clone, with the changes that it had, for a while."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from prospero.errors import ConfigError
from prospero.plain import flat, plain
from prospero.runs.folder import RunFolder
from prospero.runs.repetition.surroundings import DIFF, read_environment

HERE = Path(__file__).resolve().parents[2]
"""The folder that Python finds this package in."""


def same_code(run: RunFolder, now: dict[str, Any]) -> bool | None:
    """Whether a run's commit and changes are those of `now`, an environment; None where the run does not say them."""
    then = read_environment(run)
    commit = (then.get("git") or {}).get("commit")
    if commit is None:
        return None
    return commit == (now.get("git") or {}).get("commit") and then[DIFF] == now.get(DIFF, "")


@contextmanager
def code_of_then(run: RunFolder) -> Iterator[Path]:
    """Yield the folder that Python finds the package of then in; it is gone afterwards.

    The changes are the text of code.diff in the run's folder, which is executed: only for runs that one trusts.
    Raises ConfigError where the run does not name a commit, this clone does not have it, or the changes do not fit.
    """
    commit = (read_environment(run).get("git") or {}).get("commit")
    if commit is None:
        raise ConfigError(f"{run.path} does not say of which commit its code was; leave code= out to run that of now")
    with tempfile.TemporaryDirectory(prefix="prospero-code-") as parent:
        place = Path(parent, "clone")
        added = _git(HERE, "worktree", "add", "--quiet", "--detach", str(place), commit)
        if added:
            raise ConfigError(f"this clone cannot check out the run's commit {commit[:12]} ({added}); fetch it first")
        try:
            if run.code_diff.is_file() and (refused := _git(place, "apply", str(run.code_diff.resolve()))):
                raise ConfigError(f"{run.code_diff} does not fit the commit {commit[:12]} ({refused})")
            yield place / "src"
        finally:
            _git(HERE, "worktree", "remove", "--force", str(place))


def changed_text(file: Path, config: Any, settings: Any) -> str:
    """Return a run's config.yaml with what `settings` have other than its own `config`, for the code that wrote it.

    That code may know fewer settings than this one, so what is the same in both is left as the file has it.
    """
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    before, after = flat(plain(config)), flat(plain(settings))
    for name, value in after.items():
        if name not in before or before[name] != value:
            _put(tree, name.split("."), value)
    for name in plain(config)["logger"]:
        tree["logger"].pop(name, None)
        tree["defaults"] = [item for item in tree["defaults"] if not str(item).endswith(f"@logger.{name}")]
    for name in plain(settings)["callbacks"]:
        if name not in plain(config)["callbacks"]:
            tree["defaults"].insert(-1, f"/schema/callbacks/{name}@callbacks.{name}")
    return yaml.safe_dump(tree, sort_keys=False)


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    tree[path[-1]] = value


def _git(folder: Path, *words: str) -> str:
    """Run git and return its last words where it fails, else nothing."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["git failed"])[-1]
