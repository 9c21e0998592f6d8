"""What may name a partition."""

from martlet.errors import InvalidInput


def check_partition(name: str) -> None:
    """A name must be safe as a folder's, and in the names of a broker.

    Raises:
        InvalidInput: it is not.
    """
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise InvalidInput(f"{name!r} cannot name a partition: letters, digits, '-', '_' and '.' can")
