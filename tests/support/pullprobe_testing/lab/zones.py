"""DNS of a VPC of the lab: split-horizon zones for unbound, or the same names for dnsmasq."""

from pullprobe_testing.lab.subnet import (
    DEPENDENCIES,
    DUAL_STACK_HOST,
    FILE_SYSTEM_HOST,
    HUB,
    HUB_HOSTS,
    NAT64_PREFIX,
    PUBLIC,
    PUBLIC_IPV6,
)
from pullprobe_testing.region import HOST, REGION
from pullprobe_testing.servers import Dns, zone

IPV6_PREFIX = "fd00:10:0"  # the VPC's IPv6 addresses
# What the container agent of an instance calls; its address is only there where a test adds it.
AGENT_HOSTS = [f"{name}.{REGION}.amazonaws.com" for name in ("ecs", "ecs-a", "ecs-t")]
AGENT_ADDRESS = "3.208.7.98"
# Of AWS; a task on Fargate needs none of them.
OTHER_NAMES = {
    f"sts.{REGION}.amazonaws.com": "3.208.7.99",
    **dict.fromkeys(AGENT_HOSTS, AGENT_ADDRESS),
}


def records_of(subnet, dependency):
    """Returns the records of a dependency's name."""
    state = subnet.names.get(dependency)
    addresses = state if isinstance(state, list) else subnet.addresses(dependency)
    records = [f"A {address}" for address in addresses]
    if has_ipv6(subnet, dependency):
        records.append(f"AAAA {ipv6_of(subnet, dependency)}")
    return records


def has_ipv6(subnet, dependency):
    """Whether the ordinary name of a dependency has IPv6 addresses."""
    if subnet.ipv6 == "only":
        return DUAL_STACK_HOST[dependency] == HOST[dependency]
    return bool(subnet.ipv6) and dependency in DEPENDENCIES


def ipv6_of(subnet, dependency):
    """Returns the IPv6 address of a dependency."""
    private = f"{IPV6_PREFIX}:9::{11 + DEPENDENCIES.index(dependency)}"
    return private if dependency in subnet.private else PUBLIC_IPV6[dependency]


def unbound_zones(subnet):
    """Returns unbound's lines: one zone per service, and one zone for AWS's public names."""
    if subnet.resolver == "servfail":
        return """
forward-zone:
    name: "."
    forward-tcp-upstream: yes
    forward-addr: 127.0.0.1@1
"""
    if subnet.resolver in ("refused", "nxdomain", "nodata"):
        refused = subnet.resolver == "refused"
        kind = "always_refuse" if refused else f"always_{subnet.resolver}"
        root = kind if refused else "static"
        return f'    local-zone: "." {root}\n    local-zone: "amazonaws.com." {kind}\n'
    zones = [zone(".", "static"), zone("amazonaws.com.", "static", Dns.PUBLIC_SOA)]
    hosts = {**OTHER_NAMES, **dict.fromkeys(HUB_HOSTS, PUBLIC[HUB])}
    if subnet.file_system:
        hosts[FILE_SYSTEM_HOST] = subnet.mount_target
    zones += [f'    local-data: "{host}. 60 IN A {address}"' for host, address in hosts.items()]
    if subnet.ipv6 == "only":
        zones += [
            f'    local-data: "{host}. 60 IN AAAA {NAT64_PREFIX}{PUBLIC[HUB]}"'
            for host in HUB_HOSTS
        ]
        for dependency, host in DUAL_STACK_HOST.items():
            if host != HOST[dependency]:
                both = [*records_of(subnet, dependency), f"AAAA {ipv6_of(subnet, dependency)}"]
                zones.append(zone(f"{host}.", "redirect", Dns.PRIVATE_SOA, *both))
    for dependency in DEPENDENCIES:
        state, name = subnet.names.get(dependency), f"{HOST[dependency]}."
        host = f"{subnet.host(dependency)}."
        # A DNS firewall blocks a name in whatever zone it is, and its response has no SOA.
        blocked = state in ("nxdomain", "nodata")
        if blocked:
            zones.append(zone(host, f"always_{state}"))
        if state == "no-record":  # a private hosted zone without records
            zones.append(zone(name, "static", Dns.PRIVATE_SOA))
        elif name != host or not blocked:
            kind = "static" if state == "no-wildcard" else "redirect"
            records = records_of(subnet, dependency)
            zones.append(zone(name, kind, Dns.PRIVATE_SOA, *records))
    return "\n".join(zones) + "\n"


def dnsmasq_names(subnet):
    """Returns dnsmasq's lines for the same names.

    dnsmasq has no zones: a name that it does not know does not exist, and its response has no SOA.
    """
    lines = ["local=/amazonaws.com/", "local=/docker.io/"]
    hosts = {**OTHER_NAMES, **dict.fromkeys(HUB_HOSTS, PUBLIC[HUB])}
    lines += [f"host-record={host},{address}" for host, address in hosts.items()]
    for dependency in DEPENDENCIES:
        state, name = subnet.names.get(dependency), HOST[dependency]
        addresses = [record.split()[1] for record in records_of(subnet, dependency)]
        if state == "nxdomain":
            lines.append(f"address=/{subnet.host(dependency)}/")
        if state == "no-wildcard":
            lines.append(f"host-record={name},{addresses[0]}")
        elif state != "no-record" and (state != "nxdomain" or name != subnet.host(dependency)):
            lines += [f"address=/{name}/{address}" for address in addresses]
    return "\n".join(lines) + "\n"
