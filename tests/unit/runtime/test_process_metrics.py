"""What a process tells of itself: its certificates' ends (the package cryptography as oracle), its event loop's lag."""

import asyncio
import base64
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from martlet.errors import Corrupt, Forbidden, Unauthenticated, Untrusted
from martlet.runtime.certificate_expiry import first_expiry
from martlet.runtime.denial_metrics import GRPC, METRICS, DenialMetrics
from martlet.runtime.loop_lag import LoopLag
from martlet.runtime.process_metrics import watch_process
from martlet.runtime.server_tls import ServerTls
from martlet.runtime.tls_config import TlsConfig

KEY = ec.generate_private_key(ec.SECP256R1())
LEAST, MOST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1990, 2400))  # DER has two forms of years
EXPIRY = "martlet_serving_certificate_expiry_timestamp_seconds"


def certificate(ends: datetime, name: str = "martlet") -> bytes:
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1980, 1, 1, tzinfo=UTC))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(KEY, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


@settings(max_examples=30, deadline=None)
@given(
    moments=st.lists(st.integers(LEAST, MOST), min_size=1, max_size=3),
    name=st.text("abcdefghij", min_size=1, max_size=60),
)
def test_the_end_is_that_of_the_first_certificate_to_end(moments: list[int], name: str) -> None:
    ends = [datetime.fromtimestamp(moment, UTC) for moment in moments]
    pem = b"# a comment\n" + b"\n".join(certificate(end, name) for end in ends)
    oracle = min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem))
    assert first_expiry(pem) == oracle.timestamp()


@given(st.binary(max_size=200))
def test_what_is_no_certificate_is_told_as_such(content: bytes) -> None:
    wrapped = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(content) + b"\n-----END CERTIFICATE-----\n"
    for pem in (content, wrapped):
        with pytest.raises(Corrupt):
            first_expiry(pem)


def test_a_process_tells_when_its_certificates_end(tmp_path: Path) -> None:
    ends = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    files = {"own.pem": certificate(ends), "ca.pem": certificate(ends + timedelta(days=9))}
    files["key.pem"] = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    tls = ServerTls(TlsConfig(str(tmp_path / "own.pem"), str(tmp_path / "key.pem"), client_ca=str(tmp_path / "ca.pem")))
    collectors = CollectorRegistry()
    watch_process(collectors, "serving", tmp_path, tls)
    assert collectors.get_sample_value(EXPIRY, {"certificate": "own"}) == ends.timestamp()
    assert collectors.get_sample_value(EXPIRY, {"certificate": "client_ca"}) == ends.timestamp() + 9 * 86400
    free = collectors.get_sample_value("martlet_serving_disk_free_bytes", {"folder": "data"}) or 0
    assert 0 < free <= (collectors.get_sample_value("martlet_serving_disk_size_bytes", {"folder": "data"}) or 0)
    assert (collectors.get_sample_value("process_resident_memory_bytes") or 0) > 1 << 20


def test_denials_are_counted_by_door_and_reason() -> None:
    collectors = CollectorRegistry()
    denials = DenialMetrics(collectors, "serving")

    def count(door: str, reason: str) -> float | None:
        return collectors.get_sample_value("martlet_serving_auth_denials_total", {"door": door, "reason": reason})

    assert count("grpc", "forbidden") == 0
    denials.denied(GRPC, Forbidden("no"))
    denials.denied(GRPC, Untrusted("no"))
    denials.denied(METRICS, Unauthenticated("who?"))
    assert (count("grpc", "forbidden"), count("grpc", "unauthenticated")) == (2, 0)
    assert count("metrics", "unauthenticated") == 1


async def test_an_event_loop_that_is_held_up_says_so() -> None:
    lag = LoopLag()
    assert lag.worst == 0
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251  that is the point
    await asyncio.sleep(0.05)
    task.cancel()
    assert lag.worst >= 0.15
