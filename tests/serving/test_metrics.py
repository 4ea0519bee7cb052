"""Counts in Prometheus' format, read back by its own parser."""

from prometheus_client.parser import text_string_to_metric_families

from prospero.serving.metrics import Metrics


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    return {
        sample.name: {tuple(s.labels.values()): s.value for s in family.samples if s.name == sample.name}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_histograms_and_gauges():
    metrics = Metrics()
    for model, by in (("a", 2), ("b", 3), ("a", 0.5)):
        metrics.count("tokens_total", "Tokens.", {"model": model}, by)
    for seconds in (0.01, 0.3, 400.0):
        metrics.observe("request_seconds", "Time.", {"model": "a"}, seconds)
    found = read(metrics.text([("rows", "Rows.", {"model": "a"}, 3), ("rows", "Rows.", {"model": "b"}, 4)]))
    assert found["tokens_total"] == {("a",): 2.5, ("b",): 3.0}
    assert found["rows"] == {("a",): 3.0, ("b",): 4.0}
    buckets = found["request_seconds_bucket"]
    wanted = {"0.01": 1, "0.25": 1, "0.5": 2, "300": 2, "+Inf": 3}
    assert {bound: buckets["a", bound] for bound in wanted} == wanted
    assert found["request_seconds_count"] == {("a",): 3} and found["request_seconds_sum"]["a",] == 400.31
    assert found["process_start_time_seconds"][()] == metrics.begun


def test_names_of_models_may_hold_anything():
    metrics = Metrics()
    names = ['a"b', "a\\b", "a\nb", "<b>&"]
    for name in names:
        metrics.count("tokens_total", "Tokens.", {"model": name})
    assert read(metrics.text())["tokens_total"] == {(name,): 1.0 for name in names}
    assert metrics.text().count("# TYPE tokens_total counter") == 1
