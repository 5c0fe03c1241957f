"""What the VPC's resolver says, as its configuration: split-horizon zones for unbound, or the same names for dnsmasq."""
from region import HOST, REGION
from servers import Dns, zone
from subnet import ALL, FILE_SYSTEM_HOST, HUB, HUB_HOSTS, PUBLIC, PUBLIC_6

V6 = 'fd00:10:0'  # the VPC's IPv6 addresses
OTHERS = {f'sts.{REGION}.amazonaws.com': '3.208.7.99'}  # names of AWS's that no task of the lab needs


def records_of(subnet, role):
    state = subnet.names.get(role)
    addresses = state if isinstance(state, list) else subnet.addresses(role)
    records = [f'A {address}' for address in addresses]
    if subnet.ipv6 and role in ALL:
        records.append(f'AAAA {V6}:9::{11 + ALL.index(role)}' if role in subnet.private else f'AAAA {PUBLIC_6[role]}')
    return records


def unbound(subnet):
    """One zone for each service, as tests/real has them; public names live in one zone of AWS's own."""
    if subnet.resolver in ('servfail', 'refused', 'nxdomain', 'nodata'):
        kind = {'refused': 'always_refuse', 'nxdomain': 'always_nxdomain', 'nodata': 'always_nodata'}.get(subnet.resolver)
        if kind is None:
            return '\nforward-zone:\n    name: "."\n    forward-tcp-upstream: yes\n    forward-addr: 127.0.0.1@1\n'
        return f'    local-zone: "." {kind if subnet.resolver == "refused" else "static"}\n    local-zone: "amazonaws.com." {kind}\n'
    zones = [zone('.', 'static'), zone('amazonaws.com.', 'static', Dns.PUBLIC_SOA)]
    zones += [f'    local-data: "{name}. 60 IN A {address}"' for name, address in OTHERS.items()]
    zones += [f'    local-data: "{host}. 60 IN A {PUBLIC[HUB]}"' for host in HUB_HOSTS]
    zones += [f'    local-data: "{FILE_SYSTEM_HOST}. 60 IN A {subnet.mount_target}"'] if subnet.file_system else []
    for role in ALL:
        state, name = subnet.names.get(role), f'{HOST[role]}.'
        # A DNS firewall takes a name out, whatever zone it is in, and its no is nobody's: it has no SOA.
        if state in ('nxdomain', 'nodata'):
            zones.append(zone(f'{subnet.host(role)}.', f'always_{state}'))
        if state == 'no-record':  # a private zone that somebody forgot to fill
            zones.append(zone(name, 'static', Dns.PRIVATE_SOA))
        elif name != f'{subnet.host(role)}.' or state not in ('nxdomain', 'nodata'):
            zones.append(zone(name, 'static' if state == 'no-wildcard' else 'redirect', Dns.PRIVATE_SOA, *records_of(subnet, role)))
    return '\n'.join(zones) + '\n'


def dnsmasq(subnet):
    """The same names. dnsmasq has no zones: what it does not know does not exist, and nobody is named for it."""
    lines = ['local=/amazonaws.com/', 'local=/docker.io/', *(f'host-record={name},{address}' for name, address in OTHERS.items()),
             *(f'host-record={host},{PUBLIC[HUB]}' for host in HUB_HOSTS)]
    for role in ALL:
        state, addresses = subnet.names.get(role), [record.split()[1] for record in records_of(subnet, role)]
        if state == 'nxdomain':
            lines.append(f'address=/{subnet.host(role)}/')
        if state == 'no-wildcard':
            lines.append(f'host-record={HOST[role]},{addresses[0]}')
        elif state != 'no-record' and (state != 'nxdomain' or HOST[role] != subnet.host(role)):
            lines += [f'address=/{HOST[role]}/{address}' for address in addresses]
    return '\n'.join(lines) + '\n'
