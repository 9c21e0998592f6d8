"""Models and versions that there are and that there are not."""

from tests.conformance.case import INFERENCE, NOBODY, OK, REFUSED, Case, Infer, Needs
from tests.conformance.checks import names_the_version_asked_for
from tests.conformance.draft import with_fields, with_listed_version

CASES = (
    *(
        Case(
            f"versions/listed-{form}",
            "the version of the request is the one used",
            INFERENCE,
            Infer(form, (with_listed_version,)),
            OK,
            (names_the_version_asked_for,),
            Needs(versions=True, typed=form == "typed"),
        )
        for form in ("raw", "typed")
    ),
    *(
        Case(
            f"versions/{what}",
            "a version that there is not cannot be used",
            INFERENCE,
            Infer("raw", (with_fields(version=version),)),
            REFUSED,
        )
        for what, version in (
            ("unknown", "987654321"),
            ("negative", "-1"),
            ("without-meaning", "conformance-no-such-version"),
            ("huge", "9" * 40),
        )
    ),
    *(
        Case(
            f"models/{what}",
            "a model that there is not cannot be used",
            INFERENCE,
            Infer("raw", (with_fields(model=name),)),
            REFUSED,
        )
        for what, name in (("unknown", NOBODY), ("without-a-name", ""), ("long-name", "m" * 5000), ("unicode", "żółw"))
    ),
    Case(
        "models/unknown-with-version",
        "a model that there is not cannot be used, whatever its version",
        INFERENCE,
        Infer("raw", (with_fields(model=NOBODY, version="1"),)),
        REFUSED,
    ),
)
