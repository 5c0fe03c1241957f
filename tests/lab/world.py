"""One VPC with one task in it: five network namespaces, rewired for each fault without being rebuilt.

    task ──┬── vpc ──── endpoints        task       10.0.1.10, its security group, 169.254.170.2
           │    │                        vpc        the router: route table, network ACL, NAT, middlebox; the resolver
      (endpoints, one leg in             endpoints  interface endpoints in three zones, each behind its security group
       the task's own subnet)            internet   public addresses, S3 behind the gateway endpoint's leg as well
                │
             internet

The namespaces have no names and no files: they end with the process that holds them, however it ends.
"""
import contextlib
import os
import pathlib
import subprocess
import threading

import delay
import names
from namespace import CLONE_NEWNET, _call, _libc, die_with_parent, run
from names import V6
from region import ECR_LOCATIONS, METADATA_PATH, S3_LOCATIONS, TASK_ENDPOINT, container_metadata, task_metadata
from servers import TaskEndpoint
from standing import RESOLVER_LINK_LOCAL, Dnsmasq, Listener, MountTarget, Nginx, Unbound
from subnet import ALL, HUB, HUB_HOSTS, PUBLIC, PUBLIC_6, ROLES, S3_ADDRESSES, ZONES, Subnet

NOBODY = 65532
NAT_ADDRESS = '203.0.113.10'
INTERCEPTOR = 8443
HELLO = 120  # bytes: every ClientHello is longer, no SYN or bare ACK is
SMALL_LINK = 1300
S3_RANGE = '52.216.10.8/29'
OWN_RESOLVER = '5.53'  # a server that answers for names, in another subnet of the VPC
# Docker Hub's way: nothing without a token, and tokens at another name.
HUB_LOCATIONS = '''
        location = /token {{ default_type application/json; return 200 '{{"token":"anonymous"}}'; }}
        location / {{
            if ($http_authorization = "") {{
                add_header WWW-Authenticate 'Bearer realm="https://{auth}/token",service="registry.docker.io"' always;
                return 401 '{{"errors":[{{"code":"UNAUTHORIZED","message":"authentication required"}}]}}';
            }}
            proxy_pass {upstream};
        }}
'''


class Namespace:
    """A network namespace that exists as long as this object or a process in it."""

    def __init__(self):
        def unshare():
            _call(_libc.unshare, CLONE_NEWNET)
            self.fd = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        thread = threading.Thread(target=unshare)
        thread.start()
        thread.join()
        self.path = f'/proc/{os.getpid()}/fd/{self.fd}'
        with self.entered():
            sysctl('net/ipv4/conf/all/rp_filter', 0)
            sysctl('net/ipv4/conf/default/rp_filter', 0)
            sysctl('net/ipv6/conf/default/accept_dad', 0)
            sysctl('net/ipv4/tcp_max_tw_buckets', 0)  # each run is a task of its own: no port remembers the one before it
            run('ip', 'link', 'set', 'lo', 'up')

    @contextlib.contextmanager
    def entered(self):
        """The calling thread, and what it starts, is in this namespace."""
        outside = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_libc.setns, self.fd, CLONE_NEWNET)
            yield
        finally:
            _call(_libc.setns, outside, CLONE_NEWNET)
            os.close(outside)

    def ip(self, *lines, force=False):
        """Commands of `ip`, one a line."""
        batch = '\n'.join(lines) + '\n'
        with self.entered():
            if force:
                subprocess.run(['ip', '-force', '-batch', '-'], input=batch, text=True, capture_output=True)
            else:
                run('ip', '-batch', '-', stdin=batch)

    def nft(self, rules):
        with self.entered():
            run('nft', '-f', '-', stdin='flush ruleset\n' + rules)


def sysctl(name, value):
    path = pathlib.Path('/proc/sys') / name
    if path.exists():
        path.write_text(str(value))


