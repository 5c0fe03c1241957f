"""Everything that can be wrong, one line each: its name, the causes that were injected, what it changes.

A network fault comes once for each path that it can act on (`@endpoint`: interface endpoints and a gateway endpoint for
S3, `@nat`: a NAT gateway, `@mixed`: endpoints for ECR only), for everything and limited to one service (`:logs`).
`last` says why packets cannot put the cause first; without it the injected cause has to be the first finding.
"""
import dataclasses

from judge import POLICY, PLAIN_S3, STEP, refusal
from pairs import PAIRS
from region import REGISTRY_HOST
from subnet import ALL, ENVIRONMENT_FILE, HUB, PATHS, PUBLIC, ROLES, S3_ADDRESSES, Subnet


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    causes: tuple     # what was injected; none for a healthy variant
    subnet: Subnet
    last: str = ''    # why the cause need not be the first finding
    starts: bool = False  # the task would start all the same, so the verdict must not be `fail`


def healthy():
    yield 'endpoints', 'endpoint', lambda s: None
    yield 'nat', 'nat', lambda s: None
    yield 'mixed', 'mixed', lambda s: None
    yield 'public-address', 'nat', lambda s: put(s, internet='public')
    yield 'endpoints-in-the-own-subnet', 'endpoint', lambda s: s.inside.update(ROLES)
    yield 'ipv6-beside-ipv4', 'endpoint', lambda s: put(s, ipv6='works')
    yield 'ipv6-answers-without-ipv6', 'endpoint', lambda s: put(s, ipv6='answers')
    yield 'vpc-172.40', 'endpoint', lambda s: put(s, vpc='172.40')
    yield 'vpc-100.64', 'endpoint', lambda s: put(s, vpc='100.64')
    yield 'vpc-172.40-nat', 'nat', lambda s: put(s, vpc='172.40')
    yield 'busy-machine', 'endpoint', lambda s: put(s, burners=4)
    yield 'latency-100ms', 'endpoint', lambda s: put(s, latency_ms=100)
    yield 'latency-100ms-nat', 'nat', lambda s: put(s, latency_ms=100)
    yield 'one-zone', 'endpoint', lambda s: put(s, zones=1)
    yield 's3-with-four-addresses', 'endpoint', lambda s: put(s, s3_addresses=4)
    yield 'docker-hub-nat', 'nat', lambda s: put(s, hub_image=HUB_IMAGE)
    yield 'docker-hub-mixed', 'mixed', lambda s: put(s, hub_image=HUB_IMAGE)
    yield 'resolver-of-ones-own', 'endpoint', lambda s: put(s, resolver_host=OWN_RESOLVER)
    yield 'resolver-dnsmasq', 'endpoint', lambda s: put(s, dnsmasq=True)
    yield 'resolver-dnsmasq-nat', 'nat', lambda s: put(s, dnsmasq=True)
    yield 'private-as-expected', 'endpoint', lambda s: put(s, expect_private=True)
    yield 'path-loses-every-tenth-packet', 'endpoint', lambda s: put(s, loss=10)
    yield 'path-loses-every-tenth-packet-nat', 'nat', lambda s: put(s, loss=10)
    yield 'nat-takes-ports-of-its-own', 'nat', lambda s: put(s, nat_acl=1024)
    yield 'resolver-loses-every-tenth-packet', 'endpoint', lambda s: put(s, resolver='loses')
    yield 'file-system-and-environment-file', 'endpoint', lambda s: put(s, file_system='answers', environment_file=ENVIRONMENT_FILE)
    yield 'file-system-and-environment-file-nat', 'nat', lambda s: put(s, file_system='answers', environment_file=ENVIRONMENT_FILE)
    yield 'answers-after-one-second', 'endpoint', lambda s: [behave(s, role, 'slow:1') for role in ROLES]


HUB_IMAGE = 'docker.io/team/app:1.4'
OWN_RESOLVER = '5.53'
STARTS = ('service-slow', 'endpoint-address-unreachable', 'public-answer-where-private-expected')
STARTS_ALSO = ('first-resolver-', 'acl-without-low-ports', 'endpoint-group-ipv4', 's3-gateway-ipv4')  # names of faults of other causes that only warn
BOTH = ('endpoint', 'nat')
ONE = ('ecr.api', 'ecr.dkr', 's3', 'logs')  # a network fault limited to one of these; the others add nothing new
ONE_HAND = 'a resolver that is down, and a filter before it, are the same silence'
ROUTE_OR_GROUP = 'a missing route, a security group and a network ACL drop in the same silence'

