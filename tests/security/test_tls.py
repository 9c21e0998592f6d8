"""TLS and mutual TLS on the gRPC and the metrics port; certificates are replaced while calls are made."""

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from martlet.client.channel import CallPolicy
from martlet.client.health import Health, health_of
from martlet.client.registry import RegistryClient
from martlet.client.tls import Plaintext, Tls
from martlet.client.trainer import TrainerClient
from martlet.errors import InvalidInput, Unavailable
from martlet.runtime.auth import Authorizer
from martlet.runtime.channel_security import channel_security
from martlet.runtime.config import AuthConfig, CertificateConfig
from martlet.runtime.server_tls import server_tls
from martlet.runtime.tls_config import TlsConfig
from tests.security.authority import Authority, Pair, serial_of
from tests.security.secured_stage import secured

ONCE = CallPolicy(timeout=3, tries=1)


def of(pair: Pair, *, ca: Path | None = None, client_ca: Path | None = None) -> TlsConfig:
    return TlsConfig(
        certificate=str(pair.certificate),
        key=str(pair.key),
        ca=str(ca or ""),
        client_ca=str(client_ca or ""),
        reload_seconds=0.0,
    )


async def asked(port: int, tls: Tls | Plaintext | None) -> str:
    client = TrainerClient(f"127.0.0.1:{port}", policy=ONCE, tls=tls)
    try:
        return (await client.status()).model
    finally:
        await client.close()