class World:
    """The namespaces, and the servers of its own: a resolver, nginx with the endpoints' and the public addresses."""

    def __init__(self, lab, number):
        self.lab, self.region = lab, lab.region
        self.directory = self.region.directory / f'world-{number}'
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.task, self.vpc, self.endpoints, self.internet = (Namespace() for _ in range(4))
        self.resolv_conf = self.directory / 'resolv.conf'
        self.servers, self.listeners = {}, []
        self._wire()
        with self.task.entered():
            self.task_endpoint = TaskEndpoint(TASK_ENDPOINT, {})

    def _wire(self):
        with self.vpc.entered():
            sysctl('net/ipv4/ip_forward', 1)
            sysctl('net/ipv6/conf/all/forwarding', 1)
            sysctl('net/ipv4/conf/all/send_redirects', 0)
            sysctl('net/ipv4/conf/default/send_redirects', 0)
            sysctl('net/bridge/bridge-nf-call-iptables', 0)
        self.vpc.ip('link add name subnet type bridge forward_delay 0', 'link set subnet up',
                    f'link add name task type veth peer name eth1 netns {self.task.path}',
                    f'link add name own type veth peer name own netns {self.endpoints.path}',
                    f'link add name zones type veth peer name zones netns {self.endpoints.path}',
                    f'link add name gateway type veth peer name gateway netns {self.internet.path}',
                    f'link add name internet type veth peer name vpc netns {self.internet.path}',
                    'link set task master subnet', 'link set own master subnet',
                    *(f'link set {name} up' for name in ('task', 'own', 'zones', 'gateway', 'internet')),
                    f'address add {RESOLVER_LINK_LOCAL}/32 dev lo')
        self.task.ip('link set eth1 up', f'address add {TASK_ENDPOINT}/32 dev lo')
        self.endpoints.ip('link set own up', 'link set zones up')
        self.internet.ip('link set gateway up', 'link set vpc up', 'address add 192.0.2.2/30 dev gateway', 'address add 192.0.2.6/30 dev vpc',
                         f'route add {NAT_ADDRESS}/32 via 192.0.2.5', *(f'address add {a}/32 dev lo' for a in {*PUBLIC.values(), *S3_ADDRESSES}),
                         *(f'address add {a}/128 dev lo' for a in PUBLIC_6.values()), f'address add {V6}:99::2/64 dev gateway nodad',
                         f'route add {V6}::/48 via {V6}:99::1')
        self.vpc.ip('address add 192.0.2.1/30 dev gateway', 'address add 192.0.2.5/30 dev internet', f'address add {V6}:99::1/64 dev gateway nodad',
                    f'route add {PUBLIC_6["s3"]}/128 via {V6}:99::2')
        self._vpc_of = None

    def _number(self, vpc):
        """Gives the VPC its addresses."""
        if self._vpc_of == vpc:
            return
        if self._vpc_of:
            for namespace, devices in ((self.task, ['eth1']), (self.endpoints, ['own', 'zones']), (self.vpc, ['subnet', 'zones'])):
                namespace.ip(*(f'address flush dev {device} scope global' for device in devices))
            self.vpc.ip(*(f'address del {self._vpc_of}.{host}/32 dev lo' for host in ('0.2', OWN_RESOLVER)))
            self.internet.ip(f'route del {self._vpc_of}.0.0/16')
        self._vpc_of = vpc
        subnet = Subnet(vpc=vpc)
        self.vpc.ip(f'address add {vpc}.1.1/24 dev subnet', f'address add {vpc}.0.2/32 dev lo', f'address add {vpc}.{OWN_RESOLVER}/32 dev lo', f'address add {V6}:1::1/64 dev subnet nodad',
                    *(f'address add {vpc}.{zone}.1/24 dev zones' for zone in ZONES), f'address add {V6}:9::1/64 dev zones nodad')
        self.task.ip(f'address add {vpc}.1.10/24 dev eth1', f'route replace default via {vpc}.1.1')
        zoned = [address for role in ROLES for address in subnet.endpoint(role)] + [subnet.mount_target]
        own = [address for role in ROLES for address in Subnet(vpc=vpc, inside={role}).endpoint(role)]
        # An answer leaves by the leg that was asked: what stays inside the task's subnet does not cross the router.
        self.endpoints.ip(*(f'address add {address}/24 dev zones' for address in zoned), f'route replace default via {vpc}.9.1',
                          *(f'address add {address}/24 dev own noprefixroute' for address in own),
                          f'route replace {vpc}.1.0/24 dev own table 5', 'rule flush', 'rule add pref 32766 lookup main',
                          *(f'rule add from {address} lookup 5 pref 100' for address in own),
                          *(f'address add {V6}:9::{11 + ALL.index(role)}/64 dev zones nodad' for role in ROLES), f'route replace default via {V6}:9::1')
        self.internet.ip(f'route replace {vpc}.0.0/16 via 192.0.2.1')

    def apply(self, subnet):
        """Everything as `subnet` says, whatever it was before."""
        self.subnet = subnet
        self._number(subnet.vpc)
        self._routes(subnet)
        self._filters(subnet)
        self._serve(subnet)
        self._task(subnet)

    def _routes(self, subnet):
        default = 'route replace default via 192.0.2.6' if subnet.internet else 'route replace blackhole default'
        self.vpc.ip(default, 'rule flush', 'rule add pref 32766 lookup main', *(f'route flush table {number}' for number in (6, 7, 8)),
                    f'route replace {S3_RANGE} via 192.0.2.2' if subnet.s3_gateway else f'route replace {S3_RANGE} via 192.0.2.6' if subnet.internet
                    else f'route replace blackhole {S3_RANGE}', force=True)
        # The small links: full-sized packets back from these addresses, or on their way there, do not fit.
        back = f'route replace {subnet.vpc}.1.0/24 dev subnet table 6 mtu lock {SMALL_LINK}'
        self.vpc.ip(*[back, *(f'rule add from {address} lookup 6 pref 60' for address in subnet.small_link)] if subnet.small_link else [])
        way = {address: 'via 192.0.2.2' if subnet.s3_gateway and address in S3_ADDRESSES else 'via 192.0.2.6' for address in subnet.small_link_out}
        self.vpc.ip(*(f'route replace {address}/32 {"dev zones" if address.startswith(subnet.vpc) else way[address]} table 8 mtu lock {SMALL_LINK}'
                      for address in subnet.small_link_out), 'rule add iif subnet lookup 8 pref 55')
        if subnet.latency_ms:
            # The default of table 7 is the forwarder's device; what it gives back comes from there and is routed as ever.
            self.vpc.ip('rule add iif subnet lookup 7 pref 50')
        six = subnet.ipv6 == 'works'
        self.task.ip(*([f'address replace {V6}:1::10/64 dev eth1 nodad', f'route replace default via {V6}:1::1'] if six
                       else [f'address del {V6}:1::10/64 dev eth1', f'route del default via {V6}:1::1']), force=True)

    def _filters(self, subnet):
        exempt = f'169.254.0.0/16, {subnet.vpc}.0.2'  # in a VPC neither filter acts on the resolver and on link-local
        egress = drops('ip daddr', subnet.task_group, exempt, 'ct state new')
        where, _, only = subnet.closed_53.rpartition('-') if subnet.closed_53.endswith('-tcp') else (subnet.closed_53, '', '')
        names = f'ip daddr {subnet.resolver_address} meta l4proto {only or "{ tcp, udp }"} th dport 53'
        no_agent = f'ip daddr {TASK_ENDPOINT} tcp dport 80 reject with tcp reset;' if subnet.credentials == 'refused' else ''
        self.task.nft(table('security_group', chain('output', '0', egress, f'{names} ct state new drop;' if where == 'group' else ''),
                            chain('input', '0', no_agent)))

        closed = subnet.of(*subnet.endpoint_groups)
        self.endpoints.nft(table('security_groups', chain('input', '0', drops('ip daddr', closed, None, 'ct state new'),
                                                          drops('ip daddr', subnet.dead))))

        # Stateless: each direction by itself, by addresses and ports, with no memory of connections.
        held = 'iifname subnet notrack;' if subnet.latency_ms else ''  # the router meets it again when it was held for long enough
        border = drops('ip daddr', subnet.acl_out, exempt, 'iifname subnet tcp dport 443') + (f'iifname subnet {names} drop;' if where == 'acl' else '')
        # The NAT gateway's subnet has a network ACL of its own, which sees the ports that the gateway took.
        border += f'iifname internet ip daddr {NAT_ADDRESS} tcp dport < {subnet.nat_acl} drop;' if subnet.nat_acl else ''
        unheard = f'oifname subnet ip saddr {subnet.resolver_address} udp sport 53 drop;' if where == 'acl-return' else ''
        nat_out = 'oifname internet tcp dport 443 drop;' if subnet.nat_acl_out else ''
        back = ' '.join(f'oifname subnet {"" if source == "all" else f"ip saddr {source}"} ip protocol tcp tcp dport 1024-{lowest - 1} drop;'
                        for source, lowest in subnet.acl_back.items())
        translate = f'oifname internet ip saddr {subnet.vpc}.0.0/16 snat to {NAT_ADDRESS}{" fully-random" if subnet.nat_acl else ""};' if subnet.internet in ('nat', 'public') else ''
        loses = 'iifname subnet udp dport 53 numgen inc mod 10 == 0 drop;' if subnet.resolver == 'loses' else ''
        silent = 'iifname subnet meta l4proto { tcp, udp } th dport 53 drop;' if subnet.resolver == 'silent' else ''
        loss = f'meta l4proto tcp numgen random mod 100 < {subnet.loss} drop;' if subnet.loss else ''
        resets = ' '.join(f'ip daddr {address} tcp dport 443 meta length > {HELLO} reject with tcp reset;' for address in subnet.resets)
        swallows = ' '.join(f'ip daddr {address} tcp dport 443 meta length > {HELLO} drop;' for address in subnet.swallows)
        catches = ' '.join(f'iifname subnet ip daddr {address} tcp dport 443 redirect to :{INTERCEPTOR};' for address in subnet.intercepts)
        self.vpc.nft(
            table('network_acl', chain('prerouting', 'raw', border, held), chain('postrouting', '300', back, unheard, nat_out))
            + table('gateways', chain('prerouting', 'dstnat', catches, kind='nat'), chain('postrouting', 'srcnat', translate, kind='nat'))
            + table('middlebox', chain('forward', '0', resets, swallows, loss))
            + table('resolver', chain('input', '0', silent, loses))
            # A VPC's router never says why it dropped something.
            + table('silence', chain('output', '0', 'oifname != lo icmp type { destination-unreachable, time-exceeded } drop;')))
        # An internet gateway passes nothing that has no public address.
        public = {PUBLIC[role] for role in subnet.endpoint_groups if role not in subnet.private}
        self.internet.nft(table('internet', chain('input', '0', f'iifname vpc ip saddr {subnet.vpc}.0.0/16 drop;',
                                                  drops('ip daddr', subnet.dead | public))))

    def _serve(self, subnet):
        places = {'endpoints': (self.endpoints, {role: subnet.endpoint(role) for role in subnet.private}),
                  'internet': (self.internet, {role: S3_ADDRESSES if role == 's3' else [PUBLIC[role]] for role in subnet.roles if role not in subnet.private})}
        if subnet.ipv6 == 'works':
            places['endpoints'][1].update({role: [*places['endpoints'][1][role], f'[{V6}:9::{11 + ALL.index(role)}]'] for role in subnet.private})
            places['internet'][1]['s3'] = [*S3_ADDRESSES, f'[{PUBLIC_6["s3"]}]']
        configs = {}
        for place, (namespace, listens) in places.items():
            listens = {role: [a for a in addresses if a not in subnet.refuses and a not in subnet.listeners] for role, addresses in listens.items()}
            configs[place] = namespace, ''.join(self._site(subnet, role, listen, subnet.certificates.get(role, 'good'))
                                                for role, listen in listens.items() if listen)
        if subnet.intercepts:
            configs['middlebox'] = self.vpc, ''.join(self._site(subnet, role, [f'0.0.0.0:{INTERCEPTOR}'], 'forged') for role in ALL)
        configs['dnsmasq' if subnet.dnsmasq else 'unbound'] = self.vpc, (
            names.dnsmasq(subnet) if subnet.dnsmasq else f'    interface: {subnet.resolver_address}\n' + names.unbound(subnet))
        if subnet.file_system == 'answers':
            configs['mount-target'] = self.endpoints, f'NFS at {subnet.mount_target}'
        while self.listeners:
            self.listeners.pop().stop()
        for name in sorted({*self.servers, *configs}, key=lambda name: name in configs):  # what ends gives its address free
            running = self.servers.get(name)
            namespace, config = configs.get(name, (None, None))
            if running and running.text == config:
                continue
            if running:
                self.servers.pop(name).stop()
            if config:
                server = {'unbound': Unbound, 'dnsmasq': Dnsmasq, 'mount-target': MountTarget}.get(name, Nginx)(self.directory, name, config, subnet)
                self.servers[name] = server
                with namespace.entered():
                    server.start().ready()
        for address, manner in subnet.listeners.items():
            with (self.endpoints if address.startswith(subnet.vpc) else self.internet).entered():
                self.listeners.append(Listener(address, manner))
        if subnet.file_system == 'denies':
            with self.endpoints.entered():
                self.listeners.append(Listener(subnet.mount_target, 'denies', 2049))

    def _site(self, subnet, role, listen, kind):
        chain, key = self.lab.certificate(role, kind)
        upstream = f'http://unix:{self.lab.socket}'
        location = {'ecr.dkr': ECR_LOCATIONS.format(passwords=self.lab.registry_passwords, upstream=upstream),
                    HUB: HUB_LOCATIONS.format(auth=HUB_HOSTS[1], upstream=upstream),
                    's3': S3_LOCATIONS.format(upstream=upstream)}.get(role, f'location / {{ proxy_pass {upstream}; }}')
        behaviour = ','.join(subnet.behaviour.get(role, []))
        if any(part in ('login', 'page') for part in subnet.behaviour.get(role, [])):
            location = f'location / {{ proxy_pass {upstream}; }}'
        ports = ''.join(f' listen {address}{"" if ":" in address and not address.startswith("[") else ":443"} ssl;' for address in listen)
        return f"""
    server {{
        {ports}
        server_name {' '.join(subnet.names_of(role))};
        ssl_certificate {chain};
        ssl_certificate_key {key};
        proxy_http_version 1.1;
        proxy_pass_header Date;
        proxy_buffering off;
        proxy_read_timeout 100s;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto https;
        proxy_set_header X-Lab-Role {role};
        proxy_set_header X-Lab-Behaviour "{behaviour}";
{location}
    }}"""

    def _task(self, subnet):
        document = self.lab.credentials_document(**{
            'expired': {'Expiration': '2026-01-01T00:00:00Z'}, 'unknown-key': {'AccessKeyId': 'ASIAEXAMPLEEXAMPLE00'},
            'wrong-secret': {'SecretAccessKey': 'w' * 40}}.get(subnet.credentials, {}))
        if subnet.credentials == 'no-token':
            del document['Token']
        if subnet.credentials == 'garbage':
            document = 'Service Unavailable'
        first = f'nameserver {subnet.vpc}.{subnet.first_resolver}\n' if subnet.first_resolver else ''
        self.resolv_conf.write_text(f'{first}nameserver {subnet.resolver_address}\nsearch ec2.internal\n')
        metadata = {path: numbered(make(), subnet) for path, make in
                    ((METADATA_PATH, container_metadata), (f'{METADATA_PATH}/task', task_metadata))}
        self.task_endpoint._release.set()
        self.task_endpoint.documents = {**metadata, **({} if subnet.credentials == 'unknown' else {self.region.credentials_path: document})}
        self.task_endpoint.hanging = {self.region.credentials_path} if subnet.credentials == 'hang' else set()
        self.task_endpoint._release.clear()

    def environment(self):
        variables = self.region.task_environment()
        if self.subnet.credentials == 'none':
            del variables['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']
        return variables

    def command(self, command, as_nobody):
        """How `command` is started inside: with the subnet's resolv.conf, as the user of the image or as root."""
        user = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups'] if as_nobody else []
        return ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.resolv_conf, *user, *map(str, command)]

    @contextlib.contextmanager
    def busy(self):
        """What makes this world slow: a delay on every packet, other processes on the processors."""
        with contextlib.ExitStack() as stack:
            for _ in range(self.subnet.burners):
                burner = subprocess.Popen(['sh', '-c', 'while :; do :; done'], preexec_fn=die_with_parent)
                stack.callback(burner.wait)
                stack.callback(burner.kill)
            if self.subnet.latency_ms:
                stack.enter_context(delay.forwarder(self.vpc, self.subnet.latency_ms))
                self.vpc.ip('route replace default dev delay table 7')
            yield

    def close(self):
        for server in self.servers.values():
            server.stop()
        self.task_endpoint.stop()
        for namespace in (self.task, self.vpc, self.endpoints, self.internet):
            os.close(namespace.fd)


