"""Every setting of Martlet, in one place.

A setting comes from, in rising order of strength: its default below; the YAML file (`--config`, `MARTLET_CONFIG`, or
`/etc/martlet/martlet.yaml` where there is one); the environment, `MARTLET_<SECTION>_<SETTING>` (top-level settings:
`MARTLET_<SETTING>`; of a section in a section: `MARTLET_LEARNING_DRIFT_<SETTING>`). A value that begins with [ or { is
read as YAML. A bad setting is one line that names it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec
import yaml

from martlet.errors import InvalidInput
from martlet.runtime.graphs_config import GraphsConfig
from martlet.runtime.learning_config import LearningConfig
from martlet.runtime.parts_config import ArtifactsConfig, EventLogConfig
from martlet.runtime.signing_config import SigningConfig
from martlet.runtime.tls_config import TlsConfig
from martlet.runtime.tracing_config import TracingConfig

PREFIX = "MARTLET_"
SYSTEM_FILE = Path("/etc/martlet/martlet.yaml")


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Serving: answers requests.

    Attributes:
        host: address to listen on; loopback unless told otherwise.
        grpc_port: gRPC; 0 takes a free port.
        metrics_port: Prometheus text; 0 takes a free port.
        registry: the registry's address.
        replica: this replica's name; also names its partition of the event log. Unique among replicas.
        max_message_bytes: largest request or reply.
        max_candidates: most candidates of one request; of more items on offer, candidates are retrieved.
        retrieved_candidates: how many items retrieval gives to the ranker.
        newest_candidates: so many of the newest items are ranked beside those retrieved.
        retrieval_refresh_seconds: the item vectors of retrieval are made anew about this often.
        exploration_epsilon: chance, at each position, of an item picked evenly among the candidates; 0: never.
        exploration_temperature: above 0, answers are drawn in proportion to exp(logit / temperature).
        max_calls: calls that may be under way; beyond, they are refused with RESOURCE_EXHAUSTED.
        max_pending_rows: item rows that may wait; beyond, requests are refused likewise.
        max_batch_rows: item rows scored in one run.
        prediction_queue: records that may wait for the event log; beyond, prediction records are dropped and counted.
        shadow_share: share of the answers that the other versions score too, for the judge; chosen by a hash of the id.
        shadow_queue: item rows that may wait for shadow scores; beyond, records are written without them and counted.
        max_mean_logit_shift: a new head whose logits of recent requests differ by more than this on average is refused.
        arena_headroom: free buckets beside a table's base, as a share of it (sparse file, costs nothing unused).
        intra_op_threads: onnxruntime threads for one run.
        drain_seconds: how long requests in flight may take at shutdown.
        workers: processes that answer on this host, on one port; each is a replica `<replica>-w<number>` of its own.
        tables: socket of the host's table builder; empty: this process builds its tables. A host tells its workers.
        share_port: listen beside other processes of this host, once something can be answered. Set likewise.
        connection_age_seconds: clients are asked to connect anew about this often, so that they find replicas that
            came later; 0: never.
    """

    host: str = "127.0.0.1"
    grpc_port: int = 8500
    metrics_port: int = 8502
    registry: str = "127.0.0.1:8510"
    replica: str = "serving-0"
    max_message_bytes: int = 16 << 20
    max_candidates: int = 4096
    max_calls: int = 1000
    retrieved_candidates: int = 512
    newest_candidates: int = 32
    retrieval_refresh_seconds: float = 60.0
    exploration_epsilon: float = 0.0
    exploration_temperature: float = 0.0
    max_pending_rows: int = 65536
    max_batch_rows: int = 1024
    prediction_queue: int = 65536
    shadow_share: float = 1.0
    shadow_queue: int = 16384
    max_mean_logit_shift: float = 2.0
    arena_headroom: float = 1.0
    intra_op_threads: int = 1
    drain_seconds: float = 10.0
    workers: int = 1
    tables: str = ""
    share_port: bool = False
    connection_age_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """Registry: catalog, admission, rollout.

    Attributes:
        host, grpc_port, metrics_port: as for serving.
        name: this registry's name; of several on one catalog, each needs its own.
        catalog_url: SQLAlchemy URL; empty: SQLite in the data directory.
        lease_ms: how long a replica may use the live lane without hearing from the registry.
        rollout: YAML file with the rollout policy of each model (see `docs/canary.md`); empty: the default policy.
        quality: what decides about versions where the policy does not say: `evidence` or `health`.
        lane_weight: the live lane's share of traffic where health alone decides, in buckets of 10,000.
        pin_min_seconds: how long a candidate must have been loaded before it can become the pin.
        pin_min_requests: how many answers without error it takes where health alone decides.
        max_mean_logit_shift: a delta whose mean |logit change| on recent requests is above this is refused.
        max_versions_listed: most records of one listing.
        versions_kept: so many versions older than the aspired ones keep their artifacts; 0: all do.
    """

    host: str = "127.0.0.1"
    grpc_port: int = 8510
    metrics_port: int = 8512
    name: str = "registry-0"
    catalog_url: str = ""
    lease_ms: int = 5000
    rollout: str = ""
    quality: str = "evidence"
    lane_weight: int = 9000
    pin_min_seconds: float = 2.0
    pin_min_requests: int = 50
    max_mean_logit_shift: float = 2.0
    max_versions_listed: int = 1000
    versions_kept: int = 1000


