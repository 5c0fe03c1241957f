"""nftables rules of a VPC: security groups, network ACLs, NAT, middleboxes."""

from pullprobe_testing.lab import middlebox
from pullprobe_testing.lab.subnet import PUBLIC
from pullprobe_testing.region import TASK_ENDPOINT

NAT_ADDRESS = "203.0.113.10"
INTERCEPTOR_PORT = 8443
NAT_PORT = 40000  # the first port of a NAT gateway that has few
SYN = "tcp dport 443 tcp flags & (syn|ack) == syn"
MIN_CLIENT_HELLO = 120  # bytes: every ClientHello is longer, and no SYN or bare ACK is
NO_ICMP_ERRORS = "oifname != lo icmp type { destination-unreachable, time-exceeded } drop;"


def table(name, *chains):
    return f"table ip {name} {{\n" + "\n".join(chains) + "\n}\n"


def chain(hook, priority, *rules, kind="filter"):
    lines = [
        f"chain {hook} {{",
        f"type {kind} hook {hook} priority {priority};",
        *(rule for rule in rules if rule),
        "}",
    ]
    return "\n".join(lines)


def drops(field, addresses, exempt=None, condition=""):
    """Returns a rule that drops silently.

    With `'all'` among the addresses it drops all but `exempt`.
    """
    if not addresses:
        return ""
    if "all" in addresses:
        return f"{condition} {field} != {{ {exempt} }} drop;" if exempt else f"{condition} drop;"
    return f"{condition} {field} {{ {', '.join(sorted(addresses))} }} drop;"


def always_open(subnet):
    """Returns what neither filter of a VPC acts on: loopback, link-local, the VPC's resolver."""
    return f"127.0.0.0/8, 169.254.0.0/16, {subnet.vpc}.0.2"


def closed_dns(subnet, where):
    """Returns the match of DNS queries that `where` ('group' or 'acl') is to drop, or ''."""
    if subnet.closed_53 not in (where, f"{where}-tcp"):
        return ""
    protocol = "tcp" if subnet.closed_53.endswith("-tcp") else "{ tcp, udp }"
    return f"ip daddr {subnet.resolver_address} meta l4proto {protocol} th dport 53"


def task_rules(subnet):
    """Returns the task's security group, outbound; and a refusing credentials endpoint."""
    dns = closed_dns(subnet, "group")
    refused = subnet.credentials == "refused"
    return table(
        "security_group",
        chain(
            "output",
            "0",
            drops("ip daddr", subnet.task_group, always_open(subnet), "ct state new"),
            f"{dns} ct state new drop;" if dns else "",
        ),
        chain(
            "input",
            "0",
            f"ip daddr {TASK_ENDPOINT} tcp dport 80 reject with tcp reset;" if refused else "",
        ),
    )


def endpoint_rules(subnet):
    """Returns the security groups of the interface endpoints, inbound; and dead addresses."""
    closed = subnet.of(*subnet.endpoint_groups)
    return table(
        "security_groups",
        chain(
            "input",
            "0",
            drops("ip daddr", closed, None, "ct state new"),
            drops("ip daddr", subnet.dead),
        ),
    )


def internet_rules(subnet):
    """Returns the internet gateway, which passes no private source address; and dead addresses."""
    public = {PUBLIC[name] for name in subnet.endpoint_groups if name not in subnet.private}
    return table(
        "internet",
        chain(
            "input",
            "0",
            f"iifname vpc ip saddr {subnet.vpc}.0.0/16 drop;",
            drops("ip daddr", subnet.dead | public),
        ),
    )


def router_rules(subnet):
    """Returns network ACLs, NAT gateway, middleboxes and the resolver's faults."""
    return "".join(
        [
            network_acls(subnet),
            gateways(subnet),
            middleboxes(subnet),
            resolver_faults(subnet),
            # A VPC's router never reports why it dropped a packet.
            table("silence", chain("output", "0", NO_ICMP_ERRORS)),
        ]
    )


