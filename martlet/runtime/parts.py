"""Makes the event log and the artifact store that the settings name: what the services' composition roots share.

What a broker or an object store needs is imported where it is asked for, in this module alone: a replica on the
embedded parts neither has those packages nor pays for their import.
"""

# ruff: noqa: PLC0415  that is this module's purpose, as said above

import secrets
from pathlib import Path
from typing import Final

from martlet.artifacts import FolderStore
from martlet.artifacts.cached import CachedStore, FullStore
from martlet.clock import Clock
from martlet.errors import InvalidInput
from martlet.eventlog.broker_writer import WriterLimits
from martlet.eventlog.files import FileEventLog
from martlet.eventlog.port import EventLog
from martlet.runtime.config import Config
from martlet.runtime.parts_config import ArtifactsConfig, EventLogConfig

_HOUR: Final = 3600.0


def event_log(config: Config, clock: Clock) -> EventLog:
    """The event log. Does not wait for a broker.

    Raises:
        InvalidInput: a setting is wrong, or its extra is not installed.
    """
    settings = config.event_log
    if settings.kind == "file":
        return FileEventLog(config.event_log_dir)
    if not settings.url:
        raise InvalidInput(f"bad setting: event_log.url must say where {settings.kind} is")
    if settings.kind == "jetstream":
        return _jetstream(settings, clock)
    return _kafka(settings, clock)


def artifact_store(config: Config, *, cached: bool) -> FullStore:
    """The artifact store; `cached`: a remote one is read through a folder in the data directory.

    Raises:
        InvalidInput: a setting is wrong, or its extra is not installed.
    """
    settings = config.artifacts
    if settings.kind == "folder":
        return FolderStore(config.artifact_dir)
    store = _s3(settings)
    if not cached or settings.cache_bytes <= 0:
        return store
    return CachedStore(store, config.data_dir / "artifact-cache", settings.cache_bytes)


def _jetstream(settings: EventLogConfig, clock: Clock) -> EventLog:
    try:
        from martlet.eventlog.jetstream.link import Address
        from martlet.eventlog.jetstream.log import JetStreamEventLog
        from martlet.eventlog.jetstream.protocol import Streams
    except ImportError as error:
        raise _not_installed("event_log", "jetstream", error) from error
    credentials, ca = _file("event_log.credentials", settings.credentials), _file("event_log.ca", settings.ca)
    return JetStreamEventLog(
        Address(tuple(settings.url.split(",")), credentials, ca),
        Streams(settings.name, settings.replicas, settings.keep_hours * _HOUR),
        _limits(settings),
        clock,
        lambda: secrets.token_hex(8),
    )


def _kafka(settings: EventLogConfig, clock: Clock) -> EventLog:
    try:
        from martlet.eventlog.kafka.log import KafkaEventLog, Topics
    except ImportError as error:
        raise _not_installed("event_log", "kafka", error) from error
    return KafkaEventLog(
        {**settings.client, "bootstrap.servers": settings.url},
        Topics(settings.name, settings.replicas, settings.keep_hours * _HOUR),
        _limits(settings),
        clock,
    )


def _s3(settings: ArtifactsConfig) -> FullStore:
    if not settings.bucket:
        raise InvalidInput("bad setting: artifacts.bucket must name the bucket")
    try:
        from martlet.artifacts.s3.bucket import Bucket, Place
        from martlet.artifacts.s3.store import S3Store
    except ImportError as error:
        raise _not_installed("artifacts", "s3", error) from error
    prefix = settings.prefix.strip("/")
    place = Place(settings.bucket, settings.endpoint, settings.region)
    return S3Store(Bucket(place), f"{prefix}/" if prefix else "")


def _file(setting: str, name: str) -> Path | None:
    if name and not Path(name).is_file():
        raise InvalidInput(f"bad setting: {setting} names no file: {name}")
    return Path(name) if name else None


def _limits(settings: EventLogConfig) -> WriterLimits:
    return WriterLimits(
        queue_bytes=settings.queue_bytes,
        record_bytes=settings.record_bytes,
        patience_seconds=settings.patience_seconds,
    )


def _not_installed(section: str, kind: str, error: ImportError) -> InvalidInput:
    return InvalidInput(f"bad setting: {section}.kind: {kind} needs the extra martlet[{kind}]: {error}")
