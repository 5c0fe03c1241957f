"""Every fault of the lab: its name, the causes that are injected, and what it changes in a subnet.

A network fault comes once for each path that it can act on (`@endpoint`: interface endpoints and a
gateway endpoint for S3, `@nat`: a NAT gateway, `@mixed`: endpoints for ECR only), for all
dependencies and limited to one (`:logs`). `ambiguous` says why packets cannot rank the cause
first; without it the injected cause must be the first finding.
"""

import dataclasses
from collections.abc import Callable

from pullprobe_testing.aws_error_proxy import PLAIN_S3, POLICY_CLAUSE, STEP, denial
from pullprobe_testing.lab.pairs import PAIRS
from pullprobe_testing.lab.subnet import (
    CUSTOM_RESOLVER,
    DEPENDENCIES,
    ENVIRONMENT_FILE,
    HUB,
    INTERFACE,
    PATHS,
    PUBLIC,
    S3_ADDRESSES,
    Subnet,
)
from pullprobe_testing.region import REGISTRY_HOST


@dataclasses.dataclass(frozen=True)
class Fault:
    """One subnet of the lab, and what the report about it must say."""

    name: str
    causes: tuple  # injected causes; none in a healthy variant
    subnet: Subnet
    ambiguous: str = ""  # why the cause need not be the first finding
    starts: bool = False  # the task would start, so the verdict must not be `fail`
    # Of the faults of judged.py:
    kind: str = ""
    also: tuple = ()  # other causes that are true of it, or that the same packets prove
    fails: bool = True  # the task would not start; without `starts` either one can happen
    repeats: int = 1  # runs in a row, where chance decides
    alone: bool = False  # the load of other subnets would change what is measured


@dataclasses.dataclass(frozen=True)
class NetworkFault:
    """A fault of the path. `change` takes a subnet and the dependencies that are affected."""

    name: str
    cause: str
    paths: tuple
    limits: tuple  # dependencies that it is limited to, one at a time; '' affects all
    change: Callable
    ambiguous: str = ""


@dataclasses.dataclass(frozen=True)
class ResponseFault:
    """A fault in what a service, or the task's own configuration, returns."""

    name: str
    cause: str
    change: Callable
    ambiguous: str = ""


def healthy():
    """Yields the variants in which everything works: name, path, change."""
    yield "endpoints", "endpoint", lambda s: None
    yield "nat", "nat", lambda s: None
    yield "mixed", "mixed", lambda s: None
    yield "public-address", "nat", lambda s: update(s, internet="public")
    yield "endpoints-in-task-subnet", "endpoint", lambda s: s.inside.update(INTERFACE)
    yield "ipv6-beside-ipv4", "endpoint", lambda s: update(s, ipv6="works")
    yield "ipv6-answers-without-ipv6", "endpoint", lambda s: update(s, ipv6="answers")
    yield "vpc-172.40", "endpoint", lambda s: update(s, vpc="172.40")
    yield "vpc-100.64", "endpoint", lambda s: update(s, vpc="100.64")
    yield "vpc-172.40-nat", "nat", lambda s: update(s, vpc="172.40")
    yield "busy-machine", "endpoint", lambda s: update(s, burners=4)
    yield "latency-100ms", "endpoint", lambda s: update(s, latency_ms=100)
    yield "latency-100ms-nat", "nat", lambda s: update(s, latency_ms=100)
    yield "one-zone", "endpoint", lambda s: update(s, zones=1)
    yield "s3-with-four-addresses", "endpoint", lambda s: update(s, s3_addresses=4)
    yield "docker-hub-nat", "nat", lambda s: update(s, hub_image=HUB_IMAGE)
    yield "docker-hub-mixed", "mixed", lambda s: update(s, hub_image=HUB_IMAGE)
    yield "custom-resolver", "endpoint", lambda s: update(s, resolver_host=CUSTOM_RESOLVER)
    yield "resolver-dnsmasq", "endpoint", lambda s: update(s, dnsmasq=True)
    yield "resolver-dnsmasq-nat", "nat", lambda s: update(s, dnsmasq=True)
    yield "private-as-expected", "endpoint", lambda s: update(s, expect_private=True)
    yield "path-loses-every-tenth-packet", "endpoint", lambda s: update(s, loss=10)
    yield "path-loses-every-tenth-packet-nat", "nat", lambda s: update(s, loss=10)
    yield "nat-translates-ports", "nat", lambda s: update(s, nat_acl=1024)
    yield "resolver-loses-every-tenth-packet", "endpoint", lambda s: update(s, resolver="loses")
    yield (
        "file-system-and-environment-file",
        "endpoint",
        lambda s: update(s, file_system="answers", environment_file=ENVIRONMENT_FILE),
    )
    yield (
        "file-system-and-environment-file-nat",
        "nat",
        lambda s: update(s, file_system="answers", environment_file=ENVIRONMENT_FILE),
    )
    yield (
        "answers-after-one-second",
        "endpoint",
        lambda s: [behave(s, name, "slow:1") for name in INTERFACE],
    )


