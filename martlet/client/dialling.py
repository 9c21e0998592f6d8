"""Channels to services: in the clear, or over TLS with certificates that may be replaced while the channel lives."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import grpc
import grpc.aio

from martlet.client.bearer import Token
from martlet.client.tls import Plaintext, Tls, check_token_stays_secret
from martlet.watched_files import WatchedFiles

Options = Sequence[tuple[str, Any]]


class _AnyChannel(Protocol):
    def unary_unary(self, *arguments: Any, **named: Any) -> Any: ...

    def unary_stream(self, *arguments: Any, **named: Any) -> Any: ...

    def stream_unary(self, *arguments: Any, **named: Any) -> Any: ...

    def stream_stream(self, *arguments: Any, **named: Any) -> Any: ...

    def close(self) -> Any: ...


C = TypeVar("C", bound=_AnyChannel)


def dial(address: str, options: Options, security: Tls | Plaintext | None, token: Token = "") -> grpc.aio.Channel:
    """A channel for an event loop. `token`: what its calls will show; it is not sent here.

    Raises:
        InvalidInput: a certificate cannot be read, or does not fit its key; or the token would travel in the clear.
    """
    check_token_stays_secret(address, token, security)
    if not isinstance(security, Tls):
        return grpc.aio.insecure_channel(address, options=options)
    tls = security
    named = [*options, *_name_override(tls)]
    return cast(
        "grpc.aio.Channel",
        _Rotating(tls, lambda credentials: grpc.aio.secure_channel(address, credentials, options=named)),
    )


def dial_blocking(address: str, options: Options, security: Tls | Plaintext | None, token: Token = "") -> grpc.Channel:
    """A channel for threads; otherwise as `dial`."""
    check_token_stays_secret(address, token, security)
    if not isinstance(security, Tls):
        return grpc.insecure_channel(address, options=options)
    tls = security
    named = [*options, *_name_override(tls)]
    return cast(
        "grpc.Channel", _Rotating(tls, lambda credentials: grpc.secure_channel(address, credentials, options=named))
    )


def check_pair(certificate: Path, key: Path) -> None:
    """Whether a certificate and a key belong together.

    Raises:
        ValueError: they do not, or one of them is not PEM.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise ValueError(f"certificate and key are not a pair in PEM ({error.reason or 'unreadable'})") from error


class _Rotating(Generic[C]):
    """A channel that is made anew when its certificates are. Calls that are under way keep the one they began on.

    gRPC's own channel credentials are fixed for a channel's life; so a call asks for the channel that holds now. The
    one before ends when its last call does.
    """

    def __init__(self, tls: Tls, connect: Callable[[grpc.ChannelCredentials], C]) -> None:
        self._tls = tls
        self._connect = connect
        self._paths = [path for path in (tls.ca, tls.certificate, tls.key) if path is not None]
        self._files = WatchedFiles(self._paths, tls.reload_seconds, self._check) if self._paths else None
        self._generation = 1
        self._channel = connect(self._credentials())

    def unary_unary(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        """As of the channel that holds when it is called."""
        return _late(lambda: self._now().unary_unary(*arguments, **named))

    def unary_stream(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        """As of the channel that holds when it is called."""
        return _late(lambda: self._now().unary_stream(*arguments, **named))

    def stream_unary(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        """As of the channel that holds when it is called."""
        return _late(lambda: self._now().stream_unary(*arguments, **named))

    def stream_stream(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        """As of the channel that holds when it is called."""
        return _late(lambda: self._now().stream_stream(*arguments, **named))

    def close(self) -> Any:
        """Closes the channel that holds now."""
        return self._channel.close()

    def _now(self) -> C:
        if self._files is not None:
            generation = self._files.look()
            if generation != self._generation:
                self._generation = generation
                self._channel = self._connect(self._credentials())
        return self._channel

    def _credentials(self) -> grpc.ChannelCredentials:
        read = dict(zip(self._paths, self._files.contents, strict=True)) if self._files is not None else {}
        ca, certificate, key = (read.get(path) if path else None for path in _parts(self._tls))
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def _check(self, _read: Sequence[bytes]) -> None:
        if self._tls.certificate is not None and self._tls.key is not None:
            check_pair(self._tls.certificate, self._tls.key)


def _parts(tls: Tls) -> tuple[Path | None, Path | None, Path | None]:
    return tls.ca, tls.certificate, tls.key


def _name_override(tls: Tls) -> list[tuple[str, Any]]:
    return [("grpc.ssl_target_name_override", tls.server_name)] if tls.server_name else []


def _late(method: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A method that is looked up when it is called."""

    def called(*request: Any, **how: Any) -> Any:
        return method()(*request, **how)

    return called
