"""Which of two numbers is better."""

from prospero.evaluation.monitor import Monitor


def test_lower_is_better():
    monitor = Monitor()
    assert monitor.better(1.0, 2.0) and not monitor.better(2.0, 2.0) and not monitor.better(1.5, 2.0, 0.5)
    assert sorted([3.0, 1.0, 2.0], key=monitor.rank) == [1.0, 2.0, 3.0]
    assert monitor.better(1e30, monitor.worst) and monitor.direction == "minimize"


def test_higher_is_better():
    monitor = Monitor("val/accuracy", higher_is_better=True)
    assert monitor.better(0.6, 0.5) and not monitor.better(0.5, 0.5) and not monitor.better(0.6, 0.5, 0.1)
    assert sorted([0.1, 0.3, 0.2], key=monitor.rank) == [0.3, 0.2, 0.1]
    assert monitor.better(-1e30, monitor.worst) and monitor.direction == "maximize"