HUB_IMAGE = "docker.io/team/app:1.4"
# Causes that only warn, and names of faults of other causes that do.
WARNINGS = ("service-slow", "endpoint-address-unreachable", "public-answer-where-private-expected")
WARNING_FAULTS = (
    "first-resolver-",
    "acl-without-low-ports",
    "endpoint-group-ipv4",
    "s3-gateway-ipv4",
)
BOTH = ("endpoint", "nat")
LIMITS = ("ecr.api", "ecr.dkr", "s3", "logs")  # the other dependencies add nothing new
RESOLVER_OR_FILTER = "a stopped resolver and a filter in front of it are equally silent"
ROUTE_OR_FILTER = "a missing route, a security group and a network ACL are equally silent"
DEAD_ADDRESS = "a dead address looks the same"

NETWORK = [
    NetworkFault(
        "task-group",
        "task-security-group-egress",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.task_group.update(addresses_or_all(s, d)),
        ROUTE_OR_FILTER,
    ),
    NetworkFault(
        "acl-outbound",
        "network-acl",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.acl_out.update(addresses_or_all(s, d)),
        ROUTE_OR_FILTER,
    ),
    NetworkFault(
        "acl-return",
        "network-acl",
        BOTH,
        ("", *LIMITS),
        lambda s, d: narrow_acl(s, d, 65536),
        ROUTE_OR_FILTER,
    ),
    NetworkFault(
        "acl-narrow", "network-acl", BOTH, ("", *LIMITS), lambda s, d: narrow_acl(s, d, 49152)
    ),
    NetworkFault(
        "refused",
        "connection-refused",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.refuses.update(s.of(*d)),
    ),
    NetworkFault(
        "reset", "connection-reset", BOTH, ("", *LIMITS), lambda s, d: s.resets.update(s.of(*d))
    ),
    NetworkFault(
        "client-hello-dropped",
        "tls-stalled",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.swallows.update(s.of(*d)),
    ),
    NetworkFault(
        "intercepted",
        "tls-intercepted",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.intercepts.update(s.of(*d)),
    ),
    NetworkFault(
        "small-link",
        "mtu-black-hole",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.small_link.update(s.of(*d)),
    ),
    NetworkFault(
        "small-link-out",
        "mtu-black-hole",
        BOTH,
        ("", *LIMITS[:2], "logs"),
        lambda s, d: s.small_link_out.update(s.of(*d)),
    ),
    NetworkFault(
        "wrong-name",
        "tls-wrong-name",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.certificates.update(dict.fromkeys(d, "wrong-name")),
    ),
    NetworkFault(
        "expired",
        "tls-expired",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.certificates.update(dict.fromkeys(d, "expired")),
    ),
    NetworkFault(
        "hangs",
        "service-unresponsive",
        BOTH,
        ("", *LIMITS),
        lambda s, d: [behave(s, name, "hang") for name in d],
    ),
    NetworkFault(
        "broken",
        "service-unresponsive",
        BOTH,
        LIMITS,
        lambda s, d: [behave(s, name, "broken") for name in d],
    ),
    NetworkFault(
        "slow",
        "service-slow",
        BOTH,
        ("ecr.api", "ecr.dkr:manifest", "logs"),
        lambda s, d: [behave(s, name.split(":")[0], f"slow:3.4{name[7:]}") for name in d],
    ),
    NetworkFault(
        "firewalled-name",
        "name-not-found",
        BOTH,
        LIMITS,
        lambda s, d: s.names.update(dict.fromkeys(d, "nxdomain")),
    ),
    NetworkFault(
        "nodata",
        "name-not-found",
        BOTH,
        ("logs",),
        lambda s, d: s.names.update(dict.fromkeys(d, "nodata")),
    ),
    NetworkFault(
        "empty-zone",
        "private-zone-shadows-name",
        BOTH,
        LIMITS,
        lambda s, d: s.names.update(dict.fromkeys(d, "no-record")),
    ),
    NetworkFault(
        "no-wildcard",
        "private-zone-shadows-name",
        BOTH,
        ("ecr.dkr",),
        lambda s, d: s.names.update(dict.fromkeys(d, "no-wildcard")),
    ),
    NetworkFault(
        "stale-zone",
        "name-points-elsewhere",
        BOTH,
        ("", *LIMITS),
        lambda s, d: s.names.update(
            {name: [f"{s.vpc}.9.{77 + DEPENDENCIES.index(name)}"] for name in d}
        ),
        "an unused address is as silent as a filtered one",
    ),
    NetworkFault(
        "another-service",
        "name-points-elsewhere",
        ("endpoint",),
        ("ecr.api", "ecr.dkr", "logs"),
        lambda s, d: s.names.update({name: s.addresses("ssm") for name in d}),
    ),
    NetworkFault(
        "resolver-silent",
        "resolver-unreachable",
        BOTH,
        ("",),
        lambda s, d: update(s, resolver="silent"),
    ),
    NetworkFault(
        "resolver-fails",
        "resolver-failure",
        BOTH,
        ("",),
        lambda s, d: update(s, resolver="servfail"),
    ),
    NetworkFault(
        "resolver-refuses",
        "resolver-failure",
        BOTH,
        ("",),
        lambda s, d: update(s, resolver="refused"),
    ),
    NetworkFault(
        "no-aws-names", "name-not-found", BOTH, ("",), lambda s, d: update(s, resolver="nxdomain")
    ),
    NetworkFault(
        "no-aws-records", "name-not-found", BOTH, ("",), lambda s, d: update(s, resolver="nodata")
    ),
    NetworkFault(
        "never-accepts",
        "tls-stalled",
        BOTH,
        LIMITS,
        lambda s, d: s.listeners.update(dict.fromkeys(s.of(*d), "mute")),
    ),
    NetworkFault(
        "closes-connection",
        "connection-reset",
        BOTH,
        LIMITS,
        lambda s, d: s.listeners.update(dict.fromkeys(s.of(*d), "closes")),
    ),
    NetworkFault(
        "no-tls",
        "name-points-elsewhere",
        BOTH,
        LIMITS,
        lambda s, d: s.listeners.update(dict.fromkeys(s.of(*d), "http")),
    ),
    NetworkFault(
        "block-page",
        "answered-by-intermediary",
        BOTH,
        ("ecr.api", "ecr.dkr", "logs"),
        lambda s, d: [behave(s, name, "page") for name in d],
    ),
    # A custom resolver: unlike the VPC's, it is behind the filters.
    NetworkFault(
        "custom-resolver-silent",
        "resolver-unreachable",
        BOTH,
        ("",),
        lambda s, d: update(s, resolver_host=CUSTOM_RESOLVER, resolver="silent"),
    ),
    NetworkFault(
        "custom-resolver-group",
        "task-security-group-egress",
        BOTH,
        ("",),
        lambda s, d: update(s, resolver_host=CUSTOM_RESOLVER, closed_53="group"),
        RESOLVER_OR_FILTER,
    ),
    NetworkFault(
        "custom-resolver-acl",
        "network-acl",
        BOTH,
        ("",),
        lambda s, d: update(s, resolver_host=CUSTOM_RESOLVER, closed_53="acl"),
        RESOLVER_OR_FILTER,
    ),
    NetworkFault(
        "custom-resolver-acl-return",
        "network-acl",
        BOTH,
        ("",),
        lambda s, d: update(s, resolver_host=CUSTOM_RESOLVER, closed_53="acl-return"),
        RESOLVER_OR_FILTER,
    ),
    NetworkFault(
        "custom-resolver-tcp-group",
        "task-security-group-egress",
        BOTH,
        ("",),
        lambda s, d: long_answer(s, "group-tcp"),
        RESOLVER_OR_FILTER,
    ),
    NetworkFault(
        "custom-resolver-tcp-acl",
        "network-acl",
        BOTH,
        ("",),
        lambda s, d: long_answer(s, "acl-tcp"),
        RESOLVER_OR_FILTER,
    ),
    NetworkFault(
        "first-resolver-gone",
        "resolver-unreachable",
        BOTH,
        ("",),
        lambda s, d: update(s, first_resolver="5.54"),
    ),
    NetworkFault(
        "dnsmasq-empty-zone",
        "private-zone-shadows-name",
        BOTH,
        LIMITS,
        lambda s, d: update(s, dnsmasq=True, names=dict.fromkeys(d, "no-record")),
    ),
    NetworkFault(
        "dnsmasq-no-wildcard",
        "private-zone-shadows-name",
        BOTH,
        ("ecr.dkr",),
        lambda s, d: update(s, dnsmasq=True, names=dict.fromkeys(d, "no-wildcard")),
    ),
    NetworkFault(
        "dnsmasq-firewalled-name",
        "name-not-found",
        BOTH,
        ("ecr.dkr", "logs"),
        lambda s, d: update(s, dnsmasq=True, names=dict.fromkeys(d, "nxdomain")),
        "dnsmasq returns the same for a private hosted zone without the record",
    ),
    # Only where there are endpoints, and only where there are none.
    NetworkFault(
        "endpoint-missing",
        "interface-endpoint-missing",
        ("endpoint",),
        INTERFACE,
        lambda s, d: s.private.difference_update(d),
    ),
    NetworkFault(
        "private-dns-off",
        "interface-endpoint-missing",
        ("endpoint",),
        ("", *INTERFACE),
        lambda s, d: s.names.update({name: [PUBLIC[name]] for name in d if name != "s3"}),
    ),
    NetworkFault(
        "only-s3-gateway",
        "interface-endpoint-missing",
        ("endpoint",),
        ("",),
        lambda s, d: s.private.clear(),
    ),
    NetworkFault(
        "s3-gateway-missing",
        "s3-gateway-missing",
        ("endpoint",),
        ("",),
        lambda s, d: update(s, s3_gateway=False),
    ),
    NetworkFault(
        "endpoint-group",
        "endpoint-security-group",
        ("endpoint",),
        ("", *INTERFACE),
        lambda s, d: s.endpoint_groups.update(set(d) - {"s3"}),
    ),
    NetworkFault(
        "group-without-s3",
        "task-security-group-egress",
        ("endpoint",),
        ("s3",),
        lambda s, d: s.task_group.update(s.of("s3")),
        "a missing gateway endpoint is equally silent",
    ),
    NetworkFault(
        "dead-zone",
        "endpoint-address-unreachable",
        ("endpoint",),
        ("", "ecr.api", "ecr.dkr", "logs"),
        lambda s, d: s.dead.update(s.endpoint(name)[1] for name in d if name in s.private),
    ),
    NetworkFault(
        "dead-s3-address",
        "endpoint-address-unreachable",
        BOTH,
        ("",),
        lambda s, d: (update(s, s3_addresses=4), s.dead.add(S3_ADDRESSES[2])),
    ),
    NetworkFault(
        "endpoint-group-ipv4",
        "endpoint-security-group",
        ("endpoint",),
        ("ecr.api", "logs"),
        lambda s, d: (update(s, ipv6="works"), s.endpoint_groups.update(d)),
        DEAD_ADDRESS,
    ),
    NetworkFault(
        "s3-gateway-ipv4",
        "s3-gateway-missing",
        ("endpoint",),
        ("",),
        lambda s, d: update(s, ipv6="works", s3_gateway=False),
        DEAD_ADDRESS,
    ),
    NetworkFault(
        "group-of-one-zone",
        "task-security-group-egress",
        ("endpoint",),
        ("",),
        lambda s, d: s.task_group.update(s.endpoint(name)[1] for name in d if name in s.private),
        DEAD_ADDRESS,
    ),
    NetworkFault(
        "stale-record-of-three",
        "name-points-elsewhere",
        ("endpoint",),
        ("ecr.api", "logs"),
        lambda s, d: s.names.update(
            {name: [*s.endpoint(name)[:2], f"{s.vpc}.11.77"] for name in d}
        ),
        DEAD_ADDRESS,
    ),
    NetworkFault(
        "one-zone-group",
        "endpoint-security-group",
        ("endpoint",),
        ("ecr.dkr", "logs"),
        lambda s, d: (update(s, zones=1), s.endpoint_groups.update(d)),
    ),
    NetworkFault(
        "acl-of-one-zone",
        "network-acl",
        ("endpoint",),
        ("",),
        lambda s, d: s.acl_out.update(s.endpoint(name)[1] for name in d if name in s.private),
        DEAD_ADDRESS,
    ),
    NetworkFault(
        "nat-deleted", "no-egress-route", ("nat",), ("",), lambda s, d: update(s, internet="")
    ),
    NetworkFault(
        "nat-deleted",
        "no-egress-route",
        ("mixed",),
        ("",),
        lambda s, d: update(s, internet=""),
        "missing interface endpoints of these services look the same",
    ),
    NetworkFault(
        "no-public-address",
        "no-egress-route",
        ("nat",),
        ("",),
        lambda s, d: update(s, internet="igw"),
    ),
    NetworkFault(
        "no-public-address",
        "no-egress-route",
        ("mixed",),
        ("",),
        lambda s, d: update(s, internet="igw"),
        "missing interface endpoints of these services look the same",
    ),
    NetworkFault(
        "no-endpoint-and-no-nat",
        "interface-endpoint-missing",
        ("endpoint",),
        ("",),
        lambda s, d: (s.private.clear(), update(s, s3_gateway=False)),
        "a missing NAT gateway looks the same",
    ),
    # The NAT gateway's own subnet.
    NetworkFault(
        "nat-subnet-acl-out",
        "network-acl",
        ("nat", "mixed"),
        ("",),
        lambda s, d: update(s, nat_acl_out=True),
        ROUTE_OR_FILTER,
    ),
    NetworkFault(
        "nat-subnet-acl-narrow",
        "network-acl",
        ("nat", "mixed"),
        ("",),
        lambda s, d: update(s, nat_acl=32768),
    ),
    NetworkFault(
        "acl-without-low-ports", "network-acl", BOTH, ("",), lambda s, d: narrow_acl(s, d, 32768)
    ),
    # An EFS volume: its mount target's security group, or a deleted mount target.
    NetworkFault(
        "file-system-group",
        "file-system-unreachable",
        BOTH,
        ("",),
        lambda s, d: (update(s, file_system="answers"), s.task_group.add(s.mount_target)),
    ),
    NetworkFault(
        "file-system-gone",
        "file-system-unreachable",
        BOTH,
        ("",),
        lambda s, d: update(s, file_system="gone"),
    ),
    # A registry other than ECR.
    NetworkFault(
        "hub-rate-limited",
        "registry-rate-limited",
        ("nat", "mixed"),
        ("",),
        lambda s, d: hub(s, behaviour="rate-limited"),
    ),
    NetworkFault(
        "hub-repository",
        "repository-not-found",
        ("nat", "mixed"),
        ("",),
        lambda s, d: hub(s, "docker.io/other/app:1.4"),
    ),
    NetworkFault(
        "hub-tag",
        "image-not-found",
        ("nat", "mixed"),
        ("",),
        lambda s, d: hub(s, "docker.io/team/app:1.5"),
    ),
    NetworkFault(
        "hub-platform",
        "platform-mismatch",
        ("nat", "mixed"),
        ("",),
        lambda s, d: hub(s, "docker.io/team/app:arm-only"),
    ),
    NetworkFault("hub-no-egress", "no-egress-route", ("endpoint",), ("",), lambda s, d: hub(s)),
    NetworkFault(
        "hub-group",
        "task-security-group-egress",
        ("nat", "mixed"),
        ("",),
        lambda s, d: (hub(s), s.task_group.add(PUBLIC[HUB])),
        ROUTE_OR_FILTER,
    ),
    NetworkFault(
        "hub-refused",
        "connection-refused",
        ("nat",),
        ("",),
        lambda s, d: (hub(s), s.refuses.add(PUBLIC[HUB])),
    ),
    NetworkFault(
        "hub-intercepted",
        "tls-intercepted",
        ("nat",),
        ("",),
        lambda s, d: (hub(s), s.intercepts.add(PUBLIC[HUB])),
    ),
    NetworkFault(
        "hub-misspelt",
        "name-not-found",
        ("nat", "mixed"),
        ("",),
        lambda s, d: hub(s, "registry-1.dokcer.io/team/app:1.4"),
    ),
    NetworkFault(
        "hub-hangs", "service-unresponsive", ("nat",), ("",), lambda s, d: hub(s, behaviour="hang")
    ),
    # The clock of one service, not the task's.
    NetworkFault(
        "clock-of-one-service",
        "clock-skew",
        BOTH,
        ("ecr.api", "logs"),
        lambda s, d: [behave(s, name, "clock:660") for name in d],
    ),
    NetworkFault(
        "acl-around-own-subnet",
        "network-acl",
        ("endpoint",),
        ("",),
        lambda s, d: (
            s.inside.update({"ecr.api", "ecr.dkr"}),
            s.acl_out.update(s.of(*DEPENDENCIES) - s.of("ecr.api", "ecr.dkr")),
        ),
    ),
    NetworkFault(
        "public-where-private",
        "public-answer-where-private-expected",
        ("nat", "mixed"),
        ("",),
        lambda s, d: update(s, expect_private=True),
    ),
    NetworkFault(
        "private-expected-no-nat",
        "interface-endpoint-missing",
        ("nat",),
        ("",),
        lambda s, d: update(s, expect_private=True, internet=""),
        "a missing NAT gateway looks the same",
    ),
]

