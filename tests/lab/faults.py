"""Everything that can be wrong, one line each: its name, the causes that were injected, what it changes.

A network fault comes once for each path that it can act on (`@endpoint`: interface endpoints and a gateway endpoint for
S3, `@nat`: a NAT gateway, `@mixed`: endpoints for ECR only), for everything and limited to one service (`:logs`).
`last` says why packets cannot put the cause first; without it the injected cause has to be the first finding.
"""
import dataclasses

from judge import POLICY, PLAIN_S3, STEP, refusal
from region import REGISTRY_HOST
from subnet import ALL, PATHS, PUBLIC, ROLES, Subnet


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
    yield 'resolver-loses-every-tenth-packet', 'endpoint', lambda s: put(s, resolver='loses')
    yield 'answers-after-one-second', 'endpoint', lambda s: [behave(s, role, 'slow:1') for role in ROLES]


STARTS = ('service-slow', 'endpoint-address-unreachable', 'public-answer-where-private-expected')
BOTH = ('endpoint', 'nat')
ONE = ('ecr.api', 'ecr.dkr', 's3', 'logs')  # a network fault limited to one of these; the others add nothing new
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
    ('wrong-name', 'tls-wrong-name', BOTH, ONE, lambda s, r: s.certificates.update({role: 'wrong-name' for role in r}), ''),
    ('expired', 'tls-expired', BOTH, ('', *ONE), lambda s, r: s.certificates.update({role: 'expired' for role in r}), ''),
    ('hangs', 'service-unresponsive', BOTH, ('', *ONE), lambda s, r: [behave(s, role, 'hang') for role in r], ''),
    ('broken', 'service-unresponsive', BOTH, ONE, lambda s, r: [behave(s, role, 'broken') for role in r], ''),
    ('slow', 'service-slow', BOTH, ('ecr.api', 'ecr.dkr:manifest', 'logs'), lambda s, r: [behave(s, role.split(':')[0], f'slow:3.4{role[7:]}') for role in r], ''),
    ('firewalled-name', 'name-not-found', BOTH, ONE, lambda s, r: s.names.update({role: 'nxdomain' for role in r}), 'a private zone whose record is missing answers the same'),
    ('nodata', 'name-not-found', BOTH, ('logs',), lambda s, r: s.names.update({role: 'nodata' for role in r}), 'a private zone whose record is missing answers the same'),
    ('empty-zone', 'private-zone-shadows-name', BOTH, ONE, lambda s, r: s.names.update({role: 'no-record' for role in r}), ''),
    ('no-wildcard', 'private-zone-shadows-name', BOTH, ('ecr.dkr',), lambda s, r: s.names.update({role: 'no-wildcard' for role in r}), ''),
    ('stale-zone', 'name-points-elsewhere', BOTH, ONE, lambda s, r: s.names.update({role: [f'{s.vpc}.9.77'] for role in r}), 'an address that nobody has is as silent as a closed one'),
    ('another-service', 'name-points-elsewhere', ('endpoint',), ('ecr.api', 'ecr.dkr', 'logs'), lambda s, r: s.names.update({role: s.addresses('ssm') for role in r}), ''),
    ('resolver-silent', 'resolver-unreachable', BOTH, ('',), lambda s, r: put(s, resolver='silent'), ''),
    ('resolver-fails', 'resolver-failure', BOTH, ('',), lambda s, r: put(s, resolver='servfail'), ''),
    ('resolver-refuses', 'resolver-failure', BOTH, ('',), lambda s, r: put(s, resolver='refused'), ''),
    ('no-aws-names', 'name-not-found', BOTH, ('',), lambda s, r: put(s, resolver='nxdomain'), ''),
    ('no-aws-records', 'name-not-found', BOTH, ('',), lambda s, r: put(s, resolver='nodata'), ''),
    # Only where there are endpoints, and only where there are none.
    ('endpoint-missing', 'interface-endpoint-missing', ('endpoint',), ROLES, lambda s, r: s.private.difference_update(r), ''),
    ('private-dns-off', 'interface-endpoint-missing', ('endpoint',), ('', *ROLES), lambda s, r: s.names.update({role: [PUBLIC[role]] for role in r if role != 's3'}), ''),
    ('only-s3-gateway', 'interface-endpoint-missing', ('endpoint',), ('',), lambda s, r: s.private.clear(), ''),
    ('s3-gateway-missing', 's3-gateway-missing', ('endpoint',), ('',), lambda s, r: put(s, s3_gateway=False), ''),
    ('endpoint-group', 'endpoint-security-group', ('endpoint',), ('', *ROLES), lambda s, r: s.endpoint_groups.update(set(r) - {'s3'}), ''),
    ('group-without-s3', 'task-security-group-egress', ('endpoint',), ('s3',), lambda s, r: s.task_group.update(s.of('s3')), 'a missing gateway endpoint is as silent'),
    ('dead-zone', 'endpoint-address-unreachable', ('endpoint',), ('', 'ecr.api', 'ecr.dkr', 'logs'), lambda s, r: s.dead.update(s.endpoint(role)[1] for role in r if role in s.private), ''),
    ('acl-of-one-zone', 'network-acl', ('endpoint',), ('',), lambda s, r: s.acl_out.update(s.endpoint(role)[1] for role in r if role in s.private), 'endpoint addresses that are dead look the same'),
    ('nat-deleted', 'no-egress-route', ('nat',), ('',), lambda s, r: put(s, internet=''), ''),
    ('nat-deleted', 'no-egress-route', ('mixed',), ('',), lambda s, r: put(s, internet=''), 'endpoints that were never made for these services look the same'),
    ('no-public-address', 'no-egress-route', ('nat',), ('',), lambda s, r: put(s, internet='igw'), ''),
    ('no-public-address', 'no-egress-route', ('mixed',), ('',), lambda s, r: put(s, internet='igw'), 'endpoints that were never made for these services look the same'),
    ('acl-around-own-subnet', 'network-acl', ('endpoint',), ('',), lambda s, r: (s.inside.update({'ecr.api', 'ecr.dkr'}), s.acl_out.update(s.of(*ALL) - s.of('ecr.api', 'ecr.dkr'))), ''),
    ('public-where-private', 'public-answer-where-private-expected', ('mixed',), ('',), lambda s, r: put(s, expect_private=True), ''),
]

