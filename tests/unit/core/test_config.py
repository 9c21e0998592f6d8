"""Settings: defaults, file, environment; a bad one is one line that names it."""

from pathlib import Path

import pytest

from martlet.errors import InvalidInput
from martlet.runtime.config import load_config


def test_the_environment_is_stronger_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "martlet.yaml"
    file.write_text("data_dir: /from/file\nserving:\n  grpc_port: 1\n  replica: a\n")
    config = load_config(file, {"MARTLET_SERVING_GRPC_PORT": "2"})
    assert config.serving.grpc_port == 2
    assert config.serving.replica == "a"
    assert config.data_dir == Path("/from/file")
    assert config.registry.grpc_port == 8510


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "martlet.yaml"
    file.write_text("log:\n  level: debug\n")
    assert load_config(None, {"MARTLET_CONFIG": str(file)}).log.level == "debug"


def test_the_systems_file_counts_where_no_other_is_named(tmp_path: Path) -> None:
    system, named = tmp_path / "system.yaml", tmp_path / "named.yaml"
    assert load_config(None, {}, system).log.level == "info"
    system.write_text("log:\n  level: debug\n")
    named.write_text("log:\n  format: json\n")
    assert load_config(None, {}, system).log.level == "debug"
    assert load_config(named, {}, system).log.level == "info"
    assert load_config(None, {"MARTLET_CONFIG": str(named)}, system).log.level == "info"


def test_sections_within_sections_and_mappings_come_from_the_environment_too() -> None:
    environment = {"MARTLET_LEARNING_ROWS": "{rate: 0.5}", "MARTLET_LEARNING_LABEL": "{weights: [1, 2]}"}
    learning = load_config(None, environment).learning
    assert learning.rows == {"rate": 0.5}
    assert learning.label == {"weights": [1, 2]}


def test_tokens_are_read_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "martlet.yaml"
    file.write_text("auth:\n  tokens:\n    - {name: ops, sha256: ab, role: operator}\n")
    assert load_config(file, {}).auth.tokens[0].role == "operator"


@pytest.mark.parametrize(
    ("text", "environment", "named"),
    [
        ("serving: {grpc_prt: 1}", {}, r"serving\.grpc_prt"),
        ("servng: {}", {}, "servng"),
        ("serving: 5", {}, "serving"),
        ("[1]", {}, "sections"),
        ("{", {}, "not YAML"),
        ("", {"MARTLET_TRAINER_POLL_MS": "soon"}, r"trainer\.poll_ms"),
        ("", {"MARTLET_NONSENSE": "1"}, "MARTLET_NONSENSE"),
        ("learning: {drift: {drfit: 1}}", {}, r"learning\.drift\.drfit"),
        ("learning: {rows: 5}", {}, r"learning\.rows"),
        ("", {"MARTLET_LEARNING_DRIFT_NONSENSE": "1"}, r"learning\.drift\.nonsense"),
        ("", {"MARTLET_SERVING_NONSENSE": "1"}, r"serving\.nonsense"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(tmp_path: Path, text: str, environment: dict[str, str], named: str) -> None:
    file = tmp_path / "martlet.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=named) as caught:
        load_config(file, environment)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        load_config(tmp_path / "nowhere.yaml", {})