# name, cause, paths, services ('' is all of them), change(subnet, roles), why it cannot be first
NETWORK = [
    ('task-group', 'task-security-group-egress', BOTH, ('', *ONE), lambda s, r: s.task_group.update(s.of(*r) if len(r) < 6 else {'all'}), ROUTE_OR_GROUP),
    ('acl-outbound', 'network-acl', BOTH, ('', *ONE), lambda s, r: s.acl_out.update(s.of(*r) if len(r) < 6 else {'all'}), ROUTE_OR_GROUP),
    ('acl-return', 'network-acl', BOTH, ('', *ONE), lambda s, r: back(s, r, 65536), ROUTE_OR_GROUP),
    ('acl-narrow', 'network-acl', BOTH, ('', *ONE), lambda s, r: back(s, r, 49152), ''),
    ('refused', 'connection-refused', BOTH, ('', *ONE), lambda s, r: s.refuses.update(s.of(*r)), ''),
    ('reset', 'connection-reset', BOTH, ('', *ONE), lambda s, r: s.resets.update(s.of(*r)), ''),
    ('swallowed', 'tls-stalled', BOTH, ('', *ONE), lambda s, r: s.swallows.update(s.of(*r)), ''),
    ('intercepted', 'tls-intercepted', BOTH, ('', *ONE), lambda s, r: s.intercepts.update(s.of(*r)), ''),
    ('small-link', 'mtu-black-hole', BOTH, ('', *ONE), lambda s, r: s.small_link.update(s.of(*r)), ''),
    ('small-link-out', 'mtu-black-hole', BOTH, ('', *ONE[:2], 'logs'), lambda s, r: s.small_link_out.update(s.of(*r)), ''),
    ('wrong-name', 'tls-wrong-name', BOTH, ('', *ONE), lambda s, r: s.certificates.update({role: 'wrong-name' for role in r}), ''),
    ('expired', 'tls-expired', BOTH, ('', *ONE), lambda s, r: s.certificates.update({role: 'expired' for role in r}), ''),
    ('hangs', 'service-unresponsive', BOTH, ('', *ONE), lambda s, r: [behave(s, role, 'hang') for role in r], ''),
    ('broken', 'service-unresponsive', BOTH, ONE, lambda s, r: [behave(s, role, 'broken') for role in r], ''),
    ('slow', 'service-slow', BOTH, ('ecr.api', 'ecr.dkr:manifest', 'logs'), lambda s, r: [behave(s, role.split(':')[0], f'slow:3.4{role[7:]}') for role in r], ''),
    ('firewalled-name', 'name-not-found', BOTH, ONE, lambda s, r: s.names.update({role: 'nxdomain' for role in r}), ''),
    ('nodata', 'name-not-found', BOTH, ('logs',), lambda s, r: s.names.update({role: 'nodata' for role in r}), ''),
    ('empty-zone', 'private-zone-shadows-name', BOTH, ONE, lambda s, r: s.names.update({role: 'no-record' for role in r}), ''),
    ('no-wildcard', 'private-zone-shadows-name', BOTH, ('ecr.dkr',), lambda s, r: s.names.update({role: 'no-wildcard' for role in r}), ''),
    ('stale-zone', 'name-points-elsewhere', BOTH, ('', *ONE), lambda s, r: s.names.update({role: [f'{s.vpc}.9.{77 + ALL.index(role)}'] for role in r}), 'an address that nobody has is as silent as a closed one'),
    ('another-service', 'name-points-elsewhere', ('endpoint',), ('ecr.api', 'ecr.dkr', 'logs'), lambda s, r: s.names.update({role: s.addresses('ssm') for role in r}), ''),
    ('resolver-silent', 'resolver-unreachable', BOTH, ('',), lambda s, r: put(s, resolver='silent'), ''),
    ('resolver-fails', 'resolver-failure', BOTH, ('',), lambda s, r: put(s, resolver='servfail'), ''),
    ('resolver-refuses', 'resolver-failure', BOTH, ('',), lambda s, r: put(s, resolver='refused'), ''),
    ('no-aws-names', 'name-not-found', BOTH, ('',), lambda s, r: put(s, resolver='nxdomain'), ''),
    ('no-aws-records', 'name-not-found', BOTH, ('',), lambda s, r: put(s, resolver='nodata'), ''),
    ('mute', 'tls-stalled', BOTH, ONE, lambda s, r: s.listeners.update({address: 'mute' for address in s.of(*r)}), ''),
    ('closes', 'connection-reset', BOTH, ONE, lambda s, r: s.listeners.update({address: 'closes' for address in s.of(*r)}), ''),
    ('no-tls', 'name-points-elsewhere', BOTH, ONE, lambda s, r: s.listeners.update({address: 'http' for address in s.of(*r)}), ''),
    ('page', 'name-points-elsewhere', BOTH, ('ecr.api', 'ecr.dkr', 'logs'), lambda s, r: [behave(s, role, 'page') for role in r], ''),
    # A resolver of one's own: unlike the VPC's, it is behind the filters.
    ('own-resolver-silent', 'resolver-unreachable', BOTH, ('',), lambda s, r: put(s, resolver_host=OWN_RESOLVER, resolver='silent'), ''),
    ('own-resolver-group', 'task-security-group-egress', BOTH, ('',), lambda s, r: put(s, resolver_host=OWN_RESOLVER, closed_53='group'), ONE_HAND),
    ('own-resolver-acl', 'network-acl', BOTH, ('',), lambda s, r: put(s, resolver_host=OWN_RESOLVER, closed_53='acl'), ONE_HAND),
    ('own-resolver-acl-return', 'network-acl', BOTH, ('',), lambda s, r: put(s, resolver_host=OWN_RESOLVER, closed_53='acl-return'), ONE_HAND),
    ('own-resolver-tcp-group', 'task-security-group-egress', BOTH, ('',), lambda s, r: long_answer(s, 'group-tcp'), ONE_HAND),
    ('own-resolver-tcp-acl', 'network-acl', BOTH, ('',), lambda s, r: long_answer(s, 'acl-tcp'), ONE_HAND),
    ('first-resolver-gone', 'resolver-unreachable', BOTH, ('',), lambda s, r: put(s, first_resolver='5.54'), ''),
    ('dnsmasq-empty-zone', 'private-zone-shadows-name', BOTH, ONE, lambda s, r: put(s, dnsmasq=True, names={role: 'no-record' for role in r}), ''),
    ('dnsmasq-no-wildcard', 'private-zone-shadows-name', BOTH, ('ecr.dkr',), lambda s, r: put(s, dnsmasq=True, names={role: 'no-wildcard' for role in r}), ''),
    ('dnsmasq-firewalled-name', 'name-not-found', BOTH, ('ecr.dkr', 'logs'), lambda s, r: put(s, dnsmasq=True, names={role: 'nxdomain' for role in r}), 'a resolver that names no zones says the same for a private zone without the record'),
    # Only where there are endpoints, and only where there are none.
    ('endpoint-missing', 'interface-endpoint-missing', ('endpoint',), ROLES, lambda s, r: s.private.difference_update(r), ''),
    ('private-dns-off', 'interface-endpoint-missing', ('endpoint',), ('', *ROLES), lambda s, r: s.names.update({role: [PUBLIC[role]] for role in r if role != 's3'}), ''),
    ('only-s3-gateway', 'interface-endpoint-missing', ('endpoint',), ('',), lambda s, r: s.private.clear(), ''),
    ('s3-gateway-missing', 's3-gateway-missing', ('endpoint',), ('',), lambda s, r: put(s, s3_gateway=False), ''),
    ('endpoint-group', 'endpoint-security-group', ('endpoint',), ('', *ROLES), lambda s, r: s.endpoint_groups.update(set(r) - {'s3'}), ''),
    ('group-without-s3', 'task-security-group-egress', ('endpoint',), ('s3',), lambda s, r: s.task_group.update(s.of('s3')), 'a missing gateway endpoint is as silent'),
    ('dead-zone', 'endpoint-address-unreachable', ('endpoint',), ('', 'ecr.api', 'ecr.dkr', 'logs'), lambda s, r: s.dead.update(s.endpoint(role)[1] for role in r if role in s.private), ''),
    ('dead-s3-address', 'endpoint-address-unreachable', ('endpoint',), ('',), lambda s, r: (put(s, s3_addresses=4), s.dead.add(S3_ADDRESSES[2])), ''),
    ('dead-s3-address', 'endpoint-address-unreachable', ('nat',), ('',), lambda s, r: (put(s, s3_addresses=4), s.dead.add(S3_ADDRESSES[2])), ''),
    ('endpoint-group-ipv4', 'endpoint-security-group', ('endpoint',), ('ecr.api', 'logs'), lambda s, r: (put(s, ipv6='works'), s.endpoint_groups.update(r)), 'an address that is dead looks the same'),
    ('s3-gateway-ipv4', 's3-gateway-missing', ('endpoint',), ('',), lambda s, r: put(s, ipv6='works', s3_gateway=False), 'an address that is dead looks the same'),
    ('group-of-one-zone', 'task-security-group-egress', ('endpoint',), ('',), lambda s, r: s.task_group.update(s.endpoint(role)[1] for role in r if role in s.private), 'endpoint addresses that are dead look the same'),
    ('stale-record-of-three', 'name-points-elsewhere', ('endpoint',), ('ecr.api', 'logs'), lambda s, r: s.names.update({role: [*s.endpoint(role)[:2], f'{s.vpc}.11.77'] for role in r}), 'an endpoint address that is dead looks the same'),
    ('one-zone-group', 'endpoint-security-group', ('endpoint',), ('ecr.dkr', 'logs'), lambda s, r: (put(s, zones=1), s.endpoint_groups.update(r)), ''),
    ('acl-of-one-zone', 'network-acl', ('endpoint',), ('',), lambda s, r: s.acl_out.update(s.endpoint(role)[1] for role in r if role in s.private), 'endpoint addresses that are dead look the same'),
    ('nat-deleted', 'no-egress-route', ('nat',), ('',), lambda s, r: put(s, internet=''), ''),
    ('nat-deleted', 'no-egress-route', ('mixed',), ('',), lambda s, r: put(s, internet=''), 'endpoints that were never made for these services look the same'),
    ('no-public-address', 'no-egress-route', ('nat',), ('',), lambda s, r: put(s, internet='igw'), ''),
    ('no-public-address', 'no-egress-route', ('mixed',), ('',), lambda s, r: put(s, internet='igw'), 'endpoints that were never made for these services look the same'),
    ('nothing-there-yet', 'interface-endpoint-missing', ('endpoint',), ('',), lambda s, r: (s.private.clear(), put(s, s3_gateway=False)), 'a subnet that was built for a NAT gateway looks the same'),
    # The NAT gateway's own subnet.
    ('nat-subnet-acl-out', 'network-acl', ('nat', 'mixed'), ('',), lambda s, r: put(s, nat_acl_out=True), ROUTE_OR_GROUP),
    ('nat-subnet-acl-narrow', 'network-acl', ('nat', 'mixed'), ('',), lambda s, r: put(s, nat_acl=32768), ''),
    ('acl-without-low-ports', 'network-acl', BOTH, ('',), lambda s, r: back(s, r, 32768), ''),
    # An EFS volume: its mount target's security group, or a mount target that is no longer there.
    ('file-system-group', 'file-system-unreachable', BOTH, ('',), lambda s, r: (put(s, file_system='answers'), s.task_group.add(s.mount_target)), ''),
    ('file-system-gone', 'file-system-unreachable', BOTH, ('',), lambda s, r: put(s, file_system='gone'), ''),
    # A registry that is not ECR.
    ('hub-rate-limited', 'registry-rate-limited', ('nat', 'mixed'), ('',), lambda s, r: hub(s, behaviour='rate-limited'), ''),
    ('hub-repository', 'repository-not-found', ('nat', 'mixed'), ('',), lambda s, r: hub(s, 'docker.io/other/app:1.4'), ''),
    ('hub-tag', 'image-not-found', ('nat', 'mixed'), ('',), lambda s, r: hub(s, 'docker.io/team/app:1.5'), ''),
    ('hub-platform', 'platform-mismatch', ('nat', 'mixed'), ('',), lambda s, r: hub(s, 'docker.io/team/app:arm-only'), ''),
    ('hub-without-a-way-out', 'no-egress-route', ('endpoint',), ('',), lambda s, r: hub(s), ''),
    ('hub-group', 'task-security-group-egress', ('nat', 'mixed'), ('',), lambda s, r: (hub(s), s.task_group.add(PUBLIC[HUB])), ROUTE_OR_GROUP),
    ('hub-refused', 'connection-refused', ('nat',), ('',), lambda s, r: (hub(s), s.refuses.add(PUBLIC[HUB])), ''),
    ('hub-intercepted', 'tls-intercepted', ('nat',), ('',), lambda s, r: (hub(s), s.intercepts.add(PUBLIC[HUB])), ''),
    ('hub-misspelt', 'name-not-found', ('nat', 'mixed'), ('',), lambda s, r: hub(s, 'registry-1.dokcer.io/team/app:1.4'), ''),
    ('hub-hangs', 'service-unresponsive', ('nat',), ('',), lambda s, r: hub(s, behaviour='hang'), ''),
    # The clock of one service, and not the task's.
    ('clock-of-one-service', 'clock-skew', BOTH, ('ecr.api', 'logs'), lambda s, r: [behave(s, role, 'clock:660') for role in r], ''),
    ('acl-around-own-subnet', 'network-acl', ('endpoint',), ('',), lambda s, r: (s.inside.update({'ecr.api', 'ecr.dkr'}), s.acl_out.update(s.of(*ALL) - s.of('ecr.api', 'ecr.dkr'))), ''),
    ('public-where-private', 'public-answer-where-private-expected', ('nat', 'mixed'), ('',), lambda s, r: put(s, expect_private=True), ''),
    ('forgotten-endpoint-silent', 'interface-endpoint-missing', ('nat',), ('',), lambda s, r: put(s, expect_private=True, internet=''), 'a missing NAT gateway looks the same'),
]

