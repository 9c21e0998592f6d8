"""The figures about the judge, from small made-up journals."""

from dataclasses import replace

import numpy as np

from examples.demo.faulty_trainer import Flip
from examples.demo.judgement import Evidence, judgement, sabotaged
from martlet.events import Arm, Outcome, Prediction
from martlet.feature_encoding import signature_of
from martlet.manifest import BlobRef, Learned, Lineage, Manifest, Provenance, VersionKind
from martlet.versions import CatalogState
from registry_svc.journal import Decision, DecisionKind, Move
from registry_svc.lane import Lane, Member
from tests.unit.core.samples import SPEC
from tests.unit.registry.samples import record
from tests.unit.trainer.streams import prediction
from trainer_svc.journal import Rewound

V1, V2, V3, V4 = (Member(number, f"v{number}") for number in range(1, 5))
FLIP = Flip(1.0, 10, 10, 1)


def answer(number: int, version: int, epoch: int, revision: int = 1) -> Prediction:
    made = prediction(number, time_us=number, items=(1,), version=version, logits=(0.0,))
    logits = {1: np.array([0.0], np.float32), version: np.array([0.5], np.float32)}
    return replace(made, epoch=epoch, revision=revision, head=version, scores=logits, arm=Arm.LIVE)


def learned(examples: int) -> Manifest:
    blob = BlobRef("mt1-" + "0" * 64, 1)
    return Manifest(
        model="m",
        kind=VersionKind.SNAPSHOT,
        lineage=Lineage("m-1", "", 0, 1),
        learned=Learned({"a": examples}, 1, examples, 0),
        graph=blob,
        dense=blob,
        tables=(),
        signature=signature_of(SPEC),
        feature_spec=SPEC,
        provenance=Provenance("0.1.0", "shop:MODEL", "abc"),
    )


def story() -> Evidence:
    """Version 3 learned five flipped labels; the alarm comes at time 18; version 4 grew from version 1 after it."""
    alarm = Decision(
        DecisionKind.ALARM, "worse", 18, Lane("m", 1, 1, V1, V1, rewinding=True), None,
        (Move(2, CatalogState.QUARANTINED), Move(3, CatalogState.ROLLED_BACK)),
    )  # fmt: skip
    decisions = [
        Decision(DecisionKind.HEAD, "", 1, Lane("m", 0, 1, V3, V1)),
        alarm,
        Decision(DecisionKind.REWOUND, "", 19, replace(alarm.lane, revision=2, rewinding=False)),
        Decision(DecisionKind.PIN, "", 30, Lane("m", 1, 5, V4, V4)),
    ]
    states = {1: CatalogState.PINNED, 2: CatalogState.QUARANTINED, 3: CatalogState.ROLLED_BACK, 4: CatalogState.PINNED}
    return Evidence(
        records={v: replace(record(v), state=state, epoch=int(v == 4)) for v, state in states.items()},
        manifests={1: learned(5), 2: learned(9), 3: learned(15), 4: learned(19)},
        predictions=[answer(n, 3 if n < 19 else 1, int(n >= 19)) for n in range(25)],
        outcomes=[Outcome(f"e{n}", f"p-{n}", 1, "rating", 5.0, n) for n in range(25)],
        offsets=list(range(1, 26)),
        decisions=decisions,
        rewinds=[Rewound("v1", 1, 1, False, {"a": (5, 17)})],
    )


def test_the_alarm_is_measured_from_where_the_fault_began() -> None:
    found = judgement(story(), FLIP)
    assert found["bad_version"]["state"] == "ROLLED_BACK"
    assert (found["bad_version"]["version"], found["bad_version"]["labels_to_detect"]) == (3, 9)
    assert found["bad_version"]["user_requests"] == 19
    assert (found["alarms"], found["healthy_rollbacks"], found["pin_moves"]) == (1, 0, 1)
    assert (found["trainer_rewound"], found["requests_by_quarantined_after_fence"]) == (True, 0)


def test_a_later_pin_holds_what_was_learned_after_the_rewind_alone() -> None:
    evidence = story()
    assert sabotaged(evidence, 3, FLIP) == 5
    assert sabotaged(evidence, 4, FLIP) == 2
    found = judgement(evidence, FLIP)
    assert (found["poisoned_pins_before_alarm"], found["sabotaged_examples_in_later_pins"]) == (0, 2)


def test_faults_show() -> None:
    evidence = story()
    late = replace(evidence, predictions=[*evidence.predictions, answer(26, 3, 1)])
    assert judgement(late, FLIP)["requests_by_quarantined_after_fence"] == 1
    assert judgement(replace(evidence, rewinds=[]), FLIP)["trainer_rewound"] is False
    assert (
        judgement(replace(evidence, decisions=evidence.decisions[:1]), FLIP)["bad_version"]["state"] == "NEVER CAUGHT"
    )
    assert judgement(evidence, None)["healthy_rollbacks"] == 1


def test_losses_are_of_the_same_answers() -> None:
    losses = judgement(story(), FLIP)["logloss"]
    assert losses["head"] == losses["served"] < losses["pin"]


def test_the_flip_is_the_same_whenever_it_is_asked() -> None:
    half = Flip.of("0.5:100:1000:7")
    assert half == Flip(0.5, 100, 1000, 7)