# name, cause, change(subnet), why it cannot be first
ANSWERS = [
    ('no-role', 'no-credentials', lambda s: put(s, credentials='none'), ''),
    ('unknown-credentials-id', 'no-credentials', lambda s: put(s, credentials='unknown'), ''),
    ('credentials-hang', 'no-credentials', lambda s: put(s, credentials='hang'), ''),
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
]

# Two faults at once that have nothing to do with each other: both have to be reported in one run, either first, unless a
# third column says why neither need be.
PAIRS = """
    endpoint-missing:logs@endpoint            s3-gateway-missing@endpoint   one missing way out explains both
    endpoint-missing:ssm@endpoint             tag
    endpoint-missing:secretsmanager@endpoint  log-group
    endpoint-group:ssm@endpoint               s3-endpoint-policy
    endpoint-group:ecr.api@endpoint           s3-gateway-missing@endpoint
    endpoint-group:ssm@endpoint               tag
    endpoint-group:logs@endpoint              secret
    s3-gateway-missing@endpoint               log-group
    s3-gateway-missing@endpoint               secret
    s3-gateway-missing@endpoint               identity-policy-missing-action:logs
    s3-gateway-missing@endpoint               dead-zone:ecr.api@endpoint
    s3-gateway-missing@endpoint               small-link:logs@endpoint
    intercepted:s3@endpoint                   identity-policy-denies:secret
    intercepted:ecr.dkr@endpoint              endpoint-group:logs@endpoint
    intercepted:s3@nat                        log-group
    expired:logs@endpoint                     tag
    expired:s3@endpoint                       parameter
    wrong-name:logs@endpoint                  platform
    reset:ecr.dkr@endpoint                    log-group
    reset:logs@nat                            secret-json-key
    refused:logs@endpoint                     layer
    refused:s3@endpoint                       secret-not-json
    small-link:s3@endpoint                    log-group
    small-link:ecr.dkr@nat                    secret
    acl-narrow:s3@endpoint                    log-group
    acl-narrow:logs@nat                       tag
    hangs:logs@endpoint                       platform
    hangs:ecr.api@endpoint                    secret
    slow:logs@endpoint                        parameter
    slow:ecr.api@nat                          log-group
    empty-zone:logs@endpoint                  tag
    empty-zone:s3@endpoint                    endpoint-policy-denies:secret
    no-wildcard:ecr.dkr@endpoint              log-group
    firewalled-name:logs@endpoint             endpoint-group:ecr.dkr@endpoint
    another-service:logs@endpoint             secret-version
    dead-zone:ecr.dkr@endpoint                log-group
    dead-zone:logs@endpoint                   tag
    identity-policy-missing-action:token      log-group
    identity-policy-denies:manifest           permissions-boundary-denies:secret
    service-control-policy-denies:logs        resource-policy-denies:layer
    s3-endpoint-policy                        log-group
    s3-endpoint-policy                        identity-policy-missing-action:secret
    secret-key                                log-group
    tag                                       log-group
    platform                                  parameter
    layer                                     secret
    repository                                identity-policy-missing-action:logs
    throttled                                 secret
    task-group:logs@nat                       platform
    acl-outbound:ecr.api@nat                  secret-json-key
    swallowed:logs@nat                        registry-login
    reset:logs@endpoint                       refused:s3@endpoint
    intercepted:s3@endpoint                   refused:logs@endpoint
    small-link:s3@endpoint                    reset:logs@endpoint
    endpoint-group:logs@endpoint              refused:ecr.api@endpoint
    endpoint-group:logs@endpoint              acl-narrow:s3@endpoint
    empty-zone:logs@endpoint                  s3-gateway-missing@endpoint
    hangs:ecr.dkr@endpoint                    endpoint-group:ssm@endpoint
    dead-zone:ecr.api@endpoint                endpoint-group:logs@endpoint
    expired:logs@nat                          acl-narrow:s3@nat
    wrong-name:s3@nat                         hangs:logs@nat
"""


def put(subnet, **values):
    for name, value in values.items():
        setattr(subnet, name, value)


def behave(subnet, role, behaviour):
    subnet.behaviour.setdefault(role, []).append(behaviour)


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
    for name, cause, change, last in ANSWERS:
        yield name, (cause, 'endpoint', change, last)


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
    return Fault(name, causes, subnet, last, starts=len(causes) == 1 and causes[0] in STARTS)
