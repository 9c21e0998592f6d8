"""An evaluation of a log that serving could have written: its figures are scikit-learn's on the rows as written."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as oracle

from martlet.clock import ManualClock
from martlet.errors import InvalidInput
from martlet.eventlog.file_log import FileEventReader
from martlet.events import Arm
from martlet.exploration import Exploration
from martlet.runtime.config import Config
from tests.unit.evaluation.click_log import ITEMS, MODEL, SECOND, START, ClickLog, Row
from trainer_svc.__main__ import main
from trainer_svc.evaluation.answers import Answers
from trainer_svc.evaluation.app import Asked, evaluate, evaluated
from trainer_svc.evaluation.evaluating import Question
from trainer_svc.evaluation.html_report import render_html
from trainer_svc.evaluation.period import Period, period_of
from trainer_svc.evaluation.policy_value import PolicyQuestion, value_of
from trainer_svc.evaluation.reading import LogReading, read_answers
from trainer_svc.evaluation.report import EvaluationReport
from trainer_svc.evaluation.scored_rows import Measure
from trainer_svc.event_source import EventSource
from trainer_svc.intake import IntakeRules

LATER = START + 3600 * SECOND
QUICK = Question(versions=(1, 2), draws=40, windows=4)


def report_of(folder: Path, asked: Asked, now_us: int = LATER) -> EvaluationReport:
    return evaluate(MODEL, Config(data_dir=folder), ManualClock(now_us), asked, lambda _: None)


def written(folder: Path, log: ClickLog) -> list[Row]:
    return log.write(Config(data_dir=folder).event_log_dir)


def columns(rows: list[Row], version: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return np.array([row.logits[version] for row in rows]), np.array([row.click for row in rows])


def test_figures_are_scikit_learns_on_the_rows_as_written(tmp_path: Path) -> None:
    rows = written(tmp_path, ClickLog())
    report = report_of(tmp_path, Asked(QUICK))
    assert [scorer.name for scorer in report.scorers] == ["served", "1", "2"]
    for scorer in report.scorers:
        version = int(scorer.name) if scorer.name.isdecimal() else 0
        z = np.array([row.logits[version or row.version] for row in rows])
        y = np.array([row.click for row in rows])
        p = 1.0 / (1.0 + np.exp(-z.astype(np.float64)))
        wanted = {
            "logloss": oracle.log_loss(y, p),
            "roc_auc": oracle.roc_auc_score(y, z),
            "pr_auc": oracle.average_precision_score(y, z),
            "accuracy": oracle.accuracy_score(y, p >= 0.5),
            "f1": oracle.f1_score(y, p >= 0.5),
            "bias": p.sum() / y.sum(),
        }
        by_answer = [
            oracle.ndcg_score([y[start : start + ITEMS]], [z[start : start + ITEMS]], k=10)
            for start in range(0, len(rows), ITEMS)
            if y[start : start + ITEMS].any()
        ]
        wanted["ndcg@10"] = np.mean(by_answer)
        for name, value in wanted.items():
            assert scorer.figures[name].value == pytest.approx(value), (scorer.name, name)
        assert (scorer.rows, scorer.positives) == (len(rows), y.sum())


def test_intervals_hold_their_figures_and_comparisons_are_paired(tmp_path: Path) -> None:
    written(tmp_path, ClickLog())
    report = report_of(tmp_path, Asked(QUICK))
    for scorer in report.scorers:
        figure = scorer.figures["logloss"]
        assert figure.low is not None
        assert figure.high is not None
        assert figure.value is not None
        assert figure.low < figure.value < figure.high
    (comparison,) = report.comparisons
    one, other = (scorer.figures["roc_auc"].value for scorer in report.scorers[1:])
    difference = comparison.differences["roc_auc"]
    assert one is not None
    assert other is not None
    assert difference.value == pytest.approx(one - other)
    assert difference.low is not None
    assert difference.low > 0.0, "version 1 knows more, and both were asked about the same users"


def test_the_same_seed_gives_the_same_report(tmp_path: Path) -> None:
    written(tmp_path, ClickLog(answers=60))
    asked = Asked(replace(QUICK, segments=("item", "price", "position", "arm", "hour", "version")))
    assert report_of(tmp_path, asked) == report_of(tmp_path, asked)


def test_segments_share_all_rows_and_are_few(tmp_path: Path) -> None:
    rows = written(tmp_path, ClickLog())
    asked = Asked(replace(QUICK, segments=("item", "price", "position", "arm"), draws=0))
    report = report_of(tmp_path, asked)
    for by in asked.question.segments:
        served = [one for one in report.segments if one.by == by and one.scorer == "served"]
        assert sum(one.rows for one in served) == len(rows)
        assert len(served) <= 11
    (pin,) = (one for one in report.segments if (one.segment, one.scorer) == ("pin", "1"))
    z, y = columns([row for row in rows if row.arm is Arm.PIN], 1)
    assert pin.figures["roc_auc"] == pytest.approx(oracle.roc_auc_score(y, z))
    prices = [one for one in report.segments if (one.by, one.scorer) == ("price", "2")]
    assert len(prices) == 5
    low, high = map(float, prices[0].segment.split(" to "))
    z, y = columns([row for row in rows if low <= row.price < high], 2)
    assert prices[0].figures["roc_auc"] == pytest.approx(oracle.roc_auc_score(y, z))


def test_time_is_cut_as_asked(tmp_path: Path) -> None:
    written(tmp_path, ClickLog(answers=100))
    whole = report_of(tmp_path, Asked(replace(QUICK, draws=0)))
    assert sum(window.rows for window in whole.windows if window.scorer == "1") == 800
    last = report_of(tmp_path, Asked(replace(QUICK, draws=0), period_of("30s")))
    assert (last.counted.answers, last.counted.outside) == (30, 70)
    some = report_of(tmp_path, Asked(replace(QUICK, draws=0), Period(START + 10 * SECOND, START + 15 * SECOND)))
    assert (some.counted.answers, some.from_us, some.to_us) == (5, START + 10 * SECOND, START + 14 * SECOND + 1)


def test_answers_that_are_no_evidence_are_left_out_and_counted(tmp_path: Path) -> None:
    """An open window may yet bring a click; a version that its caller named was not chosen by the split."""
    written(tmp_path, ClickLog(answers=100, named=10))
    report = report_of(tmp_path, Asked(replace(QUICK, draws=0)), START + 100 * SECOND)
    counted = report.counted
    assert (counted.named, counted.answers, counted.open) == (10, 38, 52)
    assert any("window is not over" in note for note in report.notes)
    assert any("callers had named" in note for note in report.notes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a.select(np.zeros(len(a), np.bool_)), "nothing to evaluate"),
        (lambda a: replace(a, labels=np.zeros(a.rows, np.float32)), "all labels are negative"),
        (lambda a: replace(a, labels=np.full(a.rows, np.nan, np.float32)), "no outcome has given a label"),
        (lambda a: replace(a, users=np.zeros(len(a), np.uint64)), "all answers are of one user"),
        (lambda a: a, "version 9 scored none"),
        (lambda a: a, "no answer has propensities"),
    ],
)
def test_what_there_is_none_of_is_said(
    read: Callable[[ClickLog], Answers], change: Callable[[Answers], Answers], told: str
) -> None:
    asked = Asked(replace(QUICK, versions=(1, 9)), policy=PolicyQuestion(1))
    report = evaluated(change(read(ClickLog(answers=40))), asked, MODEL)
    assert any(told in note for note in report.notes), report.notes
    assert msgspec.json.decode(msgspec.json.encode(report), type=EvaluationReport) == report
    render_html(report)


def test_a_number_is_measured_as_one(read: Callable[[ClickLog], Answers]) -> None:
    answers = read(ClickLog(answers=50))
    report = evaluated(answers, Asked(Question(draws=10, measure=Measure(numbers=True))), MODEL)
    found, z, y = report.scorers[0].figures, answers.served.astype(np.float64), answers.labels.astype(np.float64)
    assert found["rmse"].value == pytest.approx(oracle.root_mean_squared_error(y, z))
    assert found["r2"].value == pytest.approx(oracle.r2_score(y, z))
    assert "roc_auc" not in found


def test_the_page_needs_nothing_beside_it_and_is_well_formed(tmp_path: Path) -> None:
    written(tmp_path, ClickLog(exploration=Exploration(temperature=1.0)))
    asked = Asked(replace(QUICK, segments=("price",)), policy=PolicyQuestion(1, clip=20.0))
    page = render_html(report_of(tmp_path, asked))
    assert Balanced.of(page) == []
    for outside in ("http:", "https:", "src=", "@import", "<script"):
        assert outside not in page.replace("http://www.w3.org/2000/svg", "")
    for shown in ("ROC", "Calibration", "Compared", "by time", "Segments", "Off-policy"):
        assert shown in page


def test_a_policy_that_answered_itself_weighs_one(read: Callable[[ClickLog], Answers]) -> None:
    """Where version 1 answered at temperature 1, its policy at temperature 1 is the one that was logged."""
    answers = read(ClickLog(exploration=Exploration(temperature=1.0)))
    own = answers.select(answers.versions == 1)
    asked = PolicyQuestion(1, Exploration(temperature=1.0), positions=3)
    found, why = value_of(own, asked, numbers=False, draws=20, seed=0)
    assert why == []
    assert found is not None
    assert found.mean_weight.value == pytest.approx(1.0, abs=1e-4)
    assert found.estimates["ips"].value == pytest.approx(found.logged.value, abs=1e-3)
    assert found.effective_answers == pytest.approx(len(own), rel=1e-3)
    mixed, _ = value_of(answers, PolicyQuestion(1), numbers=False, draws=50, seed=0)
    assert mixed is not None
    assert mixed.answers == len(answers)
    assert mixed.mean_weight.low is not None
    assert mixed.mean_weight.high is not None
    assert mixed.mean_weight.low < 1.0 < mixed.mean_weight.high


def test_propensities_that_do_not_fit_are_noticed(read: Callable[[ClickLog], Answers]) -> None:
    answers = read(ClickLog(exploration=Exploration(temperature=1.0)))
    wrong = replace(answers, propensities=np.minimum(answers.propensities * 2.0, 1.0).astype(np.float32))
    found, _ = value_of(wrong, PolicyQuestion(1), numbers=False, draws=20, seed=0)
    assert found is not None
    assert any("not 1" in warning for warning in found.warnings)


def test_answers_with_some_of_their_candidates_cannot_tell_of_another_policy(
    read: Callable[[ClickLog], Answers],
) -> None:
    answers = read(ClickLog(exploration=Exploration(epsilon=0.5)))
    cut = replace(answers, propensities=np.minimum(answers.propensities, 0.9).astype(np.float32))
    found, why = value_of(cut, PolicyQuestion(1), numbers=False, draws=20, seed=0)
    assert found is None
    assert "only some of their candidates" in why[0]


def test_the_command_shows_tables_json_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, ClickLog(answers=80))
    reference = "tests.unit.evaluation.click_log:MODEL"
    given = ["evaluate", reference, "--data-dir", str(tmp_path), "--bootstrap", "10", "--segments", "price"]
    assert main([*given, "--html", str(tmp_path / "page.html")]) == 0
    shown = capsys.readouterr().out
    assert "80 answers" in shown
    assert "roc_auc" in shown
    assert "ROC" in (tmp_path / "page.html").read_text()
    assert main([*given, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counted"]["answers"] == 80
    assert report["scorers"][0]["figures"]["roc_auc"]["low"] is not None
    assert main(["evaluate", reference, "--data-dir", str(tmp_path / "none"), "--json"]) == 1
    assert "nothing to evaluate" in json.loads(capsys.readouterr().out)["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--segments", "colour"], "the model has no input 'colour'; it has user, item, price"),
        (["--window", "yesterday"], "'yesterday' is no duration"),
        (["--window", "2026-02-30.."], "'2026-02-30' is no time"),
        (["--window", "2026-02-03..2026-02-02"], "ends before it begins"),
        (["--share", "0"], "--share must be above 0"),
        (["--policy", "1", "--policy-epsilon", "2"], "epsilon must be from 0 to 1"),
        (["--policy", "1", "--clip", "-1"], "a clip of weights must be above 0"),
        (["--bootstrap", "-1"], "--bootstrap must be at least 0"),
    ],
)
def test_a_bad_option_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    reference = "tests.unit.evaluation.click_log:MODEL"
    assert main(["evaluate", reference, "--data-dir", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_share_of_the_users_is_whole_users(read: Callable[..., Answers]) -> None:
    whole, part = read(ClickLog()), read(ClickLog(), 0.5)
    assert 0.2 < len(part) / len(whole) < 0.8
    kept = set(part.users.tolist())
    assert all((user in kept) == (user < 2**63) for user in whole.users.tolist())
    assert len(part) == int((whole.users < 2**63).sum())


def test_a_score_that_says_nothing_does_not_profit_from_the_order_shown(read: Callable[[ClickLog], Answers]) -> None:
    answers = read(ClickLog())
    blank = replace(answers, served=np.zeros(answers.rows, np.float32))
    reports = [evaluated(one, Asked(replace(QUICK, draws=0)), MODEL) for one in (answers, blank)]
    shown, nothing = (report.scorers[0].figures["mrr"].value for report in reports)
    chance = 0.5  # about what any order without knowledge has here
    assert shown is not None
    assert nothing is not None
    assert nothing == pytest.approx(chance, abs=0.1)
    assert nothing < shown - 0.1


def test_selecting_answers_keeps_rows_and_scores_together(read: Callable[[ClickLog], Answers]) -> None:
    answers = read(ClickLog(answers=30))
    keep = answers.versions == 2
    part, rows = answers.select(keep), np.repeat(keep, answers.lengths)
    for scorer in ("served", "head", "1", "2"):
        np.testing.assert_array_equal(part.logits(scorer), answers.logits(scorer)[rows])
    np.testing.assert_array_equal(part.positions, answers.positions[rows])
    assert math.isnan(part.logits("7")[0])
    with pytest.raises(InvalidInput):
        evaluated(answers, Asked(replace(QUICK, segments=("colour",))), MODEL)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Answers]:
    """Writes a log and reads it back."""

    def written_and_read(log: ClickLog, share: float = 1.0) -> Answers:
        folder = tmp_path / f"log-{share}"
        log.write(folder)
        source = EventSource(FileEventReader(folder), FileEventReader(folder), 1 << 20, 1 << 20)
        rules = IntakeRules(MODEL.name, MODEL.spec, MODEL.label, 3_600 * SECOND)
        return read_answers(rules, source, LATER, LogReading(("price",), share))

    return written_and_read


class Balanced(HTMLParser):
    """Finds elements that are not closed in order."""

    VOID = frozenset({"meta", "line", "circle", "polyline", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.odd: list[str] = []

    @classmethod
    def of(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.odd + parser.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID and (not self.open or self.open.pop() != tag):
            self.odd.append(tag)
