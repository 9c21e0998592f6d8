"""The lease as a row of the catalog's database, through SQLAlchemy."""

from typing import Final

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from martlet.clock import Clock
from martlet.errors import Unavailable
from registry_svc.catalog_tables import LEASES, transaction
from registry_svc.lease import LEASE_SECONDS

NAME: Final = "registry"


class SqlLease:
    """See `registry_svc.lease.Lease`. Clocks of registries may differ by less than the lease lasts."""

    def __init__(self, engine: Engine, holder: str, clock: Clock, seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self._holder = holder
        self._clock = clock
        self._lasts_us = int(seconds * 1_000_000)
        self._token = 0

    @property
    def held(self) -> bool:
        """Whether it was held when it was last renewed."""
        return self._token > 0

    def renew(self) -> bool:
        """Takes or keeps the lease."""
        now_us = self._clock.now_us()
        try:
            with transaction(self._engine) as connection:
                self._token = self._renewed(connection, now_us)
        except sql.exc.IntegrityError:  # another registry was the first one ever
            self._token = 0
        return self.held

    def check(self, connection: Connection) -> None:
        """Comes first in every transaction that writes: locks the row, so that the lease cannot change hands in it.

        Raises:
            Unavailable: another registry leads.
        """
        own = (LEASES.c.name == NAME) & (LEASES.c.token == self._token)
        if connection.execute(sql.update(LEASES).where(own).values(token=self._token)).rowcount != 1:
            self._token = 0
            raise Unavailable("another registry leads")

    def _renewed(self, connection: Connection, now_us: int) -> int:
        """The token under which this holder goes on; 0: another one leads."""
        found = connection.execute(sql.select(LEASES).where(LEASES.c.name == NAME)).first()
        until = {"holder": self._holder, "expires_us": now_us + self._lasts_us}
        if found is None:
            connection.execute(sql.insert(LEASES).values(name=NAME, token=1, **until))
            return 1
        if found.holder != self._holder and found.expires_us > now_us:
            return 0
        token = found.token if found.token == self._token else found.token + 1
        same = (LEASES.c.name == NAME) & (LEASES.c.token == found.token)
        changed = connection.execute(sql.update(LEASES).where(same).values(token=token, **until)).rowcount
        return token if changed == 1 else 0
