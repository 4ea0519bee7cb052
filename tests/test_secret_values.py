"""A planted secret is looked for in everything a run writes and says; code that nobody registered is not built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prospero import cli, registry, secret_values
from prospero.configuration import composition, written
from prospero.configuration.schema import schema
from prospero.plain import plain
from prospero.secret_values import is_secret, redacted_word, remember, remember_environment, scrub
from tests.grids import grid

ROOT = Path(__file__).parent.parent
PLANTED = 'pl4nted"<secret>\\é'
"""A value that looks different inside JSON, HTML and a Python string."""
FORMS = [form.encode() for form in ("pl4nted", "secret>", "secret&gt;", "pl4nted\\u0022")]


@pytest.fixture(autouse=True)
def _forget():
    known = dict(secret_values._known)
    yield
    secret_values.forget()
    secret_values._known.update(known)


def test_names_that_look_like_secrets():
    for name in (
        "wandb.api_key",
        "password",
        "hub.access_token",
        "+x.client-secret",
        "AWS_SECRET_ACCESS_KEY",
        "apikey",
    ):
        assert is_secret(name), name
    for name in ("max_tokens", "tokenizer.vocab_size", "model.n_kv_heads", "keyboard", "monkey", "data.path"):
        assert not is_secret(name), name


def test_no_setting_of_ours_looks_like_a_secret():
    """Or config.yaml would not run again."""
    names = []
    for group, parts in registry.PARTS.items():
        for name, path in parts.items():
            names += [f"{group}.{name}.{field}" for field in schema(path).__dataclass_fields__]
    assert len(names) > 100
    meant = ["analyses.watermark.key"]  # whoever knows it can take the mark out of a text
    assert [name for name in names if is_secret(name)] == meant


def test_scrub_takes_out_every_form_of_a_value():
    import html
    import json

    remember(PLANTED, "X")
    for form in (PLANTED, json.dumps(PLANTED), html.escape(PLANTED), repr(PLANTED)):
        assert "pl4nted" not in scrub(f"a {form} b") and "X" in scrub(f"a {form} b")


def test_short_values_and_numbers_are_left_alone():
    for value in ("on", "20", "1234567", "0.00001", "true"):
        remember(value)
    assert scrub("on 20 1234567 0.00001 true") == "on 20 1234567 0.00001 true"


def test_variables_named_like_secrets_are_known_without_being_asked_for(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "a-long-value")
    remember_environment()
    assert scrub("https://host/?k=a-long-value") == "https://host/?k=${oc.env:MY_API_KEY}"


def test_words_of_the_command_line():
    assert redacted_word("logger.wandb.api_key=x") == "logger.wandb.api_key=<redacted>"
    assert redacted_word("optimizer.lr=1") == "optimizer.lr=1"


def composed(*words):
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from prospero.paths import config_dir

    composition.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return composition.typed(compose("train", overrides=list(words)))


def test_what_came_from_the_environment_is_written_as_it_was_given(monkeypatch):
    monkeypatch.setenv("OUR_NAME", "a name of ours")
    monkeypatch.setenv("OUR_STEPS", "7")
    config = composed("tags=['${oc.env:OUR_NAME}', x]", "max_steps=${oc.env:OUR_STEPS}", "name=${oc.env:OUR_NAME}")
    assert config.run_name() == "${oc.env:OUR_NAME}", "the name of a folder"
    assert config.max_steps == 7 and config.tags == ["a name of ours", "x"]
    redacted = written.redact(plain(config))
    assert redacted["max_steps"] == "${oc.env:OUR_STEPS}"
    assert redacted["tags"] == ["${oc.env:OUR_NAME}", "x"]
    assert "a name of ours" not in written.rerunnable(config)


FOREIGN = [
    ["+hydra.callbacks.x._target_=os.system"],
    ["hydra.launcher._target_=os.system"],
    ["hydra.sweeper._target_=subprocess.call"],
    ["+hydra.launcher.inner._target_=os.system"],
    ["+hydra.callbacks.x._target_=hydra.utils.call"],
    ["+hydra.callbacks.x._target_='${oc.env:HOME}'"],
    ["+trainer.lightning.x._target_=os.system"],
    ["hydra/job_logging=default", "hydra.job_logging.handlers.console.class=os.system"],
]


@pytest.mark.parametrize(
    ("words", "multirun"),
    grid(
        [(words, multirun) for words in FOREIGN for multirun in (False, True)],
        always=lambda case: not case[1] or case[0] in (FOREIGN[0], FOREIGN[-1]),
    ),
    ids=lambda value: value[-1] if isinstance(value, list) else ("sweep" if value else "one job"),
)
def test_a_foreign_target_is_refused_in_one_line_before_it_is_built(words, multirun, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    called = []
    monkeypatch.setattr(os, "system", lambda *args, **kwargs: called.append(args))
    with pytest.raises(SystemExit) as left:
        cli.main("train", [*words, "max_steps=1", *(["-m"] if multirun else [])])
    errors = capsys.readouterr().err
    assert left.value.code == 2, errors
    (line,) = [line for line in errors.splitlines() if line.strip()]
    assert line.startswith("error: ") and "not allowed" in line
    assert called == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("callbacks: {x: {_target_: os.system}}", "hydra.callbacks.x._target_ is not allowed"),
        (
            "job_logging: {handlers: {x: {(): os.system}}}",
            "hydra.job_logging has no effect in Prospero and is not allowed",
        ),
    ],
)
def test_a_preset_cannot_bring_a_target_either(setting, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "bad.yaml").write_text(f"# @package _global_\nhydra:\n  {setting}\n")
    with pytest.raises(SystemExit) as left:
        cli.main("train", ["--config-dir", str(tmp_path), "experiment=bad", "--cfg", "job"])
    assert left.value.code == 2
    assert named in capsys.readouterr().err


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A sweep of one job with the secret in every place a user may put it."""
    folder = tmp_path_factory.mktemp("secret")
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(1500)]
    (folder / "text.txt").write_text("".join(lines))
    words = [
        "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "seq_len=32", "max_steps=2",
        "global_batch_size=4", "trainer.log_every_steps=1", "trainer.val_sequences=8",
        "trainer.test_sequences=8", "trainer.accelerator=cpu",
        "trainer.val_every_steps=1", "logger=wandb", "logger.wandb.mode=offline", "name=${oc.env:PLANTED}",
        "tags=['${oc.env:PLANTED}','${name}']", "logger.wandb.group=${oc.env:PLANTED}",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PROSPERO_", "WANDB_"))}
    environment |= {"PLANTED": PLANTED, "WANDB_API_KEY": "pl4nted" + "0" * 33, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), "-m", "seed=1", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=200)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said.decode()
    wrong = [sys.executable, str(ROOT / "train.py"), "max_steps=${oc.env:PLANTED}", "debug=traceback"]
    done = subprocess.run(wrong, cwd=folder, env=environment, capture_output=True, timeout=200)
    assert done.returncode != 0
    return folder, said + done.stdout + done.stderr


@pytest.mark.processes
def test_a_planted_secret_is_nowhere_in_what_a_run_writes(place):
    folder, _ = place
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert any(path.name == "console.log" for path in files) and any(path.suffix == ".wandb" for path in files)
    found = [str(path.relative_to(folder)) for path in files for form in FORMS if form in path.read_bytes()]
    assert found == []
    assert [path for path in folder.rglob("*") if "pl4nted" in path.name] == [], "nor in the name of a file"


@pytest.mark.processes
def test_nor_in_what_it_says(place):
    assert [form for form in FORMS if form in place[1]] == []


@pytest.mark.processes
def test_the_config_with_its_secret_taken_out_still_composes(place):
    folder, _ = place
    (file,) = folder.glob("outputs/**/config.yaml")
    run, text = file.parent, file.read_text()
    assert "name: ${oc.env:PLANTED}" in text
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "--config-dir",
        str(run),
        "--config-name",
        "config",
        "--cfg",
        "job",
    ]
    environment = {**os.environ, "PLANTED": "something"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
