"""What may stand at the cursor: verbs, options, settings, values, runs, files."""

import subprocess
import sys

import pytest

from prospero import registry
from prospero.completion.answer import FOLDERS, PATHS, RUNS, candidates
from prospero.completion.presets import Menu
from prospero.configuration.schema import field_docs, schema
from tests.runs.fakes import make_run


def texts(line: str) -> list[str]:
    *words, word = line.split(" ")
    return [one.text for one in candidates(words, word)]


def meanings(line: str) -> dict[str, str]:
    *words, word = line.split(" ")
    return {one.text: one.meaning for one in candidates(words, word)}


def test_verbs():
    found = texts("prospero ")
    assert [name for name in registry.VERBS if registry.as_typed(name) == name] == found[:-2] and found[-2:] == [
        "--help",
        "--version",
    ]
    assert texts("prospero tr") == ["train"]
    assert texts("prospero trai x") == [] and texts("python other.py ") == [] and texts("python ") == []
    assert texts("prospero checkpoint ve") == ["verify"] and texts("prospero completion ") == [
        "bash",
        "zsh",
        "fish",
        "--help",
    ]


@pytest.mark.parametrize(
    "program",
    [
        "prospero train",
        "/a/bin/prospero train",
        "python train.py",
        "python3.11 -u ./train.py",
        "python -m prospero train",
    ],
)
def test_every_way_to_start_is_known(program):
    assert texts(f"{program} max_st") == ["max_steps="]
    assert texts(f"{program} model=sm") == ["model=small"]


def test_options_and_their_values():
    assert "--multirun" in texts("python train.py --") and texts("python train.py --cfg j") == ["job"]
    assert texts("python train.py --cf") == ["--cfg"]


def test_groups_settings_and_what_they_mean():
    assert texts("prospero train mode") == ["model=", "model."]
    found = meanings("prospero train model.n_")
    assert list(found) == ["model.n_layers=", "model.n_heads=", "model.n_kv_heads="]
    assert found["model.n_layers="].endswith("[4]")
    assert texts("prospero train model=tiny model.n_layers=3 model.n_l") == []
    assert texts("prospero train model.rope_s") == ["model.rope_scaling."]
    assert "model.rope_scaling.factor=" in texts("prospero train model.rope_scaling.")
    assert texts("prospero train +model.n_l") == ["+model.n_layers="]
    assert meanings("prospero train see")["seed="].startswith("Seed of the weights")


def test_the_settings_are_those_of_the_chosen_part():
    assert "model.locked_dropout=" in texts("prospero train model=lstm model.")
    assert "model.locked_dropout=" not in texts("prospero train model.")
    assert "optimizer.betas=" in texts("prospero train experiment=770m optimizer.")
    assert "optimizer.betas=" not in texts("prospero train optimizer.")
    assert texts("prospero train data.pa") == []
    assert texts("prospero train data=files data.pa") == ["data.path=", "data.paths="]


def test_groups_of_several():
    assert texts("prospero train callbacks.e") == []
    assert texts("prospero train callbacks=[default,ema] callbacks.e") == ["callbacks.ema."]
    assert "callbacks.ema.decay=" in texts("prospero train callbacks=[default,ema] callbacks.ema.")
    assert texts("prospero train callbacks=[default,em") == ["callbacks=[default,ema"]
    assert "callbacks=[ema,ema" not in texts("prospero train callbacks=[ema,")
    assert "tasks.arc_easy." in texts("prospero evaluate tasks=[arc_easy] tasks.")


def test_values():
    assert texts("prospero train model.norm=") == ["model.norm=rms", "model.norm=layer"]
    assert texts("prospero train traceback=") == ["traceback=true", "traceback=false"]
    assert texts("prospero train model.bias=t") == ["model.bias=true"]
    assert "micro_batch_size=null" in texts("prospero train micro_batch_size=")
    assert texts("prospero train -m model=tiny,sm") == ["model=tiny,small"]
    assert texts("prospero train model=tiny,sm") == []
    assert texts("prospero train monitor=val/b") == ["monitor=val/bits_per_byte"]
    assert texts("prospero runs sort=bi") == ["sort=bits_per_byte"]
    assert texts("prospero train seed=") == [] and texts("prospero train no.such=") == []
    assert meanings("prospero train model=small")["model=small"].startswith("Transformer of 2 million")