async def test_who_trusts_the_authority_is_answered_and_nobody_else(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    async with secured(of(authority.pair("server"))) as server:
        assert await asked(server.grpc_port, Tls(authority.certificate)) == ""
        for other in (None, Tls(stranger.certificate), Tls(authority.certificate, server_name="elsewhere")):
            with pytest.raises(Unavailable):
                await asked(server.grpc_port, other)
        address = f"127.0.0.1:{server.grpc_port}"
        assert await health_of(address, tls=Tls(authority.certificate)) is Health.NOT_SERVING
        assert await health_of(address) is Health.UNREACHABLE


async def test_mutual_tls_asks_callers_who_they_are(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    ann, eve = authority.pair("ann"), stranger.pair("eve")
    async with secured(of(authority.pair("server"), client_ca=authority.certificate)) as server:
        known = Tls(authority.certificate, ann.certificate, ann.key)
        assert await asked(server.grpc_port, known) == "certificate:ann"
        for other in (Tls(authority.certificate), Tls(authority.certificate, eve.certificate, eve.key)):
            with pytest.raises(Unavailable):
                await asked(server.grpc_port, other)


async def test_certificates_of_server_and_client_rotate_under_traffic(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server_pair, client_pair = authority.pair("server"), authority.pair("client")
    first = server_pair.certificate.read_bytes()
    async with secured(of(server_pair, client_ca=authority.certificate)) as server:
        tls = Tls(authority.certificate, client_pair.certificate, client_pair.key, reload_seconds=0.0)
        client = TrainerClient(f"127.0.0.1:{server.grpc_port}", policy=ONCE, tls=tls)
        names = set[str]()
        calls = 0
        ended = asyncio.Event()

        async def keep_calling() -> None:
            nonlocal calls
            while not ended.is_set():
                names.add((await client.status()).model)
                calls += 1

        callers = [asyncio.create_task(keep_calling()) for _ in range(4)]
        await asyncio.sleep(0.1)
        assert shown(server.grpc_port) == serial_of(first)
        server_pair.become(authority.pair("server-2"))
        client_pair.become(authority.pair("client-2"))
        while names != {"certificate:client", "certificate:client-2"}:  # noqa: ASYNC110  what is seen, not told
            await asyncio.sleep(0.01)
        second = server_pair.certificate.read_bytes()
        assert await asyncio.to_thread(shown, server.grpc_port) == serial_of(second) != serial_of(first)
        before = calls
        await asyncio.sleep(0.1)
        ended.set()
        await asyncio.gather(*callers)  # no call failed
        assert calls > before
        await client.close()


def shown(port: int) -> int:
    """The serial number of the certificate that a new connection is shown."""
    return serial_of(ssl.get_server_certificate(("127.0.0.1", port)).encode())


async def test_a_pair_that_does_not_fit_is_not_taken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.pair("server"), authority.pair("other")
    before = serial_of(pair.certificate.read_bytes())
    async with secured(of(pair)) as server:
        pair.certificate.write_bytes(other.certificate.read_bytes())
        assert await asyncio.to_thread(shown, server.grpc_port) == before
        pair.key.write_bytes(other.key.read_bytes())
        assert await asyncio.to_thread(shown, server.grpc_port) == serial_of(other.certificate.read_bytes())


async def test_metrics_are_told_over_tls_to_whom_is_known_and_readiness_to_all(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ann = authority.pair("ann")
    auth = AuthConfig(certificates=(CertificateConfig("ann", "reader"),))
    async with secured(of(authority.pair("server"), client_ca=authority.certificate), auth) as server:
        known = ssl.create_default_context(cafile=str(authority.certificate))
        known.load_cert_chain(ann.certificate, ann.key)
        unknown = ssl.create_default_context(cafile=str(authority.certificate))

        def fetch(path: str, context: ssl.SSLContext | None) -> int:
            scheme = "http" if context is None else "https"
            url = f"{scheme}://127.0.0.1:{server.metrics_port}/{path}"
            try:
                with urlopen(Request(url), timeout=3, context=context) as reply:
                    return int(reply.status)
            except HTTPError as refused:
                with refused:
                    return refused.code

        assert await asyncio.to_thread(fetch, "metrics", known) == 200
        assert await asyncio.to_thread(fetch, "metrics", unknown) == 401
        assert await asyncio.to_thread(fetch, "ready", unknown) == 503
        with pytest.raises((URLError, OSError)):
            await asyncio.to_thread(fetch, "ready", None)


def test_listening_in_the_clear_beyond_loopback_must_be_meant(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"tls\.insecure"):
        server_tls(TlsConfig(), "0.0.0.0")
    assert server_tls(TlsConfig(insecure=True), "0.0.0.0") is None
    assert server_tls(TlsConfig(), "::1") is None
    pair = Authority(tmp_path).pair("server")
    assert server_tls(of(pair), "0.0.0.0") is not None
    with pytest.raises(InvalidInput, match=r"tls\.key"):
        server_tls(TlsConfig(certificate=str(pair.certificate)), "127.0.0.1")
    with pytest.raises(InvalidInput, match="cannot read"):
        server_tls(TlsConfig(certificate=str(tmp_path / "none"), key=str(pair.key)), "127.0.0.1")


def test_a_token_does_not_travel_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="in the clear"):
        RegistryClient("registry.example:8510", "secret")
    assert channel_security(TlsConfig(insecure=True)) == Plaintext()
    assert channel_security(TlsConfig()) is None
    assert channel_security(TlsConfig(ca="system")) == Tls()


def test_certificates_as_callers_need_an_authority() -> None:
    with pytest.raises(InvalidInput, match=r"tls\.client_ca"):
        Authorizer(AuthConfig(certificates=(CertificateConfig("ann", "reader"),)))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_serving_process_and_its_workers_speak_tls(tmp_path: Path, workers: int) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("server")
    ports = tmp_path / "ports.json"
    environment = {
        "MARTLET_DATA_DIR": str(tmp_path / "data"),
        "MARTLET_TLS_CERTIFICATE": str(pair.certificate),
        "MARTLET_TLS_KEY": str(pair.key),
        "MARTLET_TLS_CA": str(authority.certificate),
        "MARTLET_TLS_CLIENT_CA": str(authority.certificate),
        "MARTLET_SERVING_REGISTRY": "127.0.0.1:1",
        "MARTLET_SERVING_GRPC_PORT": "0",
        "MARTLET_SERVING_METRICS_PORT": "0",
        "MARTLET_SERVING_WORKERS": str(workers),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "serving_svc", "--ports-file", str(ports)), env={**os.environ, **environment}
    )
    try:
        while not ports.exists():
            assert process.returncode is None
            await asyncio.sleep(0.05)
        address = f"127.0.0.1:{json.loads(ports.read_text())['grpc_port']}"
        tls = Tls(authority.certificate, pair.certificate, pair.key)
        assert await health_of(address, tls=tls) is Health.NOT_SERVING
        assert await health_of(address, tls=Tls(authority.certificate)) is Health.UNREACHABLE
        assert await health_of(address) is Health.UNREACHABLE
    finally:
        process.terminate()
        await process.wait()
