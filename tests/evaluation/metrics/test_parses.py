"""What is Python and what is not, however odd."""

import math
import warnings

import numpy as np
import pytest

from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.parses import ParsesConfig, is_python
from prospero.evaluation.metrics.text_base import TextSample

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


@pytest.mark.parametrize(
    "text", ["x = 1\n" * 2000, "'\\d'", "变量 = '值'", "1 is 1", "# nothing\npass", "[" * 90 + "]" * 90]
)
def test_python(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_python(text)


@pytest.mark.parametrize(
    "text",
    ["", " \n", "# a comment", "def f(:", "x = '\ud800'", "a\0b", "(" * 10**5, "-" * 10**5 + "1", "+".join("1" * 10**5)]
    + ["lambda:" * 10**4 + "1", "x = " + "9" * 10**5, "a" + ".b" * 10**5, "if x:\n y\n" + "elif x:\n y\n" * 10**4],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_no_python(text):
    assert not is_python(text)


def test_the_share_that_parses():
    metric = ParsesConfig().build(FACTS)
    assert math.isnan(metric.compute())
    metric.update([TextSample(predictions=[text]) for text in ("a", "a b", "", "a = 1")])
    assert metric.compute() == 0.5
