"""Who decides: of several registries on one catalog, the one that holds the lease. The port.

Every write checks the lease's token in its own transaction. So a registry that slept, or was cut off, and believes that
it still leads, writes nothing.
"""

from typing import Final, Protocol

LEASE_SECONDS: Final = 3.0


class Lease(Protocol):
    """Calls block briefly; they are made from the catalog's thread."""

    @property
    def held(self) -> bool:
        """Whether it was held when it was last renewed."""
        ...

    def renew(self) -> bool:
        """Takes the lease if it is free or this holder's own, or keeps it. Returns whether it is held now.

        A holder that comes back after a restart takes its own lease at once, under a new token: what is left of its
        former self is shut out.

        Raises:
            Unavailable: the database does not answer.
        """
        ...
