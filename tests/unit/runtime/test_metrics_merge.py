"""Several processes' metrics as one."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from martlet.errors import Corrupt
from martlet.runtime.local_metrics import LocalCounter, LocalHistogram
from martlet.runtime.metrics_merge import Scrape, departed, merged, metrics_of, scrape_of, still_told
from martlet.runtime.samples import decode, encode


class Page:
    """Wraps a scrape for `generate_latest`."""

    def __init__(self, scrape: Scrape) -> None:
        self.collect = lambda: metrics_of(scrape)


def values(scrape: Scrape) -> dict[str, float]:
    """By the line's beginning, as a reader of the merged page sees it."""
    lines = generate_latest(Page(scrape)).decode().splitlines()  # type: ignore[arg-type]  # it collects
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def process(answers: dict[str, int], seconds: tuple[float, ...] = (), waiting: float = 0, lag: float = 0) -> Scrape:
    """What one process tells."""
    registry = CollectorRegistry()
    counter = LocalCounter("answers", "A", ["model", "version"], registry)
    for version, count in answers.items():
        counter.of("m", version).value += count
    histogram = LocalHistogram("seconds", "S", ["version"], [0.1, 1.0], registry)
    for value in seconds:
        histogram.of("1").observe(value)
    Gauge("waiting", "W", registry=registry).set(waiting)
    Gauge("item_lag_bytes", "L", registry=registry).set(lag)
    return decode(encode(scrape_of(registry)))


def test_counters_and_histograms_are_sums_and_gauges_too_but_for_those_that_are_not() -> None:
    told = values(merged([process({"1": 2}, (0.1, 5.0), 3, 7), process({"1": 5, "2": 1}, (0.5,), 4, 6)]))
    assert told['answers_total{model="m",version="1"}'] == 7
    assert told['answers_total{model="m",version="2"}'] == 1
    buckets = [told[f'seconds_bucket{{le="{le}",version="1"}}'] for le in ("0.1", "1.0", "+Inf")]
    assert buckets == [1, 2, 3]
    assert (told['seconds_count{version="1"}'], told['seconds_sum{version="1"}']) == (3, 5.6)
    assert told["waiting"] == 7
    assert told["item_lag_bytes"] == 7


def gauges(**values: float) -> Scrape:
    registry = CollectorRegistry()
    for name, value in values.items():
        Gauge(name, "G", registry=registry).set(value)
    return decode(encode(scrape_of(registry)))


def test_of_ages_the_largest_counts_and_of_what_all_must_have_the_smallest() -> None:
    one = gauges(a_data_age_seconds=3, x_ready=1, x_lease_held=0, x_routed_version=7, x_build_info=1, x_records=2)
    other = gauges(a_data_age_seconds=9, x_ready=0, x_lease_held=1, x_routed_version=8, x_build_info=1, x_records=5)
    for scrapes in ([one, other], [other, one]):
        assert values(merged(scrapes)) == {
            "a_data_age_seconds": 9,
            "x_ready": 0,
            "x_lease_held": 0,
            "x_routed_version": 7,
            "x_build_info": 1,
            "x_records": 7,
        }


def test_what_a_dead_process_counted_stays_but_not_its_gauges() -> None:
    gone = departed(departed({}, process({"1": 2}, waiting=3)), process({"1": 1}))
    living = process({"1": 10}, waiting=4)
    told = values(merged([living, still_told(gone, [living])]))
    assert told['answers_total{model="m",version="1"}'] == 13
    assert told["waiting"] == 4


def test_a_version_that_no_living_process_has_is_told_no_more() -> None:
    gone, living = departed({}, process({"1": 2, "2": 3})), process({"2": 1})
    told = values(merged([living, still_told(gone, [living])]))
    assert told['answers_total{model="m",version="2"}'] == 4
    assert 'answers_total{model="m",version="1"}' not in told


def test_a_removed_series_is_gone_and_a_counted_one_is_kept_by_whoever_holds_it() -> None:
    registry = CollectorRegistry()
    counter = LocalCounter("answers", "A", ["version"], registry)
    held = counter.of("1")
    held.value += 1
    assert counter.of("1") is held
    counter.remove("1")
    counter.remove("1")
    assert registry.get_sample_value("answers_total", {"version": "1"}) is None


@given(st.binary(max_size=60))
def test_what_is_no_scrape_is_told_as_such(content: bytes) -> None:
    try:
        found = decode(content)
    except Corrupt:
        return
    assert decode(encode(found)) == found
