"""Log lines: text for a terminal, JSON for a collector. Secrets are never logged.

What a line is about goes along as fields of their own: `logger.info("...", extra={"prediction": id})`. See `FIELDS`.
"""

import json
import logging
import sys
from collections.abc import Callable
from typing import Final

from martlet.errors import InvalidInput
from martlet.runtime.config import LogConfig

# request: the caller's x-request-id, or one that was made up. trace: W3C's traceparent of the span around the line.
FIELDS: Final = ("service", "request", "method", "caller", "prediction", "model", "version", "digest", "trace")

_LARGEST_FIELD: Final = 200


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Args:
        trace: the trace context that a line belongs to, or ""; None: traces are off.
    """

    def __init__(self, trace: Callable[[], str] | None = None) -> None:
        super().__init__()
        self._trace = trace

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, str | int | float] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._trace is not None:
            record.trace = self._trace()
        for name in FIELDS:
            value = record.__dict__.get(name)
            if value:
                line[name] = value if isinstance(value, int | float) else str(value)[:_LARGEST_FIELD]
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_logs(config: LogConfig) -> None:
    """Sends log lines to stderr as configured.

    Raises:
        InvalidInput: an unknown level or format.
    """
    level = logging.getLevelNamesMapping().get(config.level.upper())
    if level is None:
        raise InvalidInput(f"bad setting: log.level {config.level!r} is not a level")
    if config.format not in ("text", "json"):
        raise InvalidInput(f"bad setting: log.format {config.format!r} is neither text nor json")
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if config.format == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)


def trace_log_lines(trace: Callable[[], str]) -> None:
    """From here on JSON lines tell the trace context that they belong to."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            handler.setFormatter(JsonFormatter(trace))