@dataclass(frozen=True, slots=True)
class TrainerConfig:
    """Trainer: learns from the event log and publishes.

    Attributes:
        host, grpc_port, metrics_port: as for serving.
        registry: the registry's address.
        model: the model to learn, as `package.module:NAME`.
        batch_examples: most examples of one learning step.
        poll_ms: how long to wait when the log has nothing new.
        read_bytes: most bytes read from one partition at once.
        publish_interval_ms: a delta is published about this often, if anything was learned.
        chain_limit: a new base is published when a chain has so many deltas.
        chain_bytes_share: or when the deltas have so many bytes for each byte of the bases.
        checkpoint_interval_seconds: a checkpoint is written about this often.
        checkpoints_kept: older checkpoints are removed.
        journal_hours: so much of the journal stays beside what going back to the pin takes; for so long a range that an
            alarm took back can be re-admitted. 0: all of it stays.
        initial_buckets: buckets of a new embedding table (four rows each).
        threads: torch threads for one step.
        dedup_window_seconds: how long (in event time) an outcome's id is remembered beyond its attribution window.
        recent_requests: how many recent requests the gate compares on.
        evidence_interval_ms: the judge gets labelled scores about this often.
        table_dtype: what embedding rows are stored as: `float32`, or `float16` (half the memory). Of a new data
            directory.
        delta_encoding: how the rows of a delta travel: `float32` (exactly), `float16`, or `int8` with a scale for each
            row. Of a new data directory.
        exact_repair_every: with an inexact encoding every so many deltas all rows that were shipped inexactly are
            shipped exactly. Of a new data directory.
    """

    host: str = "127.0.0.1"
    grpc_port: int = 8520
    metrics_port: int = 8522
    registry: str = "127.0.0.1:8510"
    model: str = ""
    batch_examples: int = 256
    poll_ms: int = 20
    read_bytes: int = 4 << 20
    publish_interval_ms: int = 1000
    chain_limit: int = 64
    chain_bytes_share: float = 1.0
    checkpoint_interval_seconds: float = 10.0
    checkpoints_kept: int = 3
    journal_hours: float = 24.0
    initial_buckets: int = 4096
    threads: int = 1
    dedup_window_seconds: int = 86400
    recent_requests: int = 256
    evidence_interval_ms: int = 200
    table_dtype: Literal["float32", "float16"] = "float32"
    delta_encoding: Literal["float32", "float16", "int8"] = "float32"
    exact_repair_every: int = 16


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """One bearer token: whose, the secret's SHA-256 (hex), and a role: reader, caller, publisher, operator."""

    name: str
    sha256: str
    role: str