def network_acls(subnet):
    """Stateless: each direction is filtered by addresses and ports alone.

    The NAT gateway's subnet has its own ACL, which sees the ports that the gateway chose.
    """
    dns = closed_dns(subnet, "acl")
    nat_return = f"iifname internet ip daddr {NAT_ADDRESS} tcp dport < {subnet.nat_acl} drop;"
    inbound = [
        drops("ip daddr", subnet.acl_out, always_open(subnet), "iifname subnet tcp dport 443"),
        f"iifname subnet {dns} drop;" if dns else "",
        nat_return if subnet.nat_acl else "",
        # The router sees a delayed packet twice: connection tracking must not see the first time.
        "iifname subnet notrack;" if subnet.latency_ms else "",
    ]
    resolver = subnet.resolver_address
    dns_return = f"oifname subnet ip saddr {resolver} udp sport 53 drop;"
    outbound = [
        *(closed_ports(source, lowest) for source, lowest in subnet.acl_back.items()),
        dns_return if subnet.closed_53 == "acl-return" else "",
        "oifname internet tcp dport 443 drop;" if subnet.nat_acl_out else "",
    ]
    return table(
        "network_acl",
        chain("prerouting", "raw", *inbound),
        chain("postrouting", "300", *outbound),
    )


def closed_ports(source, lowest):
    """Returns the rule that drops responses to ephemeral ports below `lowest`."""
    match = "" if source == "all" else f"ip saddr {source}"
    return f"oifname subnet {match} ip protocol tcp tcp dport 1024-{lowest - 1} drop;"


def gateways(subnet):
    caught = [
        f"iifname subnet ip daddr {address} tcp dport 443 redirect to :{INTERCEPTOR_PORT};"
        for address in subnet.intercepts
    ]
    caught += [
        f"iifname subnet ip daddr {address} tcp dport 443 redirect to :{middlebox.PORT};"
        for address in subnet.of(*subnet.boxes)
    ]
    caught += many_addresses(subnet)
    ports = " fully-random" if subnet.nat_acl else ""
    protocol = ""
    if subnet.nat_ports:
        protocol, ports = "ip protocol tcp", f":{NAT_PORT}-{NAT_PORT + subnet.nat_ports - 1}"
    source = f"ip saddr {subnet.vpc}.0.0/16 {protocol}"
    source_nat = f"oifname internet {source} snat to {NAT_ADDRESS}{ports};"
    translates = subnet.internet in ("nat", "public")
    return table(
        "gateways",
        chain("prerouting", "dstnat", *caught, kind="nat"),
        chain("postrouting", "srcnat", source_nat if translates else "", kind="nat"),
    )


def many_addresses(subnet):
    """Returns the rules that lead the 900 addresses of a name to the one with a server.

    With 'half-answer' the addresses with an even last octet lead nowhere.
    """
    if not subnet.many:
        return []
    dependency, which = subnet.many
    mask = "" if which == "answer" else "ip daddr & 0.0.0.1 == 0.0.0.1"
    target = subnet.addresses(dependency)[0]
    return [f"iifname subnet ip daddr {subnet.vpc}.20.0/22 {mask} dnat to {target};"]


def middleboxes(subnet):
    hello = f"tcp dport 443 meta length > {MIN_CLIENT_HELLO}"
    loss = f"meta l4proto tcp numgen random mod 100 < {subnet.loss} drop;"
    return table(
        "middlebox",
        chain(
            "forward",
            "0",
            *(f"ip daddr {ip} {hello} reject with tcp reset;" for ip in subnet.resets),
            *(f"ip daddr {ip} {hello} drop;" for ip in subnet.swallows),
            loss if subnet.loss else "",
            *every_nth(subnet.refuses_syn, "reject with tcp reset"),
            *every_nth(subnet.loses_syn, "drop"),
            f"tcp dport 443 ct state new ct count over {subnet.connections} drop;"
            if subnet.connections
            else "",
            # Five at once are admitted, as nft's and iptables' limits do.
            f"{SYN} limit rate over {subnet.syn_rate}/second burst 5 packets drop;"
            if subnet.syn_rate
            else "",
        ),
    )


def every_nth(addresses, verdict):
    return (
        f"ip daddr {ip} {SYN} numgen inc mod {n} == 0 {verdict};" for ip, n in addresses.items()
    )


def resolver_faults(subnet):
    silent = "iifname subnet meta l4proto { tcp, udp } th dport 53 drop;"
    loses = "iifname subnet udp dport 53 numgen inc mod 10 == 0 drop;"
    return table(
        "resolver",
        chain(
            "input",
            "0",
            silent if subnet.resolver == "silent" else "",
            loses if subnet.resolver == "loses" else "",
        ),
    )
