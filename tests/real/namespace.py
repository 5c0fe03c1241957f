"""A private network for this process: its own addresses, its own resolver, nothing else.

The calling process moves into a new network and mount namespace and everything it starts follows it there, so
tests can own 10.0.0.2:53 or 169.254.170.2:80 while the machine keeps its own network untouched.
"""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, SIGKILL = 1, 9
_libc = ctypes.CDLL(None, use_errno=True)
os.environ['PATH'] += ':/usr/sbin:/sbin'  # nft, nginx, unbound: Debian leaves these out of a user's PATH

FILTER = """
table inet lab {
    set silent { type ipv4_addr; }
    chain input { type filter hook input priority 0; ip daddr @silent drop; }
}
"""


def enter(addresses, resolv_conf):
    """Leave the machine's network for an empty one with `addresses` on loopback; `resolv_conf` is what names are asked of."""
    if os.geteuid() != 0:
        raise PermissionError('a network namespace needs root: run this with sudo')
    _call(_libc.unshare, CLONE_NEWNET | CLONE_NEWNS)
    _call(_libc.mount, b'none', b'/', None, MS_REC | MS_PRIVATE, None)
    bind(resolv_conf, '/etc/resolv.conf')
    run('ip', 'link', 'set', 'lo', 'up')
    for address in addresses:
        run('ip', 'address', 'add', f'{address}/32', 'dev', 'lo')
    run('nft', '-f', '-', stdin=FILTER)


def bind(source, over):
    """Show `source` in the place of `over`, to this mount namespace only."""
    _call(_libc.mount, os.fsencode(source), os.fsencode(os.path.realpath(over)), None, MS_BIND, None)


@contextlib.contextmanager
def address(one):
    """One more address on loopback."""
    run('ip', 'address', 'add', f'{one}/32', 'dev', 'lo')
    try:
        yield
    finally:
        run('ip', 'address', 'delete', f'{one}/32', 'dev', 'lo')


@contextlib.contextmanager
def silent(*addresses):
    """Packets to `addresses` are dropped without a word, as a security group does it."""
    elements = '{ ' + ', '.join(addresses) + ' }'
    run('nft', 'add', 'element', 'inet', 'lab', 'silent', elements)
    try:
        yield
    finally:
        run('nft', 'delete', 'element', 'inet', 'lab', 'silent', elements)


def die_with_parent():
    """For `preexec_fn`: a killed test run leaves no server behind."""
    _libc.prctl(PR_SET_PDEATHSIG, SIGKILL)


def run(*command, stdin=None):
    """Run a command that has to succeed and hand back its output; its own words if it does not."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _call(function, *arguments):
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{function.__name__}: {os.strerror(number)}')
