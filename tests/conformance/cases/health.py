"""Live and ready."""

from tests.conformance.case import HEALTH, KNOWN, LISTED, NOBODY, OK, OK_OR_REFUSED, About, Case, Needs, Server
from tests.conformance.checks import is_not_true, is_true

READY = "ModelReady is true if the model is ready, false if it is not"

CASES = (
    Case(
        "health/live",
        "ServerLive is true if the server receives requests",
        HEALTH,
        Server("ServerLive"),
        OK,
        (is_true,),
    ),
    Case("health/ready", "ServerReady is true if the server is ready", HEALTH, Server("ServerReady"), OK, (is_true,)),
    Case("health/model", READY, HEALTH, About("ModelReady"), OK, (is_true,)),
    Case(
        "health/version",
        "ModelReady answers for the version that is given",
        HEALTH,
        About("ModelReady", version=LISTED),
        OK,
        (is_true,),
        Needs(versions=True),
    ),
    *(
        Case(
            f"health/{what}",
            f"{law} is not ready: false, or a failure",
            HEALTH,
            About("ModelReady", name, version),
            OK_OR_REFUSED,
            (is_not_true,),
        )
        for what, law, name, version in (
            ("unknown-model", "an unknown model", NOBODY, ""),
            ("unknown-version", "an unknown version", KNOWN, "987654321"),
            ("version-without-meaning", "a version that means nothing", KNOWN, "conformance-no-such-version"),
            ("version-of-an-unknown-model", "a version of an unknown model", NOBODY, "1"),
            ("model-without-a-name", "a model without a name", "", ""),
        )
    ),
)
