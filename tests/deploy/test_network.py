"""The policies of the network let through what the services need, and nothing else: worked out, pod by pod."""

from itertools import product
from typing import Any

from tests.deploy.rendered import Document, ports, rendered, selects

OWN_NAMESPACE = {"kubernetes.io/metadata.name": "martlet"}
# Ports of what is not Martlet's: names, PostgreSQL, NATS, S3.
OUTSIDE = {"martlet-names": {53}, "martlet-registry": {5432}, "martlet-event-log": {4222}, "martlet-artifacts": {443}}
FLOWS = {("serving", "registry", "grpc"), ("trainer", "registry", "grpc")}


def policies() -> list[Document]:
    return rendered("production").of("NetworkPolicy")


def pods() -> dict[str, Document]:
    return rendered("production").pods()


def labels(component: str) -> dict[str, str]:
    found: dict[str, str] = pods()[component]["metadata"]["labels"]
    return found


def test_everything_is_denied_that_is_not_allowed() -> None:
    everything = [one for one in policies() if one["spec"]["podSelector"] == {}]
    assert [one["spec"]["policyTypes"] for one in everything] == [["Ingress", "Egress"]]
    assert all("ingress" not in one["spec"] and "egress" not in one["spec"] for one in everything)


def test_between_the_services_exactly_the_calls_that_there_are() -> None:
    allowed = {
        (caller, called, port)
        for caller, called in product(pods(), pods())
        for port in ports(pods()[called])
        if goes_out(labels(caller), labels(called), port) and comes_in(labels(called), labels(caller), port)
    }
    assert allowed == FLOWS


def test_callers_reach_serving_alone_and_prometheus_the_metrics_alone() -> None:
    client, prometheus = {"martlet-client": "true"}, {"kubernetes.io/metadata.name": "monitoring"}
    stranger = {"kubernetes.io/metadata.name": "elsewhere"}
    for component, pod in pods().items():
        for port in ports(pod):
            to = labels(component)
            assert comes_in(to, {}, port, client) == ((component, port) == ("serving", "grpc"))
            assert comes_in(to, client, port) == ((component, port) == ("serving", "grpc"))
            assert comes_in(to, {}, port, prometheus) == (port == "metrics")
            assert not comes_in(to, client, port, stranger)


def test_every_port_is_one_that_a_container_has_or_a_known_part_listens_on() -> None:
    for policy in policies():
        spec = policy["spec"]
        for rule in spec.get("ingress", []):
            chosen = [pod for component, pod in pods().items() if selects(spec["podSelector"], labels(component))]
            assert chosen
            assert all(port["port"] in ports(pod) for port in rule["ports"] for pod in chosen)
        outside = {port["port"] for rule in spec.get("egress", []) for port in rule["ports"]} - {"grpc"}
        assert outside <= OUTSIDE.get(policy["metadata"]["name"], set())


def test_each_part_is_reached_by_those_that_use_it_alone() -> None:
    """The registry knows no event log; serving and the trainer know no database; all know the artifacts."""
    users = {
        port: {component for component in pods() if port in _outside_ports(component)} for port in (53, 443, 4222, 5432)
    }
    everybody = {"registry", "serving", "trainer"}
    assert users == {53: everybody, 443: everybody, 4222: {"serving", "trainer"}, 5432: {"registry"}}


def goes_out(caller: dict[str, str], called: dict[str, str], port: str) -> bool:
    """Whether a pod may open a connection to another of the same namespace."""
    return _allows("egress", "to", caller, called, port, OWN_NAMESPACE)


def comes_in(
    called: dict[str, str], caller: dict[str, str], port: str, namespace: dict[str, str] = OWN_NAMESPACE
) -> bool:
    """Whether a pod takes a connection."""
    return _allows("ingress", "from", called, caller, port, namespace)


def _allows(
    way: str, end: str, own: dict[str, str], other: dict[str, str], port: str, namespace: dict[str, str]
) -> bool:
    chosen = (one["spec"] for one in policies() if selects(one["spec"]["podSelector"], own))
    rules = (rule for spec in chosen for rule in spec.get(way, []))
    return any(
        port in {one["port"] for one in rule["ports"]} and any(_is(peer, other, namespace) for peer in rule[end])
        for rule in rules
    )


def _is(peer: dict[str, Any], pod: dict[str, str], namespace: dict[str, str]) -> bool:
    if "ipBlock" in peer:
        return False
    own = selects(peer["namespaceSelector"], namespace) if "namespaceSelector" in peer else namespace == OWN_NAMESPACE
    return own and selects(peer.get("podSelector", {}), pod)


def _outside_ports(component: str) -> set[int]:
    chosen = [one["spec"] for one in policies() if selects(one["spec"]["podSelector"], labels(component))]
    return {
        port["port"]
        for spec in chosen
        for rule in spec.get("egress", [])
        for port in rule["ports"]
        if isinstance(port["port"], int)
    }
