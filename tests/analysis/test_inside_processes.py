"""What is seen inside of a model that is copied to, or spread over, two processes is what one process sees."""

import json
from pathlib import Path

import pytest

from prospero.evaluation.measurement import Measured
from prospero.evaluation.run_tasks import blocks
from tests.analysis.inside_processes import settings, train
from tests.analysis.small_models import facts, model, subject
from tests.ranks import run_ranks

TWO = ["ddp", "fsdp", "tensor_parallel"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inside")
    run_ranks(Path(__file__).with_name("inside_processes.py"), str(folder), *TWO)
    found = {case: [json.loads((folder / f"{case}_{rank}.json").read_text()) for rank in (0, 1)] for case in TWO}
    return found | {"one": train(folder, "one")}


@pytest.mark.parametrize("name", ["logit_lens", "attention", "induction", "ablation", "patching", "probes"])
def test_rows_dealt_to_two_copies_are_those_of_one(name, tmp_path):
    """As `run_task` deals them: digit for digit, since the same rows stand side by side."""
    analysis = settings(tmp_path)[name].build(name, facts())
    seen = subject(model(), rows=2)
    dealt = blocks(range(analysis.size), 2)
    copies = [[outcome for block in dealt[rank::2] for outcome in analysis.outcomes(seen, block)] for rank in (0, 1)]
    alone = [outcome for block in dealt for outcome in analysis.outcomes(seen, block)]
    together = sorted(copies[0] + copies[1], key=lambda outcome: outcome.item)
    assert Measured(analysis, together).values() == Measured(analysis, alone).values()
    assert [outcome.item for outcome in together] == list(range(analysis.size))


@pytest.mark.deep
@pytest.mark.processes
@pytest.mark.parametrize("case", ["ddp", "fsdp"])
def test_two_processes_see_what_one_sees(case, results, tmp_path):
    alone = results["one"]["numbers"]
    assert {key.split("/")[1] for key in alone} == settings(tmp_path).keys()
    for rank in (0, 1):
        assert results[case][rank]["numbers"] == pytest.approx(alone, rel=1e-5, abs=1e-6)
    assert results["ddp"][0]["numbers"] == alone  # digit for digit: the same rows side by side


@pytest.mark.deep
@pytest.mark.processes
def test_where_heads_are_shared_out_it_is_said_in_a_line(results):
    for rank in (0, 1):
        assert "all 4 heads of a layer, and this process holds 2 of them" in results["tensor_parallel"][rank]["error"]