RESPONSES = [
    ResponseFault("no-role", "no-credentials", lambda s: update(s, credentials="none")),
    ResponseFault(
        "unknown-credentials-id", "no-credentials", lambda s: update(s, credentials="unknown")
    ),
    ResponseFault("credentials-hang", "no-credentials", lambda s: update(s, credentials="hang")),
    ResponseFault(
        "credentials-refused", "no-credentials", lambda s: update(s, credentials="refused")
    ),
    ResponseFault(
        "credentials-garbled", "no-credentials", lambda s: update(s, credentials="garbage")
    ),
    ResponseFault(
        "session-token-left-out", "no-credentials", lambda s: update(s, credentials="no-token")
    ),
    ResponseFault(
        "clock-a-day-ahead",
        "clock-skew",
        lambda s: update(s, credentials="expired", synchronized=False),
        "without credentials no service returns its time",
    ),
    ResponseFault(
        "credentials-expired", "credentials-expired", lambda s: update(s, credentials="expired")
    ),
    ResponseFault(
        "expired-token",
        "credentials-expired",
        lambda s: [behave(s, name, "expired-token") for name in INTERFACE],
    ),
    ResponseFault(
        "unknown-key", "credentials-invalid", lambda s: update(s, credentials="unknown-key")
    ),
    ResponseFault(
        "wrong-secret-key", "credentials-invalid", lambda s: update(s, credentials="wrong-secret")
    ),
    ResponseFault(
        "clock-ahead",
        "clock-skew",
        lambda s: [behave(s, name, "clock:-660") for name in DEPENDENCIES],
    ),
    ResponseFault(
        "clock-behind",
        "clock-skew",
        lambda s: [behave(s, name, "clock:660") for name in DEPENDENCIES],
    ),
    *(
        ResponseFault(
            f"{cause}:{step}",
            cause,
            lambda s, cause=cause, step=step: behave(s, STEP[step][0], denial(cause, step)),
        )
        for cause in POLICY_CLAUSE
        for step in STEP
        if step != "bytes"
    ),
    ResponseFault(
        "s3-endpoint-policy",
        "s3-endpoint-policy-denies",
        lambda s: behave(s, "s3", denial(PLAIN_S3, "bytes")),
    ),
    ResponseFault(
        "s3-endpoint-policy-named",
        "s3-endpoint-policy-denies",
        lambda s: behave(s, "s3", denial("endpoint-policy-denies", "bytes")),
    ),
    ResponseFault("secret-key", "kms-key-denies", lambda s: behave(s, "secretsmanager", "kms")),
    ResponseFault(
        "tag", "image-not-found", lambda s: update(s, image=f"{REGISTRY_HOST}/team/app:1.5")
    ),
    ResponseFault(
        "digest",
        "image-not-found",
        lambda s: update(s, image=f"{REGISTRY_HOST}/team/app@sha256:{'0' * 64}"),
    ),
    ResponseFault(
        "repository",
        "repository-not-found",
        lambda s: update(s, image=f"{REGISTRY_HOST}/other/app:1.4"),
    ),
    ResponseFault(
        "platform",
        "platform-mismatch",
        lambda s: update(s, image=f"{REGISTRY_HOST}/team/app:arm-only"),
    ),
    ResponseFault(
        "platform-of-one-manifest",
        "platform-mismatch",
        lambda s: update(s, image=f"{REGISTRY_HOST}/team/app:arm-manifest"),
    ),
    ResponseFault(
        "layer",
        "layer-unavailable",
        lambda s: update(s, image=f"{REGISTRY_HOST}/team/app:layer-gone"),
    ),
    ResponseFault(
        "registry-login", "registry-login-failed", lambda s: behave(s, "ecr.dkr", "login")
    ),
    ResponseFault("secret", "secret-not-found", lambda s: update(s, secret="absent")),
    ResponseFault(
        "secret-json-key", "secret-json-key-missing", lambda s: update(s, secret="no-key")
    ),
    ResponseFault("secret-not-json", "secret-not-json", lambda s: update(s, secret="not-json")),
    ResponseFault(
        "secret-version", "secret-version-missing", lambda s: update(s, secret="no-version")
    ),
    ResponseFault("parameter", "parameter-not-found", lambda s: update(s, parameter=False)),
    ResponseFault("log-group", "log-group-missing", lambda s: update(s, log_group="/ecs/absent")),
    ResponseFault("throttled", "throttled", lambda s: behave(s, "ecr.api", "throttled")),
    ResponseFault(
        "environment-file",
        "environment-file-missing",
        lambda s: update(s, environment_file="absent.env"),
    ),
    ResponseFault(
        "file-system-denied", "file-system-denied", lambda s: update(s, file_system="denies")
    ),
]