@dataclass(frozen=True, slots=True)
class CertificateConfig:
    """A caller known by its certificate: its common name or one of its alternative names, and a role."""

    subject: str
    role: str


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Who may do what. Without tokens and certificates everybody who reaches the port may.

    Attributes:
        tokens: known callers.
        tokens_file: more of them: a YAML list of name, sha256 and role, read again when it changes.
        certificates: callers known by the certificate they show (needs `tls.client_ca`).
        token: the secret this process itself presents to other services.
        token_file: or a file that holds it, read again when it changes.
        reload_seconds: the files are looked at during calls, at most this often.
    """

    tokens: tuple[TokenConfig, ...] = ()
    tokens_file: str = ""
    certificates: tuple[CertificateConfig, ...] = ()
    token: str = field(default="", repr=False)
    token_file: str = ""
    reload_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Logs: `level` as in Python's logging; `format` is `text` or `json`."""

    level: str = "info"
    format: str = "text"


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. `data_dir` holds the embedded parts: event log, catalog, artifacts, checkpoints, arenas.

    `event_log` and `artifacts` say what stands in for the embedded ones (and `registry.catalog_url` for the catalog).
    """

    data_dir: Path = Path("martlet-data")
    serving: ServingConfig = field(default_factory=ServingConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    log: LogConfig = field(default_factory=LogConfig)
    event_log: EventLogConfig = field(default_factory=EventLogConfig)
    artifacts: ArtifactsConfig = field(default_factory=ArtifactsConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    signing: SigningConfig = field(default_factory=SigningConfig)
    graphs: GraphsConfig = field(default_factory=GraphsConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)

    @property
    def event_log_dir(self) -> Path:
        """The embedded event log."""
        return self.data_dir / "events"

    @property
    def artifact_dir(self) -> Path:
        """The embedded artifact store."""
        return self.data_dir / "artifacts"

    @property
    def checkpoint_dir(self) -> Path:
        """The trainer's checkpoints and journal."""
        return self.data_dir / "trainer"

    @property
    def dead_letter_dir(self) -> Path:
        """Events that cannot be used, with their reasons."""
        return self.data_dir / "dead-letters"

    @property
    def arena_dir(self) -> Path:
        """Serving's arenas; may be lost at any time."""
        return self.data_dir / "arena"

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalog."""
        return self.registry.catalog_url or f"sqlite:///{(self.data_dir / 'catalog.db').absolute()}"


def load_config(
    path: Path | None, environment: Mapping[str, str] = os.environ, system_file: Path = SYSTEM_FILE
) -> Config:
    """Reads the file (if any) and the environment.

    Args:
        path: the file; None: the one that the environment names, else the system's, if it is there.
        environment: the MARTLET_* variables, among others.
        system_file: where the system's would be.

    Raises:
        InvalidInput: one line naming the setting and what is wrong with it.
    """
    named = environment.get(PREFIX + "CONFIG")
    source = path or (Path(named) if named else system_file if system_file.exists() else None)
    settings = _read_file(source) if source else {}
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and name != PREFIX + "CONFIG":
            _set(settings, name, text)
    _refuse_unknown(settings, Config, "")
    try:
        return msgspec.convert(settings, Config, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"bad setting: {error}") from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} must hold sections (serving, registry, ...) at its top")
    return content


def _set(settings: dict[str, Any], name: str, text: str) -> None:
    path = name.removeprefix(PREFIX).lower()
    sections, at_top = _sections(Config), True
    while section := next((one for one in sections if path.startswith(one + "_")), ""):
        settings, sections, at_top = settings.setdefault(section, {}), _sections(sections[section]), False
        path = path.removeprefix(section + "_")
    if at_top and path not in {one.name for one in fields(Config)}:
        raise InvalidInput(f"bad setting: the environment names {name}, which is no setting")
    try:
        settings[path] = yaml.safe_load(text) if text[:1] in {"[", "{"} else text
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"bad setting: {name} is no YAML: {str(error).splitlines()[0]}") from error


def _sections(kind: type) -> dict[str, type]:
    return {name: hint for name, hint in get_type_hints(kind).items() if isinstance(hint, type) and is_dataclass(hint)}


def _refuse_unknown(settings: Mapping[str, Any], kind: type, where: str) -> None:
    hints = get_type_hints(kind)
    for name, value in settings.items():
        if name not in hints:
            known = ", ".join(sorted(hints))
            raise InvalidInput(f"bad setting: {where}{name} is no setting (known here: {known})")
        if is_dataclass(hints[name]):
            if not isinstance(value, dict):
                raise InvalidInput(f"bad setting: {where}{name} must be a section")
            _refuse_unknown(value, hints[name], f"{where}{name}.")


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        return Path(value)
    raise NotImplementedError(f"{kind} cannot be read from settings")
