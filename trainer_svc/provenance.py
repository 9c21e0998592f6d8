"""What code and settings a version comes from."""

import hashlib

import msgspec

from martlet.manifest import Provenance, canonical_json
from trainer_svc.journal import Began


def provenance_of(began: Began, martlet: str) -> Provenance:
    """A version's of this lineage, made by that release."""
    return Provenance(martlet, began.model_ref, config_digest(began))


def config_digest(began: Began) -> str:
    """Names the settings of a lineage, whatever the lineage's name: 16 hex digits.

    Settings of learning that are all defaults are left out, as versions of older releases have no others.
    """
    plain = msgspec.to_builtins(msgspec.structs.replace(began, lineage=""))
    if not began.learning:
        del plain["learning"]
    return hashlib.sha256(canonical_json(plain)).hexdigest()[:16]
