"""What the server and the model say of themselves."""

from tests.conformance.case import (
    KNOWN,
    LISTED,
    METADATA,
    NOBODY,
    OK,
    PLATFORMS,
    REFUSED,
    About,
    Case,
    Needs,
    Server,
)
from tests.conformance.checks import (
    lists_the_version,
    metadata_names_the_model,
    platform_has_its_form,
    server_has,
    tensors_are,
)

_ABOUT = About("ModelMetadata")
_RULES = (
    ("some", "the metadata tells the model's {kind}"),
    ("names", "each of the {kind} has a name of its own"),
    ("datatypes", "the datatype of each of the {kind} is one of the protocol's"),
    ("shapes", "a dimension of the {kind} is a size, or -1 if it is variable"),
)

CASES = (
    *(
        Case(
            f"metadata/server-{what}",
            f"the metadata tells the server's {what}",
            METADATA,
            Server("ServerMetadata"),
            OK,
            (server_has(what),),
        )
        for what in ("name", "version")
    ),
    Case("metadata/model", "the metadata tells the model's name", METADATA, _ABOUT, OK, (metadata_names_the_model,)),
    Case(
        "metadata/platform",
        "a platform has the form <project>_<format>",
        PLATFORMS,
        _ABOUT,
        OK,
        (platform_has_its_form,),
    ),
    *(
        Case(f"metadata/{kind}-{rule}", law.format(kind=kind), METADATA, _ABOUT, OK, (tensors_are(kind, rule),))
        for kind in ("inputs", "outputs")
        for rule, law in _RULES
    ),
    Case(
        "metadata/version",
        "the metadata of a version that is available lists that version",
        METADATA,
        About("ModelMetadata", version=LISTED),
        OK,
        (metadata_names_the_model, lists_the_version),
        Needs(versions=True),
    ),
    *(
        Case(
            f"metadata/{what}",
            f"{law} is a failure",
            METADATA,
            About("ModelMetadata", name, version),
            REFUSED,
        )
        for what, law, name, version in (
            ("unknown-model", "an unknown model", NOBODY, ""),
            ("unknown-version", "an unknown version", KNOWN, "987654321"),
            ("version-without-meaning", "a version that means nothing", KNOWN, "conformance-no-such-version"),
            ("model-without-a-name", "a model without a name", "", ""),
        )
    ),
)
