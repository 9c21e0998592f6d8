"""Decides about a model, again and again, as one of several registries on a database. Prints how often it did.

Arguments: the database's URL, this registry's name, for how many seconds, `lease` or `swap`.
"""

import sys
import time

from martlet.clock import SystemClock
from martlet.errors import Unavailable
from registry_svc.catalog import Moved
from registry_svc.catalog_database import open_database
from registry_svc.catalog_lease import SqlLease
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.catalog_tables import unfenced
from registry_svc.rollout import admit
from tests.unit.registry.samples import record


def main(url: str, name: str, seconds: float, fenced: bool) -> None:  # noqa: FBT001  a script
    engine, clock = open_database(url), SystemClock()
    lease = SqlLease(engine, name, clock, seconds=0.5)
    catalog = SqlCatalog(engine, lease.check if fenced else unfenced)
    end, done, moved, refused = time.monotonic() + seconds, 0, 0, 0
    while time.monotonic() < end:
        if fenced and not lease.renew() and done % 2:  # else it believes that it leads, and tries
            time.sleep(0.01)
        standing = catalog.standing("shop")
        version = record(standing.newest + 1, standing.lane.head.digest, digest=f"{name}-{standing.decisions}")
        try:
            catalog.commit(admit(standing.lane, version, clock.now_us()), standing, b"m")
            done += 1
        except Moved:
            moved += 1
        except Unavailable:
            refused += 1
    print(done, moved, refused, flush=True)  # noqa: T201  its answer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "lease")
