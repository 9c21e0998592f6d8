"""Which part a setting makes; a wrong or missing one is a line that names it, and never tells a secret."""

import sys
from pathlib import Path

import pytest

from martlet.artifacts import FolderStore
from martlet.artifacts.cached import CachedStore
from martlet.artifacts.s3.store import S3Store
from martlet.clock import SystemClock
from martlet.errors import InvalidInput
from martlet.eventlog.files import FileEventLog
from martlet.eventlog.jetstream.log import JetStreamEventLog
from martlet.eventlog.kafka.log import KafkaEventLog
from martlet.runtime.config import Config, load_config
from martlet.runtime.parts import artifact_store, event_log

S3 = {
    "MARTLET_ARTIFACTS_KIND": "s3",
    "MARTLET_ARTIFACTS_BUCKET": "b",
    "MARTLET_ARTIFACTS_ENDPOINT": "http://127.0.0.1:1",
    "MARTLET_ARTIFACTS_REGION": "r",
}
SECRET_URL = "nats://user:hunter2@127.0.0.1:1"


def config_of(**environment: str) -> Config:
    return load_config(None, environment)


def make(settings: dict[str, str]) -> None:
    config = config_of(**settings)
    event_log(config, SystemClock())
    artifact_store(config, cached=False)


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        ("file", "", FileEventLog),
        ("jetstream", "nats://127.0.0.1:1", JetStreamEventLog),
        ("kafka", "127.0.0.1:1", KafkaEventLog),
    ],
)
def test_the_kind_makes_the_log(kind: str, url: str, expected: type) -> None:
    log = event_log(config_of(MARTLET_EVENT_LOG_KIND=kind, MARTLET_EVENT_LOG_URL=url), SystemClock())
    assert isinstance(log, expected)
    log.close()


def test_the_kind_makes_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(artifact_store(Config(), cached=True), FolderStore)
    assert isinstance(artifact_store(config_of(**S3), cached=False), S3Store)
    assert isinstance(artifact_store(config_of(**S3), cached=True), CachedStore)
    assert isinstance(artifact_store(config_of(**S3, MARTLET_ARTIFACTS_CACHE_BYTES="0"), cached=True), S3Store)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"MARTLET_EVENT_LOG_KIND": "pigeon"}, r"event_log\.kind"),
        ({"MARTLET_EVENT_LOG_KIND": "jetstream"}, r"event_log\.url"),
        ({"MARTLET_EVENT_LOG_KIND": "kafka"}, r"event_log\.url"),
        (
            {
                "MARTLET_EVENT_LOG_KIND": "jetstream",
                "MARTLET_EVENT_LOG_URL": "nats://127.0.0.1:1",
                "MARTLET_EVENT_LOG_NAME": "a.b",
            },
            r"event_log\.name",
        ),
        ({"MARTLET_ARTIFACTS_KIND": "s3"}, r"artifacts\.bucket"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        make(settings)


@pytest.mark.parametrize("kind", ["jetstream", "kafka", "s3"])
def test_an_extra_that_is_not_installed_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {
        "jetstream": "martlet.eventlog.jetstream.link",
        "kafka": "martlet.eventlog.kafka.log",
        "s3": "martlet.artifacts.s3.bucket",
    }[kind]
    monkeypatch.setitem(sys.modules, module, None)  # as an import that fails
    log = {"MARTLET_EVENT_LOG_KIND": kind, "MARTLET_EVENT_LOG_URL": "nats://x:1"}
    with pytest.raises(InvalidInput, match=rf"martlet\[{kind}\]"):
        make(S3 if kind == "s3" else log)


def test_settings_do_not_show_what_may_hold_a_password() -> None:
    config = config_of(MARTLET_EVENT_LOG_KIND="jetstream", MARTLET_EVENT_LOG_URL=SECRET_URL)
    assert "hunter2" not in repr(config)


def test_what_kafkas_client_needs_is_read_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "martlet.yaml"
    file.write_text("event_log:\n  kind: kafka\n  url: host:9092\n  client: {security.protocol: SSL}\n")
    assert load_config(file, {}).event_log.client == {"security.protocol": "SSL"}
