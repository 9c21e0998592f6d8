"""In which trace each of the newest versions was published, so that replicas can go on with it."""

from collections import OrderedDict
from typing import Final

from martlet.manifest import manifest_digest
from martlet.runtime.tracing import Tracer
from martlet.v1 import registry_pb2 as pb

MOST: Final = 1024


class PublishTraces:
    """Lives on one event loop. A registry that starts again has forgotten them."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._of: OrderedDict[str, str] = OrderedDict()

    def publishing(self, manifest: bytes) -> None:
        """A version is offered, in the span around this."""
        trace = self._tracer.current()
        if trace:
            self._of[manifest_digest(manifest)] = trace
            if len(self._of) > MOST:
                self._of.popitem(last=False)

    def tell(self, aspired: pb.WatchAspiredResponse) -> pb.WatchAspiredResponse:
        """The set, with what is known of its versions."""
        for model in aspired.models:
            for version in model.versions:
                version.trace_parent = self._of.get(version.digest, "")
        return aspired
