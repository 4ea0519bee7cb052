"""`prospero prefer`: pairs of a model's own answers; a killed job goes on and asks no prompt twice."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.checkpoints import stored

from prospero.commands.prefer import PreferConfig, answers_file, prefer
from prospero.data.rendering.preferences import PreferencesConfig
from prospero.data.sources.examples import ExamplesConfig
from prospero.data.split import HashSplitConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.measurement import ratio
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.exact_match import ExactMatchConfig
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from prospero.generation.sampling import SamplingConfig

PROMPTS = ["a", "b", "ab", "ba", "aa", "bb", "c", "ac", "bc", "ca"]


class EarlyConfig:
    """Settings of a metric of one's own."""

    def build(self, facts: MetricFacts) -> "Early":
        return Early()


class Early(TextMetric):
    """How early in the alphabet the first character stands."""

    name = "early"
    higher_is_better = False

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        return np.array([[ord(sample.prediction[0]), 1] for sample in samples])

    def finish(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums)


SAMPLING = SamplingConfig(max_new_tokens=4, temperature=1.0, top_p=1.0, n=3, seed=3)


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "outputs" / "train" / "2026-01-02_03-04-05_mine"
    stored.write(folder, 1)
    stored.save_tokenizer(folder)
    rows = [{"prompt": prompt, "right": "a"} for prompt in [*PROMPTS, "a", " "]]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return PreferConfig(
        data=ExamplesConfig(path=str(prompts)),
        split=HashSplitConfig(val_fraction=0.1, test_fraction=0.1),
        sampling=SAMPLING,
        metrics={"early": EarlyConfig()},
        run=str(folder),
        out=str(tmp_path / "pairs.jsonl"),
        outputs_dir=str(tmp_path / "outputs"),
    )


def rows(path: str | Path) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_the_better_answer_is_chosen_and_everything_is_counted(config):
    assert prefer(config) == 0
    pairs, answers = rows(config.out), rows(answers_file(config))
    receipt = json.loads(Path(config.out).with_suffix(".receipt.json").read_text())
    assert len(pairs) > 3 and all(pair["chosen"][0] < pair["rejected"][0] for pair in pairs)
    assert len(answers) == 3 * receipt["asked"] and receipt["pairs"] == len(pairs)
    counts = dict(receipt["no_pair"])
    assert counts.pop("repeated prompts") == counts.pop("empty prompts") == 1
    assert receipt["asked"] == len(pairs) + sum(counts.values())
    for pair in pairs:
        written = [row["text"] for row in answers if row["row"] == pair["row"]]
        assert pair["chosen_score"] == min(ord(text[0]) for text in written if text.strip())


def test_a_killed_job_goes_on_and_gives_the_same_pairs(config):
    prefer(config)
    pairs, answers = Path(config.out).read_bytes(), answers_file(config).read_bytes()
    lines = answers.splitlines(keepends=True)
    answers_file(config).write_bytes(b"".join(lines[:4]) + lines[4][:9])  # killed in the second prompt
    Path(config.out).unlink()
    prefer(config)
    assert answers_file(config).read_bytes() == answers and Path(config.out).read_bytes() == pairs


def test_the_pairs_are_data_of_preferences(config):
    prefer(config)
    rendering = PreferencesConfig().build()
    documents = list(ExamplesConfig(path=config.out).build().documents())
    assert [len(rendering(document, lambda text: text).documents) for document in documents] == [2] * len(documents)


def test_no_pair_at_all_is_said(config):
    greedy = replace(config, sampling=replace(SAMPLING, temperature=0.0))
    with pytest.raises(DataError, match=r"no prompt gave a pair .*equal answers"):
        prefer(greedy)


def test_what_is_refused_before_the_model_is_read(config):
    with pytest.raises(ConfigError, match="make no pair"):
        replace(config, sampling=replace(SAMPLING, n=1))
    with pytest.raises(ConfigError, match="reference"):
        prefer(replace(config, by="exact_match", metrics={"exact_match": ExactMatchConfig()}, run="nowhere"))
    with pytest.raises(DataError, match="room for an answer"):
        prefer(replace(config, sampling=replace(SAMPLING, max_new_tokens=10_000)))
