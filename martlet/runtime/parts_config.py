"""Which parts stand behind the services: the embedded ones, or real ones. See `docs/production-parts.md`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class EventLogConfig:
    """The event log. All services need the same one.

    Attributes:
        kind: `file`: a folder in the data directory; `jetstream`: NATS with JetStream; `kafka`: Apache Kafka.
        url: of the broker's servers, separated by commas: `nats://host:4222` (`tls://` with TLS), or `host:9092`.
        credentials: JetStream: a credentials file. (A user and password may stand in the URL instead.)
        ca: JetStream: a file with the authorities that its servers' certificates are of; empty: the machine's.
        client: Kafka: settings of its client (librdkafka's names), such as `security.protocol`.
        name: begins the names of streams and topics; of several logs on one broker, each needs its own.
        replicas: JetStream: servers that keep each record, where a stream is made. Kafka: the same, of a topic.
        keep_hours: records that are older are dropped, where a stream or topic is made; 0: none are.
        record_bytes: largest record; the broker must take it.
        queue_bytes: most bytes that wait in a replica while the broker is slow or away; beyond, events are refused.
        patience_seconds: who waits longer for an acknowledgement is told that the log does not answer.
    """

    kind: Literal["file", "jetstream", "kafka"] = "file"
    url: str = field(default="", repr=False)
    credentials: str = ""
    ca: str = ""
    client: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = "martlet"
    replicas: int = 1
    keep_hours: float = 0.0
    record_bytes: int = 1_000_000
    queue_bytes: int = 128 << 20
    patience_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class ArtifactsConfig:
    """The artifact store. All services need the same one. Credentials of S3 are no settings: its client finds them.

    Attributes:
        kind: `folder`: in the data directory; `s3`: a bucket on S3, or on what speaks its protocol.
        bucket: its name; it must exist.
        prefix: of all objects' names in it.
        endpoint: URL of the store; empty: AWS.
        region: empty: as the environment says.
        cache_bytes: most bytes of blobs that a serving host or a registry keeps on its own disk; 0: none.
    """

    kind: Literal["folder", "s3"] = "folder"
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    cache_bytes: int = 8 << 30
