"""Clients of Martlet's services: typed results, the domain's errors, retries where they do no harm."""

from martlet.client.answer import Answer, BlockingAnswer
from martlet.client.blocking_serving import BlockingServingClient
from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient

__all__ = ["Answer", "BlockingAnswer", "BlockingServingClient", "CallPolicy", "ServingClient"]
