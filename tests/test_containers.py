"""The Dockerfile and the compose files, read and checked as far as that goes without an engine.

Where hadolint and compose-lint are installed they read the files too.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from prospero import cli, registry

ROOT = Path(__file__).parent.parent
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """(NAME, rest) of each, lines joined; comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "\n", "\n".join(lines))
    found: list[Instruction] = []
    continued = False
    for line, raw in zip(joined.splitlines(), "\n".join(lines).splitlines()):
        if not line.strip():
            continue
        if continued:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            name, _, rest = line.strip().partition(" ")
            found.append((name, rest.strip()))
        continued = raw.endswith("\\")
    return found


def stages() -> dict[str, list[Instruction]]:
    """Stage -> its instructions, those of the stages it begins with included; the last is called final."""
    found: dict[str, list[Instruction]] = {}
    for name, rest in instructions():
        if name == "FROM":
            image, _, called = rest.partition(" AS ")
            current = called or "final"
            found[current] = list(found.get(image, []))
        elif found:
            found[current].append((name, rest))
    return found


def last(stage: str, name: str) -> str:
    return [rest for kind, rest in stages()[stage] if kind == name][-1]


def in_context(path: str) -> bool:
    """Whether .dockerignore lets a path at the top into the context; the last line that fits decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch(path, pattern):
            kept = line.startswith("!")
    return kept


def test_what_is_copied_is_there_and_nothing_else_is_in_the_context():
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    sources = {source for words in copied for source in words}
    assert sources == {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "conf", "src"}
    for source in sources:
        assert (ROOT / source).exists() and in_context(source), source
    for other in ("outputs", ".git", ".env", "wandb", "tests", "venv", "docs", "anything"):
        assert not in_context(other), other
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["readme"] in sources and set(project["project"]["license-files"]) <= sources
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]) <= sources


@pytest.mark.parametrize("stage", ["program", "serve", "final"])
def test_nobody_runs_as_root(stage):
    user, _, group = last(stage, "USER").partition(":")
    assert int(user) >= 10_000 and int(group) >= 10_000
    kinds = [name for name, _ in stages()[stage]]
    assert "RUN" not in kinds[kinds.index("USER") :] and "ADD" not in kinds
    (made,) = [rest for name, rest in stages()[stage] if name == "RUN"]
    assert f"--uid {user}" in made and f"--gid {group}" in made and "/lab/outputs" in made


def test_no_secret_stands_in_the_image():
    for name, rest in instructions():
        if name in ("ENV", "ARG", "LABEL"):
            assert not re.search(r"key|token|secret|password", rest, re.IGNORECASE), rest


def composes(verb: str, words: list[str], capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main(verb, [*words, "--cfg", "job"])
    printed = capsys.readouterr()
    assert left.value.code == 0, printed.err
    return printed.out


def test_the_server_of_the_image_composes_and_is_asked_where_it_listens(capsys):
    assert json.loads(last("serve", "ENTRYPOINT")) == ["prospero"]
    verb, *words = json.loads(last("serve", "CMD"))
    if verb not in registry.VERBS:
        pytest.skip("this version has no server")
    settings = yaml.safe_load(composes(verb, words, capsys))
    assert last("serve", "EXPOSE") == str(settings["port"]) and settings["host"] == "0.0.0.0"
    assert f"127.0.0.1:{settings['port']}/health" in last("serve", "HEALTHCHECK")
    assert "HEALTHCHECK" not in [name for name, _ in stages()["program"]]
    assert json.loads(last("final", "CMD")) == ["--help"]


def commands() -> list[str]:
    """The shell commands of the stage that builds."""
    return [rest for name, rest in stages()["build"] if name == "RUN"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("variant", "index"),
    [("cpu", "https://download.pytorch.org/whl/cpu"), ("cuda", "https://pypi.org/simple"), ("rocm", None)],
)
def test_torch_is_of_the_constraints_for_processors_or_gpus(variant, index, tmp_path):
    (tmp_path / "pip").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$WRITTEN"\n')
    (tmp_path / "pip").chmod(0o755)
    (command,) = [text for text in commands() if "VARIANT" in text]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "WRITTEN": str(tmp_path / "words"), "VARIANT": variant}
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    if index is None:
        assert done.returncode == 1 and "neither cpu nor cuda" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    (torch,) = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")]
    assert (tmp_path / "words").read_text().split() == ["install", "--index-url", index, torch]


@pytest.mark.processes
def test_the_packages_are_those_of_the_project(tmp_path):
    (command,) = [text for text in commands() if "requirements.txt" in text]
    for name, body in (("pip", "cat requirements.txt"), ("python", f'exec {sys.executable} "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "EXTRAS": "hub onnx"}
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = [*project["optional-dependencies"]["hub"], *project["optional-dependencies"]["onnx"]]
    assert done.stdout.splitlines() == [*project["dependencies"], *extra], done.stderr


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("service", ["train", "serve"])
def test_a_service_may_write_its_runs_and_nothing_else(service):
    one = compose()["services"][service]
    assert one["build"]["target"] in stages() and (ROOT / one["build"]["context"]).samefile(ROOT)
    assert one["read_only"] is True and one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"] and "privileged" not in one and "user" not in one
    assert one["volumes"] == ["outputs:/lab/outputs"] and "outputs" in compose()["volumes"]
    assert last(one["build"]["target"], "VOLUME") == "/lab/outputs"
    assert all(place.startswith("/tmp") for place in one["tmpfs"])
    assert dict(word.split("=") for word in last("final", "ENV").split())["HOME"] == "/tmp"
    for variable in one["environment"]:  # given by name: the value comes from where compose is started
        assert re.fullmatch(r"[A-Z_]+", variable), variable
    for port in one.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_what_the_services_start_composes(capsys):
    train, serve = (compose()["services"][name] for name in ("train", "serve"))
    assert train["entrypoint"][0] == "prospero" and "command" not in train
    composes(train["entrypoint"][1], ["model=tiny", "max_steps=100"], capsys)
    assert serve["command"] == json.loads(last("serve", "CMD")) and "entrypoint" not in serve
    if serve["command"][0] in registry.VERBS:
        composes(serve["command"][0], serve["command"][1:], capsys)


def test_gpus_are_the_same_services_and_the_other_variant():
    plain, cuda = compose()["services"], compose("compose.cuda.yaml")["services"]
    assert plain.keys() == cuda.keys()
    images = [one["image"] for services in (plain, cuda) for one in services.values()]
    assert len(set(images)) == 4
    for one in cuda.values():
        assert one["build"] == {"args": {"VARIANT": "cuda"}}
        (device,) = one["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("program", "words"), [("hadolint", ["Dockerfile"]), ("compose-lint", ["compose.yaml", "compose.cuda.yaml"])]
)
def test_the_linters_say_nothing_that_matters(program, words):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"
