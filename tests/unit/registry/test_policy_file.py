"""Rollout policies from YAML: what is read, and how a fault is told."""

from pathlib import Path

import pytest

from martlet.errors import InvalidInput
from martlet.runtime.config import RegistryConfig
from registry_svc.policy import EvidencePolicy, Policies
from registry_svc.policy_file import load_policies

WHOLE = """\
default:
  quality: health
  lane_weight: 5000
models:
  shop:
    quality: evidence
    live:
      steps: [0, 100, 5000]
      judge:
        margin: 0.002
    structural: {shadow_labels: 2000}
  films:
    mode: certified
    quality: evidence
"""


def load(tmp_path: Path, text: str) -> Policies:
    path = tmp_path / "rollout.yaml"
    path.write_text(text)
    return load_policies(RegistryConfig(rollout=str(path)))


def test_every_model_gets_its_own(tmp_path: Path) -> None:
    policies = load(tmp_path, WHOLE)
    assert (policies.of("other").evidence, policies.of("other").lane_weight) == (None, 5000)
    shop = policies.of("shop")
    assert shop.evidence is not None
    assert (shop.evidence.steps, shop.evidence.judge.margin, shop.trial.shadow_labels) == ((0, 100, 5000), 0.002, 2000)
    assert (shop.certified, policies.of("films").certified) == (False, True)


def test_without_a_file_the_settings_decide(tmp_path: Path) -> None:
    assert load_policies(RegistryConfig()).of("shop").evidence == EvidencePolicy()
    assert load_policies(RegistryConfig(quality="health")).of("shop").evidence is None
    assert load(tmp_path, "").of("shop").evidence == EvidencePolicy()
    with pytest.raises(InvalidInput, match=r"registry\.quality"):
        load_policies(RegistryConfig(quality="luck"))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("models: [", 1, "not YAML"),
        ("models:\n  shop:\n    sped: 3\n", 3, "sped is no knob"),
        ("models:\n  shop:\n    quality: luck\n", 3, "not one of"),
        ("models:\n  shop:\n    mode: both\n", 3, "not one of"),
        ("models:\n  shop:\n    live:\n      judge:\n        margin: much\n", 5, "margin: Expected `float`"),
        ("models:\n  shop:\n    live:\n      judge:\n        margin: -1\n", 5, "positive"),
        ("models:\n  shop:\n    live:\n      steps: [0, 500, 400]\n", 4, "ascend"),
        ("models:\n  shop:\n    live:\n      steps: [100]\n", 4, "the first step is 0"),
        ("models:\n  shop:\n    structural:\n      steps: [0, 5]\n", 4, "above 0"),
        ("models:\n  shop:\n    mode: certified\n    quality: health\n", 3, "need evidence"),
        ("models:\n  shop: 3\n", 2, "must be a section"),
        ("- 3\n", 1, "must be a section"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(InvalidInput) as told:
        load(tmp_path, text)
    assert f"rollout.yaml:{line}: " in str(told.value)
    assert what in str(told.value)


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read"):
        load_policies(RegistryConfig(rollout=str(tmp_path / "none.yaml")))
