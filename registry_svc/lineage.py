"""Who descends from whom: what goes with a head that is taken back. Pure."""

from collections.abc import Iterable

from martlet.versions import CatalogState, VersionRecord
from registry_svc.lane import Member

STANDING = frozenset({CatalogState.ADMITTED, CatalogState.RETIRED})


def suspects(records: Iterable[VersionRecord], head: Member, pin: Member) -> tuple[int, ...]:
    """The versions between the pin and the head, and all that descend from one of them or from the head; not the head.

    `records`: all versions above the pin, oldest first. Only those in good standing are named.
    """
    known = {record.digest: record for record in records}
    tainted = {head.digest}
    ancestor = known.get(head.digest)
    while ancestor is not None and ancestor.parent_digest != pin.digest:
        tainted.add(ancestor.parent_digest)
        ancestor = known.get(ancestor.parent_digest)
    for record in known.values():
        if record.parent_digest in tainted:
            tainted.add(record.digest)
    return tuple(
        record.version
        for record in known.values()
        if record.digest in tainted and record.version != head.version and record.state in STANDING
    )