# name, cause, change(subnet), why it cannot be first
ANSWERS = [
    ('no-role', 'no-credentials', lambda s: put(s, credentials='none'), ''),
    ('unknown-credentials-id', 'no-credentials', lambda s: put(s, credentials='unknown'), ''),
    ('credentials-hang', 'no-credentials', lambda s: put(s, credentials='hang'), ''),
    ('credentials-refused', 'no-credentials', lambda s: put(s, credentials='refused'), ''),
    ('credentials-garbled', 'no-credentials', lambda s: put(s, credentials='garbage'), ''),
    ('session-token-left-out', 'no-credentials', lambda s: put(s, credentials='no-token'), ''),
    ('clock-a-day-ahead', 'clock-skew', lambda s: put(s, credentials='expired', synchronized=False), 'no service tells the time to whoever has no keys'),
    ('credentials-past-their-time', 'credentials-expired', lambda s: put(s, credentials='expired'), ''),
    ('expired-token', 'credentials-expired', lambda s: [behave(s, role, 'expired-token') for role in ROLES], ''),
    ('unknown-key', 'credentials-invalid', lambda s: put(s, credentials='unknown-key'), ''),
    ('wrong-secret-key', 'credentials-invalid', lambda s: put(s, credentials='wrong-secret'), ''),
    ('clock-ahead', 'clock-skew', lambda s: [behave(s, role, 'clock:-660') for role in ALL], ''),
    ('clock-behind', 'clock-skew', lambda s: [behave(s, role, 'clock:660') for role in ALL], ''),
    *((f'{cause}:{step}', cause, lambda s, cause=cause, step=step: behave(s, STEP[step][0], refusal(cause, step)), '')
      for cause in POLICY for step in STEP if step != 'bytes'),
    ('s3-endpoint-policy', 's3-endpoint-policy-denies', lambda s: behave(s, 's3', refusal(PLAIN_S3, 'bytes')), ''),
    ('s3-endpoint-policy-named', 's3-endpoint-policy-denies', lambda s: behave(s, 's3', refusal('endpoint-policy-denies', 'bytes')), ''),
    ('secret-key', 'kms-key-denies', lambda s: behave(s, 'secretsmanager', 'kms'), ''),
    ('tag', 'image-not-found', lambda s: put(s, image=f'{REGISTRY_HOST}/team/app:1.5'), ''),
    ('digest', 'image-not-found', lambda s: put(s, image=f'{REGISTRY_HOST}/team/app@sha256:{"0" * 64}'), ''),
    ('repository', 'repository-not-found', lambda s: put(s, image=f'{REGISTRY_HOST}/other/app:1.4'), ''),
    ('platform', 'platform-mismatch', lambda s: put(s, image=f'{REGISTRY_HOST}/team/app:arm-only'), ''),
    ('platform-of-one-manifest', 'platform-mismatch', lambda s: put(s, image=f'{REGISTRY_HOST}/team/app:arm-manifest'), ''),
    ('layer', 'layer-unavailable', lambda s: put(s, image=f'{REGISTRY_HOST}/team/app:layer-gone'), ''),
    ('registry-login', 'registry-login-failed', lambda s: behave(s, 'ecr.dkr', 'login'), ''),
    ('secret', 'secret-not-found', lambda s: put(s, secret='absent'), ''),
    ('secret-json-key', 'secret-json-key-missing', lambda s: put(s, secret='no-key'), ''),
    ('secret-not-json', 'secret-not-json', lambda s: put(s, secret='not-json'), ''),
    ('secret-version', 'secret-version-missing', lambda s: put(s, secret='no-version'), ''),
    ('parameter', 'parameter-not-found', lambda s: put(s, parameter=False), ''),
    ('log-group', 'log-group-missing', lambda s: put(s, log_group='/ecs/absent'), ''),
    ('throttled', 'throttled', lambda s: behave(s, 'ecr.api', 'throttled'), ''),
    ('environment-file', 'environment-file-missing', lambda s: put(s, environment_file='absent.env'), ''),
    ('file-system-denied', 'file-system-denied', lambda s: put(s, file_system='denies'), ''),
]

