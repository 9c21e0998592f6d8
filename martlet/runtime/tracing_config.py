"""Settings of traces: section `tracing`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """OpenTelemetry traces, sent over gRPC (OTLP); needs the extra `tracing`. Off while no endpoint is given.

    Attributes:
        endpoint: of a collector, as `host:port`.
        share: share of the requests that are traced, unless their caller has decided: 0..1.
        insecure: the collector speaks without TLS; over TLS the authorities of `tls.ca` are trusted.
        export_seconds: spans are sent about this often.
    """

    endpoint: str = ""
    share: float = 0.01
    insecure: bool = False
    export_seconds: float = 1.0