def test_runs_by_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("old", "my 'run'", "a$(x)", "${x}", "'quoted'", "line\nend", "new")):
        make_run(tmp_path / "outputs" / "train" / name, begun=1e9 + number)
    (tmp_path / "outputs" / "models" / "gpt2").mkdir(parents=True)
    assert texts("prospero generate run=") == [
        "run=last",
        "run=new",
        "run=a$(x)",
        "run=my 'run'",
        "run=old",
        "run=gpt2",
    ]
    assert texts("prospero show o") == ["old", "outputs/", "outputs_dir="]
    assert texts("prospero show b") == ["batch"] and "filter" in texts("prospero train ")
    assert "runs=[new,old" in texts("prospero compare runs=[new,o")
    make_run(tmp_path / "other" / "sweeps" / "s" / "0")
    (tmp_path / "other" / "sweeps" / "s" / "sweep.json").write_text("{}")
    assert texts("prospero compare outputs_dir=other sweep=") == ["sweep=last", "sweep=s", "sweep=null"]
    assert "run=other/sweeps/s/0" in texts("prospero generate outputs_dir=other run=")


def test_files_where_a_value_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for name in ("a b.txt", "c.txt", ".hidden"):
        (tmp_path / "texts" / name).write_text("")
    assert texts("prospero train data=files data.path=te") == ["data.path=texts/"]
    assert texts("prospero train data=files data.path=texts/") == ["data.path=texts/a b.txt", "data.path=texts/c.txt"]
    assert texts("prospero train data=files data.path=texts/.") == ["data.path=texts/.hidden"]
    assert texts("prospero train outputs_dir=texts/") == []
    monkeypatch.setenv("HOME", str(tmp_path))
    assert texts("prospero train data=files data.path=~/te") == ["data.path=~/texts/"]
    assert texts("prospero checkpoint verify te") == ["texts/"]


def test_presets_of_ones_own(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# My own.\ndefaults: [small, _self_]\n")
    line = f"prospero train --config-dir {tmp_path} "
    assert meanings(line + "model=mi") == {"model=mine": "My own."}
    assert texts(line + "model=mine model.n_l") == ["model.n_layers="]
    (tmp_path / "model" / "damaged.yaml").write_text("defaults: [mine, [")
    (tmp_path / "model" / "round.yaml").write_text("defaults: [round]")
    assert texts(line + "model=damaged model.") == texts(line + "model=round model.") == []


@pytest.mark.parametrize("verb", [name for name, verb in registry.VERBS.items() if verb.settings])
def test_every_group_and_setting_of_every_verb_is_offered(verb):
    settings = registry.VERBS[verb].settings
    assert settings
    words = ["prospero", *registry.as_typed(verb).split(" ")]
    found = [one.text for one in candidates(words, "")]
    names = {text.rstrip("=.") for text in found if text[-1] in "=."}
    assert set(field_docs(settings)) <= names
    menu = Menu.of([])
    for group, chosen in menu.groups(verb).items():
        assert all(name in menu.names(group) for name in chosen), group


def test_every_preset_of_a_part_leads_to_its_settings():
    menu = Menu.of([])
    for group in registry.PARTS:
        for name in menu.names(group):
            for part in menu.parts(group, name):
                assert part.kind in registry.PARTS[group], (group, name)
            if name not in ("none", "auto") and group != "logger":
                assert menu.parts(group, name), (group, name)


def test_names_of_paths_are_names_of_settings():
    known = {name for verb in registry.VERBS.values() if verb.settings for name in field_docs(verb.settings)}
    for parts in registry.PARTS.values():
        for path in parts.values():
            known |= set(field_docs(schema(path)))
    assert (PATHS | RUNS | FOLDERS) - known == {"teacher", "store"} - known | {"config_dir"} - known


@pytest.mark.processes
def test_nothing_heavy_is_imported():
    code = (
        "import sys\nfrom prospero.cli import main\n"
        "try: main(None, ['completion', 'answer', 'fish', 'python train.py model=lstm model.'])\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in ('torch', 'hydra', 'omegaconf', 'numpy', 'lightning') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]" and "model.dropout=" in done.stdout, done.stderr