def update(subnet, **values):
    for name, value in values.items():
        setattr(subnet, name, value)


def behave(subnet, dependency, behaviour):
    subnet.behaviour.setdefault(dependency, []).append(behaviour)


def hub(subnet, image=HUB_IMAGE, behaviour=""):
    update(subnet, hub_image=image)
    if behaviour:
        behave(subnet, HUB, behaviour)


def long_answer(subnet, closed):
    """Gives S3's name more addresses than a datagram holds, and closes TCP to the resolver."""
    update(subnet, resolver_host=CUSTOM_RESOLVER, closed_53=closed)
    subnet.names["s3"] = [f"52.216.11.{number}" for number in range(1, 41)]


def addresses_or_all(subnet, dependencies):
    """Returns the addresses of some dependencies, or 'all' for all dependencies."""
    return subnet.of(*dependencies) if len(dependencies) < len(DEPENDENCIES) else {"all"}


def narrow_acl(subnet, dependencies, lowest):
    """Closes the network ACL, inbound, for ephemeral ports below `lowest`."""
    subnet.acl_back.update(dict.fromkeys(addresses_or_all(subnet, dependencies), lowest))


# Whether a run meets them depends on the source ports that the kernel picks, or on the packets that
# the path loses. They are judged by the rules of judged.py and have no row in the matrix.
BY_CHANCE = (
    "nat-subnet-acl-narrow",
    "healthy/path-loses",
    "healthy/resolver-loses",
)


