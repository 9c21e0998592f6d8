"""Hour and weekday where the user is: context for a request, from event time and a named zone.

The caller sends them with the request, so they stand in the prediction record, and learning reads what serving read.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from martlet.errors import InvalidInput


def local_context(time_us: int, zone: str) -> dict[str, int]:
    """`hour` (0 to 23) and `weekday` (Monday is 0) by the clocks of a zone of the IANA time zone database.

    Whole numbers: an input may read them as numbers, or as ids with a row each.

    >>> local_context(1_700_000_000_000_000, "Europe/Warsaw")
    {'hour': 23, 'weekday': 1}

    Raises:
        InvalidInput: there is no such zone, on this machine.
    """
    try:
        there = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidInput(f"no time zone {zone!r}: take a name such as Europe/Warsaw") from error
    moment = datetime.fromtimestamp(time_us / 1e6, UTC).astimezone(there)
    return {"hour": moment.hour, "weekday": moment.weekday()}