def table(name, *chains):
    return f'table ip {name} {{\n' + '\n'.join(chains) + '\n}\n'


def chain(hook, priority, *rules, kind='filter'):
    return f'chain {hook} {{\ntype {kind} hook {hook} priority {priority};\n' + '\n'.join(rules) + '\n}'


def drops(field, addresses, exempt=None, condition=''):
    """A rule that drops without a word; `'all'` among the addresses means whatever is not exempt."""
    if not addresses:
        return ''
    if 'all' in addresses:
        return f'{condition} {field} != {{ {exempt} }} drop;' if exempt else f'{condition} drop;'
    return f'{condition} {field} {{ {", ".join(sorted(addresses))} }} drop;'


def numbered(document, subnet):
    """The metadata, with this VPC's addresses."""
    for network in document.get('Networks') or [n for c in document['Containers'] for n in c['Networks']]:
        network.update({'IPv4Addresses': [subnet.task], 'IPv4SubnetCIDRBlock': f'{subnet.vpc}.1.0/24',
                        'DomainNameServers': [subnet.resolver_address], 'SubnetGatewayIpv4Address': f'{subnet.vpc}.1.1/24'})
    if 'ClockDrift' in document and not subnet.synchronized:
        document['ClockDrift']['ClockSynchronizationStatus'] = 'NOT_SYNCHRONIZED'
    return document