def singles():
    """Yields every single fault: its name, and (cause, path, change, ambiguous)."""
    for fault in NETWORK:
        for path in fault.paths:
            for limit in fault.limits:
                affected = [limit] if limit else DEPENDENCIES
                name = f"{fault.name}:{limit}" if limit else fault.name

                def change(subnet, fault=fault, affected=affected):
                    fault.change(subnet, affected)

                yield f"{name}@{path}", (fault.cause, path, change, fault.ambiguous)
    for path in PATHS:
        for fault in RESPONSES:
            name = fault.name if path == "endpoint" else f"{fault.name}@{path}"
            yield name, (fault.cause, path, fault.change, fault.ambiguous)


def faults():
    """Yields all faults in the order of the matrix."""
    for name, path, change in healthy():
        yield build(f"healthy/{name}", (), path, [change])
    known = dict(singles())
    for name, (cause, path, change, ambiguous) in known.items():
        yield build(name, (cause,), path, [change], ambiguous)
    for line in PAIRS.strip().splitlines():
        one, other, *words = line.split()
        path = next((name.split("@")[1] for name in (one, other) if "@" in name), "endpoint")
        causes, _, changes, reasons = zip(known[one], known[other], strict=True)
        reason = " ".join(words) or "; ".join(filter(None, reasons))
        yield build(f"{one} + {other}", causes, path, changes, reason)


def build(name, causes, path, changes, ambiguous=""):
    subnet = PATHS[path]()
    for change in changes:
        change(subnet)
    if any(part.startswith(BY_CHANCE) for part in name.split(" + ")):
        return Fault(name, causes, subnet, kind="chance", starts=not causes, fails=False)
    warns = len(causes) == 1 and (causes[0] in WARNINGS or name.startswith(WARNING_FAULTS))
    return Fault(name, causes, subnet, ambiguous, starts=warns)
