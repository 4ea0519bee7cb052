"""Student's t against the tables of Abramowitz and Stegun (26.10)."""

import pytest

from prospero.sweeps.student import quantile

PUBLISHED = {1: 12.706, 2: 4.303, 3: 3.182, 10: 2.228, 11: 2.201, 20: 2.086, 30: 2.042, 60: 2.000, 120: 1.980}


@pytest.mark.parametrize(("freedom", "expected"), PUBLISHED.items())
def test_the_published_quantiles(freedom, expected):
    assert round(quantile(freedom), 3) == expected


def test_another_share_and_no_freedom():
    assert round(quantile(10, 0.99), 3) == 3.169 and round(quantile(1, 0.99), 3) == 63.657
    with pytest.raises(ValueError, match="two values"):
        quantile(0)
