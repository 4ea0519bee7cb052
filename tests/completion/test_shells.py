"""What each shell is told; where a shell is installed, its own completion is asked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prospero.commands.completion import completion
from prospero.completion.shells import MEANING, SHELLS, answer, script
from prospero.errors import ConfigError
from tests.runs.fakes import make_run

BREAKS = " \t\n\"'><=;|&(:"


def bash(line: str, kind: str = "9") -> list[str]:
    return answer("bash", [kind, BREAKS, line]).splitlines()


def test_bash_gets_what_follows_its_word_breaks():
    assert bash("prospero tra") == ["space", "train"]
    assert bash("prospero train model=sm") == ["space", "small"]
    assert bash("prospero train 'model=sm") == ["space", "model=small"]
    assert bash("prospero train model.n_l") == ["nospace", "model.n_layers="]
    assert bash("prospero train callbacks=[default,em") == ["nospace", r"\[default,ema"]
    assert bash("prospero train x > ") == ["space"]


def test_bash_lists_meanings_only_where_it_lists():
    lines = bash("prospero train model=lstm")
    assert len(lines) == 4 and lines[1].startswith("lstm       (LSTM of as many parameters")
    assert bash("prospero train model=lstm", kind="37")[1:] == ["lstm", "lstm_base", "lstm_tiny"]
    assert {line[:4] for line in lines[1:]} == {"lstm"} and len({line[:5] for line in lines[1:]}) > 1  # it puts in lstm


def test_zsh_is_told_what_follows_and_how_it_is_shown():
    lines = answer("zsh", ["prospero train model=lstm"]).splitlines()
    assert lines[0] == "value" and lines[1].startswith("-lstm\tlstm       -- LSTM of as many")
    assert answer("zsh", ["prospero train -m model=tiny,sm"]).splitlines()[0] == "list"
    assert answer("zsh", ["prospero train 'model=sm"]).splitlines()[:1] == [""]
    assert answer("zsh", ["prospero train model.n_l"]).splitlines()[1].startswith("+model.n_layers=\t")
    assert answer("zsh", ["prospero train run=x"]).splitlines()[0] == "value"


def test_fish_gets_both_ends_of_a_list():
    lines = answer("fish", ["prospero train callbacks=[default,em"]).splitlines()
    assert [line.partition("\t")[0] for line in lines] == ["callbacks=[default,ema]", "callbacks=[default,ema,"]


def test_meanings_are_one_short_line():
    for word in ("model=", "", "experiment=", "tasks=", "callbacks."):
        for line in answer("fish", [f"prospero train {word}"]).splitlines():
            assert len(line.partition("\t")[2]) <= MEANING and line.count("\t") == 1


def test_what_the_verb_refuses(capsys):
    with pytest.raises(ConfigError, match=r"There is no completion for 'bsh'\. Did you mean 'bash'"):
        completion(["bsh"])
    with pytest.raises(ConfigError, match=r"Write prospero completion bash \| zsh \| fish"):
        completion([])
    assert completion(["answer", "fish", "prospero tra"]) == 0
    assert capsys.readouterr().out.startswith("train\t")


@pytest.mark.processes
@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_read_by_their_shells(shell, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    assert "@PROGRAMS@" not in script(shell)
    done = subprocess.run([program, "-n"], input=script(shell), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.processes
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("prospero generate run=my", [r"my\ \'run\'"]),
        ("python generate.py run='my", [r"my '\''run'\''"]),
        ("python -m prospero generate run=x", [r"x\$\(touch\ pwned\)"]),
        ("python other.py run=my", []),
    ],
)
def test_bash_itself(line, expected, tmp_path):
    """The functions are called as bash calls them at a TAB; a run's name is data, whatever it looks like."""
    program = shutil.which("bash")
    if program is None:
        pytest.skip("bash is not installed")
    for name in ("my 'run'", "x$(touch pwned)"):
        make_run(tmp_path / "outputs" / "train" / name)
    prospero = tmp_path / "bin" / "prospero"
    prospero.parent.mkdir()
    prospero.write_text(f'#!/bin/sh\nexec {sys.executable} -m prospero "$@"\n')
    prospero.chmod(0o755)
    python = tmp_path / "bin" / "python"  # no link: outside its environment Python would find no packages
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    function = "_prospero" if line.startswith("prospero") else "_prospero_python"
    test = f"{script('bash')}\nCOMP_LINE=$1 COMP_POINT=${{#1}} COMP_TYPE=9"
    test += f'\n{function} "${{1%% *}}"\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    environment = os.environ | {"PATH": f"{prospero.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [program, "-c", test, "bash", line], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert [found for found in done.stdout.splitlines() if found] == expected, done.stderr
    assert not (tmp_path / "pwned").exists() and not (Path(tmp_path) / "outputs" / "pwned").exists()
