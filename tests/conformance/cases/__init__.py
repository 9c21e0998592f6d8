"""All cases, as data."""

from typing import Final

from tests.conformance.case import Case
from tests.conformance.cases import contents, datatypes, health, inference, metadata, parameters, versions

ALL: Final[tuple[Case, ...]] = (
    *health.CASES,
    *metadata.CASES,
    *inference.CASES,
    *versions.CASES,
    *contents.CASES,
    *datatypes.CASES,
    *parameters.CASES,
)
