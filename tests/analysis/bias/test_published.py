"""Where a set is read from when nobody says: its place on the hub; nothing is downloaded here."""

import pytest

from prospero.analysis.bias.bbq import BBQConfig
from prospero.analysis.bias.bold import BOLDConfig
from prospero.analysis.bias.pairs import CrowsPairsConfig
from prospero.analysis.bias.stereoset import StereoSetConfig
from prospero.analysis.bias.winobias import WinoBiasConfig
from prospero.analysis.bias.winogender import WinogenderConfig
from prospero.data.sources import hub
from prospero.errors import DataError
from prospero.evaluation.analyses import AnalysisFacts
from tests.evaluation.tasks.fakes import TOKENIZER

FACTS = AnalysisFacts(tokenizer=TOKENIZER, model_kind="lstm", n_layers=1)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (CrowsPairsConfig(), "nyu-mll/crows_pairs at refs/convert/parquet"),
        (WinogenderConfig(), "oskarvanderwal/winogender all"),
        (WinoBiasConfig(), "uclanlp/wino_bias type1_pro"),
        (BBQConfig(), "oskarvanderwal/bbq All"),
        (StereoSetConfig(), r"McGill-NLP/stereoset \*"),
        (BOLDConfig(), "AmazonScience/bold"),
    ],
)
def test_a_set_that_cannot_be_reached_is_one_line_with_its_place(monkeypatch, config, place):
    monkeypatch.setattr(hub, "why_unreachable", lambda name: "no network here")
    with pytest.raises(DataError, match=f"^{place}: .*no network here") as caught:
        config.build("mine", FACTS)
    assert "\n" not in str(caught.value)
