"""Log lines: text for a terminal, JSON for a collector. Secrets are never logged."""

import json
import logging
import sys

from martlet.errors import InvalidInput
from martlet.runtime.config import LogConfig


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
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
