"""Traces, through OpenTelemetry, sent by OTLP over gRPC. Off by default: then no tracer is made and nothing imported.

A trace context travels as the text of W3C's traceparent header (https://www.w3.org/TR/trace-context/): in gRPC's
metadata, in prediction records, in the aspired set.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from martlet.errors import InvalidInput
from martlet.runtime.logs import trace_log_lines
from martlet.runtime.tls_config import SYSTEM_ROOTS, TlsConfig
from martlet.runtime.tracing_config import TracingConfig

Attributes: TypeAlias = Mapping[str, str | int | float]

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

TRACE_PARENT: Final = "traceparent"
_MOST_LINKS: Final = 128  # what OpenTelemetry keeps of a span's links
_FLUSH_MS: Final = 2000


class Tracer:
    """Makes spans, and sends them in the background. Thread-safe; spans nest within a task or a thread.

    Raises:
        InvalidInput: the packages are not installed, or a share is none.
    """

    def __init__(self, settings: TracingConfig, tls: TlsConfig, service: str) -> None:
        if not 0.0 <= settings.share <= 1.0:
            raise InvalidInput(f"bad setting: tracing.share {settings.share} is not in 0..1")
        self._provider = _provider(settings, tls, service)
        self._tracer = self._provider.get_tracer("martlet")

    @contextmanager
    def span(
        self,
        name: str,
        *,
        parent: str = "",
        links: Iterable[str] = (),
        attributes: Attributes | None = None,
        server: bool = False,
        seconds_ago: float = 0.0,
    ) -> Iterator[None]:
        """One span, as long as the context lasts; what fails within is recorded on it.

        Args:
            name: says what is done.
            parent: a trace context; "": the span around this one, or none.
            links: further trace contexts that lead here.
            attributes: of this span.
            server: it answers somebody's call.
            seconds_ago: it began so long ago.
        """
        from opentelemetry import trace  # noqa: PLC0415  the extra `tracing`

        contexts = [trace.get_current_span(_context(one)).get_span_context() for one in _some(links)]
        with self._tracer.start_as_current_span(
            name,
            context=_context(parent) if parent else None,
            kind=trace.SpanKind.SERVER if server else trace.SpanKind.INTERNAL,
            links=[trace.Link(context) for context in contexts if context.is_valid],
            attributes=dict(attributes or {}),
            start_time=time.time_ns() - int(seconds_ago * 1e9) if seconds_ago else None,
        ):
            yield

    def current(self) -> str:
        """The trace context of the span around this, if it is one that is sent; else ""."""
        from opentelemetry import trace  # noqa: PLC0415  the extra `tracing`

        context = trace.get_current_span().get_span_context()
        if not (context.is_valid and context.trace_flags.sampled):
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def close(self) -> None:
        """Sends what waits; blocks for at most a few seconds."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()


def tracer_of(settings: TracingConfig, tls: TlsConfig, service: str) -> Tracer | None:
    """A service's tracer; None: traces are off."""
    if not settings.endpoint:
        return None
    tracer = Tracer(settings, tls, service)
    trace_log_lines(tracer.current)
    return tracer


def parent_in(metadata: Sequence[tuple[str, Any]] | None) -> str:
    """The trace context in a call's metadata, or ""."""
    return next((str(value) for name, value in metadata or () if name == TRACE_PARENT), "")


def _some(links: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(link for link in links if link))[:_MOST_LINKS]


def _context(trace_parent: str) -> "Context":
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415  the extra `tracing`
        TraceContextTextMapPropagator,
    )

    return TraceContextTextMapPropagator().extract({TRACE_PARENT: trace_parent})


def _provider(settings: TracingConfig, tls: TlsConfig, service: str) -> "TracerProvider":
    try:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  the extra `tracing`
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInput("bad setting: tracing needs OpenTelemetry: install martlet[tracing]") from error
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.share)),
        resource=Resource.create({"service.name": f"martlet-{service}"}),
        shutdown_on_exit=False,
    )
    exporter = _exporter(settings, tls)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000 * settings.export_seconds))
    return provider


def _exporter(settings: TracingConfig, tls: TlsConfig) -> "SpanExporter":
    import grpc  # noqa: PLC0415  only where traces are sent
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    if settings.insecure:
        return OTLPSpanExporter(endpoint=settings.endpoint, insecure=True)
    ca = Path(tls.ca).read_bytes() if tls.ca not in ("", SYSTEM_ROOTS) else None
    return OTLPSpanExporter(endpoint=settings.endpoint, credentials=grpc.ssl_channel_credentials(ca))
