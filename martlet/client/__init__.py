"""Clients of Martlet's services: typed results, the domain's errors, retries where they do no harm."""

from martlet.client.answer import Answer, BlockingAnswer
from martlet.client.bearer import TokenFile
from martlet.client.blocking_serving import BlockingServingClient
from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from martlet.client.tls import Plaintext, Tls

__all__ = [
    "Answer",
    "BlockingAnswer",
    "BlockingServingClient",
    "CallPolicy",
    "Plaintext",
    "ServingClient",
    "Tls",
    "TokenFile",
]
