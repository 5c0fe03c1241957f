"""Servers of the lab that keep standing while faults change: one nginx a namespace, and the VPC's resolver."""
from servers import Server

RESOLVER_LINK_LOCAL = '169.254.169.253'


class Nginx(Server):
    """One nginx for all the addresses of a namespace."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, f'nginx-{name}', None)
        self.text, self.root = text, directory / f'nginx-{name}.d'
        self.root.mkdir(exist_ok=True)

    def command(self):
        temporary = '\n'.join(f'    {kind}_temp_path {self.root}/{kind};' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        (self.root / 'pid').unlink(missing_ok=True)
        (self.root / 'nginx.conf').write_text(f"""
daemon off;
master_process off;
pid {self.root}/pid;
events {{}}
http {{
{temporary}
    access_log {self.root}/access.log;
    client_max_body_size 0;
    server_names_hash_bucket_size 128;
{self.text}
}}
""")
        return ['nginx', '-p', self.root, '-e', 'stderr', '-c', self.root / 'nginx.conf']

    def _listens(self):
        return (self.root / 'pid').exists() and (self.root / 'pid').read_text().strip() != ''


class Unbound(Server):
    """The VPC's resolver, at base + 2 and at 169.254.169.253."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, 'unbound', (subnet.resolver_address, 53))
        self.text, self.config = text, directory / 'unbound.conf'

    def command(self):
        self.config.write_text(f"""server:
    interface: {RESOLVER_LINK_LOCAL}
    access-control: 0.0.0.0/0 allow
    do-daemonize: no
    use-syslog: no
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{self.directory}"
    module-config: "iterator"
    do-not-query-localhost: no
    num-threads: 1
{self.text}""")
        return ['unbound', '-d', '-c', self.config]
