"""A name server as a cluster has one: a name resolves to the pods that are ready now."""

import socket
import struct
import threading
from typing import Final

_QUESTION_BEGINS: Final = 12
_ANSWER: Final = 0x8580  # an authoritative answer; recursion is available
_IPV4: Final = 1  # of the kinds of record


class NameServer:
    """Answers every question for an IPv4 address with all of `addresses`, over UDP on loopback, until `close`."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it answers."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Ends it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as farewell:
            farewell.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, asker = self._socket.recvfrom(4096)
            if not query:
                return
            self.asked += 1
            self._socket.sendto(self._answer(query), asker)

    def _answer(self, query: bytes) -> bytes:
        name_end = query.index(0, _QUESTION_BEGINS) + 1
        (kind,) = struct.unpack_from("!H", query, name_end)
        found = self.addresses if kind == _IPV4 else ()
        header = query[:2] + struct.pack("!HHHHH", _ANSWER, 1, len(found), 0, 0)
        records = (struct.pack("!HHHIH", 0xC00C, _IPV4, 1, 0, 4) + socket.inet_aton(one) for one in found)
        return header + query[_QUESTION_BEGINS : name_end + 4] + b"".join(records)
