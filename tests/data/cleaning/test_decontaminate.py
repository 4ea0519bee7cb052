"""Decontamination: planted text of evaluation sets is found, named, dropped or masked, and nothing else is."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from prospero.configuration.evaluation_sets import evaluation_sets
from prospero.data.cleaning.decontaminate import DecontaminateConfig, OnLeak
from prospero.data.cleaning.length import LengthConfig
from prospero.data.cleaning.step import Changed, Drop
from prospero.data.prepare import prepare, what_decides
from prospero.errors import ConfigError, DataError
from tests.data.shard_making import settings, write_corpus

QUESTION = "A farmer sells nine baskets of ripe plums at the market and keeps four of them for his mother."
ANSWER = "He sells nine and keeps four so that there were thirteen baskets of plums in all that day."
STORY = "When the ship had gone down nobody on the shore could say whose voice it was that sang."


def write_rows(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def sums(tmp_path) -> str:
    return write_rows(tmp_path / "sums.jsonl", {"question": QUESTION, "steps": [{"said": ANSWER}], "id": 7})


@pytest.fixture
def story(tmp_path) -> str:
    (tmp_path / "story.txt").write_text(STORY)
    return str(tmp_path / "story.txt")


def words(text: str, count: int) -> str:
    return " ".join(text.split()[:count])


def test_a_run_of_thirteen_words_of_any_field_is_found_and_the_set_named(sums, story):
    step = DecontaminateConfig(paths=[sums, story]).build()
    leak = Drop("text of the evaluation set sums")
    assert step(f"On page 9: {words(QUESTION, 13)}; and so on") == leak
    assert step(f"ON PAGE NINE {words(ANSWER, 13).upper().replace(' ', ' -- ')}!") == leak
    assert step(f"<p>{STORY}</p>") == Drop("text of the evaluation set story")
    assert step(f"{QUESTION}\n{STORY}") == Drop("text of the evaluation set sums; text of the evaluation set story")
    clean = f"On page 9: {words(QUESTION, 12)}; and so on"
    assert step(clean) is clean
    other_order = " ".join(reversed(QUESTION.split()))
    assert step(other_order) is other_order


def test_shorter_runs_when_they_are_asked_for(sums):
    step = DecontaminateConfig(paths=[sums], n=8).build()
    assert step(words(QUESTION, 8)) == Drop("text of the evaluation set sums")
    assert step(words(QUESTION, 7)) == words(QUESTION, 7)


def test_masked_are_the_words_and_nothing_beside_them(sums, story):
    step = DecontaminateConfig(paths=[sums, story], on_leak=OnLeak.mask, mask="<cut>").build()
    what = "text of the evaluation set sums"
    assert step(f"Weiß İz {QUESTION} End.") == Changed("Weiß İz <cut>. End.", (what,))
    twice = step(f"«{ANSWER}» between {ANSWER} {STORY}")
    both = (what, "text of the evaluation set story")
    assert twice == Changed("«<cut>.» between <cut>.", both)  # the last two stand side by side
    longer = f"{words(QUESTION, 15)} or not"  # three runs that overlap are one stretch
    assert step(longer) == Changed("<cut> or not", (what,))


def test_of_a_script_without_spaces_thirteen_letters_are_a_run(tmp_path):
    path = write_rows(tmp_path / "verse.jsonl", {"text": "床前明月光,疑是地上霜。举头望明月,低头思故乡。"})
    step = DecontaminateConfig(paths=[path], on_leak=OnLeak.mask).build()
    assert step("诗:床前明月光疑是地上霜举头望!") == Changed("诗:[...]!", ("text of the evaluation set verse",))
    twelve = "诗人说床前明月光疑是地上霜举头 he said"
    assert step(twelve) is twelve
    mixed = "GPT 床前明月光 and 疑是地上霜举头望明月"
    assert step(mixed) is mixed  # other words stand between


def test_every_planted_item_is_found_and_no_other(tmp_path):
    import random

    rng = random.Random(0)
    vocabulary = [f"word{i}" for i in range(400)]
    items = [" ".join(rng.choices(vocabulary, k=20)) for _ in range(50)]
    path = write_rows(tmp_path / "set.jsonl", *({"text": item} for item in items))
    step = DecontaminateConfig(paths=[path]).build()
    texts = [" ".join(rng.choices(vocabulary, k=300)) for _ in range(100)]
    planted = [f"{text} {item} {text[:50]}" for text, item in zip(texts, items)]
    assert sum(isinstance(step(text), Drop) for text in texts) == 0  # precision 1
    assert sum(isinstance(step(text), Drop) for text in planted) == 50  # recall 1


def test_fields_choose_what_is_compared(sums):
    step = DecontaminateConfig(paths=[sums], fields=["question"]).build()
    assert isinstance(step(QUESTION), Drop) and step(ANSWER) is ANSWER
    step = DecontaminateConfig(paths=[sums], fields=["steps.said"]).build()
    assert isinstance(step(ANSWER), Drop) and step(QUESTION) is QUESTION


def test_the_step_goes_into_another_process_before_and_after_it_has_read(sums):
    step = DecontaminateConfig(paths=[sums]).build()
    assert isinstance(pickle.loads(pickle.dumps(step))(QUESTION), Drop)
    step("a text")
    Path(sums).unlink()
    assert isinstance(pickle.loads(pickle.dumps(step))(QUESTION), Drop)


def test_items_too_short_to_be_found_are_counted(tmp_path, caplog):
    path = write_rows(tmp_path / "short.jsonl", {"q": "What is it?", "a": "A thing."}, {"q": QUESTION, "a": "13"})
    with caplog.at_level("WARNING", "prospero"):
        DecontaminateConfig(paths=[path]).build()("a text")
    assert caplog.messages == ["Evaluation set short: 1 of 2 items have no text of 13 words, and are not looked for."]


def test_the_receipt_names_the_set_and_its_content_decides(tmp_path, sums):
    corpus = write_corpus(
        tmp_path, [f"text number {i} of many that are told apart by it" for i in range(60)] + [QUESTION]
    )
    cleaning = {"decontaminate": DecontaminateConfig(paths=[sums])}
    chosen = settings(corpus, tmp_path / "out", cleaning=cleaning)
    first = prepare(chosen)
    row = first.receipt["dropped"][0]
    assert (row["step"], row["reason"], row["documents"]) == ("decontaminate", "text of the evaluation set sums", 1)
    assert first.receipt["settings"]["cleaning"][0][1]["sets"][0]["name"] == "sums"
    masked = {"decontaminate": DecontaminateConfig(paths=[sums], on_leak=OnLeak.mask)}
    changed = prepare(settings(corpus, tmp_path / "out", cleaning=masked)).receipt["changed"]
    assert changed == {"decontaminate": 1, "decontaminate: text of the evaluation set sums": 1}

    (tmp_path / "moved").mkdir()
    moved = shutil.copy(sums, tmp_path / "moved" / "sums.jsonl")
    there = settings(corpus, tmp_path / "out", cleaning={"decontaminate": DecontaminateConfig(paths=[moved])})
    assert prepare(there).directory == first.directory
    write_rows(Path(moved), {"question": STORY})
    assert prepare(there).fingerprint != first.fingerprint


def test_a_step_without_an_identity_is_known_by_its_settings_as_before(tmp_path):
    chosen = settings(tmp_path, tmp_path, cleaning={"length": LengthConfig()})
    plain = {"class": "LengthConfig", "min_characters": 50, "max_characters": None, "min_words": 0, "max_words": None}
    assert what_decides(chosen)["cleaning"] == [["length", plain]]


def test_the_sets_of_the_presets_are_found_by_name_and_all_of_them():
    named = evaluation_sets(["gsm8k", "hellaswag"])
    assert {name: records.dataset for name, records in named.items()} == {
        "gsm8k": "openai/gsm8k",
        "hellaswag": "Rowan/hellaswag",
    }
    found = evaluation_sets(["all"])
    assert {"gsm8k", "hellaswag", "humaneval", "xsum"} <= set(found) and "summarize" not in found
    assert [one.name for one in DecontaminateConfig(tasks=["mbpp"]).sets()] == ["mbpp"]
    assert DecontaminateConfig(tasks=["mbpp"]).identity()["sets"][0]["dataset"] == "google-research-datasets/mbpp"


def test_what_cannot_be(tmp_path, sums):
    with pytest.raises(ConfigError, match="tasks=\\[\\] and no paths compare with nothing"):
        DecontaminateConfig(tasks=[])
    with pytest.raises(ConfigError, match="fields=\\['a'\\] are those of rows in paths="):
        DecontaminateConfig(fields=["a"])
    with pytest.raises(ConfigError, match="tasks=summarize names no data set"):
        DecontaminateConfig(tasks=["summarize"]).sets()
    with pytest.raises(ConfigError, match=r"gsm9k.*gsm8k"):
        DecontaminateConfig(tasks=["gsm9k"]).sets()
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        DecontaminateConfig(paths=[str(tmp_path / "nowhere.jsonl")]).identity()
    other = write_rows(tmp_path / "sums.json", {"question": STORY})
    with pytest.raises(DataError, match="are both called 'sums'"):
        DecontaminateConfig(paths=[sums, other]).sets()
    with pytest.raises(DataError, match="no field 'nothing'"):
        DecontaminateConfig(paths=[sums], fields=["nothing"]).build()("a text")
