"""Composition of a publish: reads the files, opens store and registry, and has the version offered."""

from pathlib import Path

from martlet.client.registry import BlockingRegistryClient
from martlet.errors import InvalidInput
from martlet.runtime.config import Config
from martlet.runtime.parts import artifact_store
from martlet.signed_versions import signed_with
from martlet.versions import VersionRecord
from martlet.views import Places
from trainer_svc.frozen.named_inputs import read_named_inputs
from trainer_svc.frozen.publishing import frozen_graph, offer


def publish(file: Path, inputs: Path | None, model: str, places: Places, config: Config) -> VersionRecord:
    """Checks a frozen model before anything is stored, then offers it (see `publishing.offer`).

    Raises:
        InvalidInput: a file cannot be read, or the model cannot be served.
        Conflict, Unavailable: the registry does not take it now.
    """
    named = None if inputs is None else read_named_inputs(inputs)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror or error}") from error
    graph = frozen_graph(data, named)
    client = BlockingRegistryClient(places.registry, places.token, tls=places.tls)
    try:
        store = artifact_store(config, cached=False)
        return offer(graph, model, store, signed_with(config.signing.key, client, store))
    finally:
        client.close()