def put(subnet, **values):
    for name, value in values.items():
        setattr(subnet, name, value)


def behave(subnet, role, behaviour):
    subnet.behaviour.setdefault(role, []).append(behaviour)


def hub(subnet, image=HUB_IMAGE, behaviour=''):
    put(subnet, hub_image=image)
    if behaviour:
        behave(subnet, HUB, behaviour)


def long_answer(subnet, closed):
    """S3's name has more addresses than fit a datagram, and the way to the resolver is closed for TCP."""
    put(subnet, resolver_host=OWN_RESOLVER, closed_53=closed)
    subnet.names['s3'] = [f'52.216.11.{number}' for number in range(1, 41)]


def back(subnet, roles, lowest):
    subnet.acl_back.update({'all': lowest} if len(roles) == 6 else {address: lowest for address in subnet.of(*roles)})


def singles():
    """Every fault alone, by name: (cause, path, change, why not first)."""
    for name, cause, paths, services, change, last in NETWORK:
        for path in paths:
            for service in services:
                roles = [service] if service else ALL
                yield (f'{name}{":" + service if service else ""}@{path}',
                       (cause, path, lambda s, change=change, roles=roles: change(s, roles), last))
    for path in PATHS:
        for name, cause, change, last in ANSWERS:
            yield name if path == 'endpoint' else f'{name}@{path}', (cause, path, change, last)


def faults():
    """All of them, in the order of the matrix."""
    for name, path, change in healthy():
        yield build(f'healthy/{name}', (), path, [change])
    known = dict(singles())
    for name, (cause, path, change, last) in known.items():
        yield build(name, (cause,), path, [change], last)
    for line in PAIRS.strip().splitlines():
        one, other, *why = line.split()
        path = next((name.split('@')[1] for name in (one, other) if '@' in name), 'endpoint')
        parts = known[one], known[other]
        last = ' '.join(why) or '; '.join(part[3] for part in parts if part[3])
        yield build(f'{one} + {other}', tuple(part[0] for part in parts), path, [part[2] for part in parts], last)


def build(name, causes, path, changes, last=''):
    subnet = PATHS[path]()
    for change in changes:
        change(subnet)
    return Fault(name, causes, subnet, last, starts=len(causes) == 1 and (causes[0] in STARTS or name.startswith(STARTS_ALSO)))
