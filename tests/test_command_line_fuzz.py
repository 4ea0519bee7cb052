"""Random mistakes on the command line: one clear line and exit code 2, or it works; never a traceback or a folder.

The settings of a verb that works are not used to train: what is measured is the way from the words to its function, and
that function's first look at them. Seeded; 60 mistakes, 500 with --long.
"""

import logging
import random
import sys

import pytest

from prospero import cli, registry

SETTINGS = [
    "seed", "seq_len", "max_steps", "max_tokens", "max_minutes", "name", "tags", "run_dir", "resume", "monitor",
    "model.n_layers", "model.norm", "model.dropout", "optimizer.lr", "trainer.devices", "trainer.precision", "plugins",
    "data.path", "tokenizer.vocab_size", "callbacks.samples.prompts", "logger.wandb.project", "outputs_dir", "model",
    "data", "callbacks", "logger", "regularizers", "experiment", "hydra.run.dir", "hydra.searchpath", "hydra.verbose",
    "hydra/launcher", "prompt", "prompt_file", "run", "sampling.temperature", "sampling.stop", "samples", "traceback",
]  # fmt: skip
VALUES = [
    "", "null", "3", "-1", "1.5", "50e6", "1e400", "nan", "inf", "true", "a,b", "[a,b]", "[", "]", "[a", "{a:1}", "{",
    "é", "数据.txt", "\x1b]0;x", "a\nb", "'", '"', "''", "'a", "${", "${name}", "${oc.env:NOT_THERE}", "${oc.env:HOME}",
    "${hydra:job.name}", "$HOME", "\\", "a\\", "a b", " a ", "a=b", "a:b", "(a)", "choice(a,b)", "range(3)", "~", "*",
    "../x", "/", "/dev/null", "/dev/null/x", "/proc/x", "x" * 300, "99999999999999999999", "0x10", "1_000", "\udcff",
    "a\udce9b", "tiny", "files", "none", "default", "auto", "last", "pkg://this", "🙂", "\u202e", "%s", "{0}",
]  # fmt: skip
OPTIONS = [
    "--cfg", "--cfg job", "--cfg=job", "--cfg all", "-c hydra", "--info searchpath", "--resolve", "-p model",
    "--cfg job -p no.where", "--config-name train", "--config-name nothing", "--config-name ../train", "-cn", "-h",
    "--config-dir .", "--config-dir nowhere", "--config-dir /dev/null", "--version", "--run", "--help=3", "-x", "--",
    "--config-path /", "--experimental-rerun x", "-cp=x", "-sc", "--hydra-help", "--multirunn", "-",
]  # fmt: skip
WORDS = [
    "", "=", "==", "=3", "a", "é=3", "a b=3", "~", "~model", "~seq_len", "~nothing", "+", "+=3", "++x=3", "+x.y=3",
    "@", "model@x=tiny", "/model=tiny", "model/x=3", "a.b.c", ".=3", "a..b=3", "$x=3", "\udcff", "\x1b[31m",
]  # fmt: skip


def mistyped(draw: random.Random, word: str) -> str:
    """A word with one character lost, doubled, changed or moved."""
    place = draw.randrange(len(word))
    kind = draw.randrange(4)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place] + word[place:]
    if kind == 2:
        return word[:place] + draw.choice("abz09._=[]{}'\"\\$~+@/-é ") + word[place + 1 :]
    return word[place:] + word[:place]


def mistake(draw: random.Random) -> tuple[str, list[str]]:
    """A verb and one to three words, each of which may be wrong in its own way."""
    verb, words = draw.choice(["train", "train", "prepare", "generate", "find_lr"]), []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        kind = draw.randrange(8)
        if kind == 0:
            words += draw.choice(OPTIONS).split(" ")
        elif kind == 1:
            words.append(draw.choice(WORDS))
        else:
            name = draw.choice(SETTINGS)
            name = mistyped(draw, name) if kind == 2 else name
            words.append(f"{draw.choice(['', '', '', '', '', '', '+', '++', '~'])}{name}={draw.choice(VALUES)}")
    return verb, words


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder of its own; whatever Hydra does to the logging of the process is taken back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "ADDED", {})
    root, of_hydra, path = logging.getLogger(), logging.getLogger("hydra"), list(sys.path)
    before = root.handlers[:], root.level, of_hydra.level
    yield tmp_path
    root.handlers[:], root.level, of_hydra.level = before
    sys.path[:] = path


@pytest.mark.heavy
@pytest.mark.parametrize("part", range(10))
def test_random_mistakes_are_one_line_or_work(part, outside, monkeypatch, capfd, long_form):
    reached = []
    monkeypatch.setattr(cli, "_function", lambda verb: lambda config: reached.append(config))
    draw = random.Random(part)
    for _ in range(50 if long_form else 6):
        verb, words = mistake(draw)
        with pytest.raises(SystemExit) as left:
            cli.main(verb, list(words))
        said = capfd.readouterr().err
        assert left.value.code in (0, 2), (verb, words, said)
        assert "Traceback" not in said, (verb, words, said)
        if left.value.code == 2:
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1 or "not found in config" in said, (verb, words, said)
        assert list(outside.iterdir()) == [], (verb, words)
    assert len(reached) < 40, "most are mistakes"


PLACES = ["", "/dev/null", "/dev/null/x", "/proc/x", "x" * 300, "new/" + "x" * 300, "a\udcffb"]


@pytest.mark.parametrize("name", ["run_dir", "resume", "outputs_dir"])
@pytest.mark.parametrize("place", PLACES, ids=[ascii(place)[:24] for place in PLACES])
def test_a_place_that_cannot_be_is_one_line_and_leaves_nothing(name, place, outside, capfd):
    words = [f"{name}={place}", "model=tiny", "max_steps=1", "trainer.accelerator=cpu"]
    words += ["run_dir=mine"] if name == "resume" else []
    with pytest.raises(SystemExit) as left:
        cli.main("train", words)
    said = capfd.readouterr().err
    assert left.value.code == 2 and said.count("error: ") == 1 and "Traceback" not in said, said
    assert [path for path in outside.rglob("*") if path.is_file()] == [] and not (outside / "new").exists()


@pytest.mark.parametrize(
    "words", [["verify"], ["show"], ["merge"], ["merge", "/dev/null"], ["x"], [], ["--x"]], ids=str
)
@pytest.mark.parametrize("place", PLACES[1:6], ids=[ascii(place)[:24] for place in PLACES[1:6]])
def test_checkpoint_takes_no_place_that_is_none(words, place, outside, capfd):
    with pytest.raises(SystemExit) as left:
        cli.main("checkpoint", [*words, place])
    said = capfd.readouterr().err
    assert left.value.code == 2 and said.count("error: ") == 1 and "Traceback" not in said, said
