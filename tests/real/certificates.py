"""A certificate authority as services have it: a root, an intermediate that signs, one certificate for each service.

`openssl` makes them, so nothing here can agree with the probe by sharing a library with it.
"""
from namespace import run


class Authority:
    """A root and its intermediate. `root` is the file to trust; `issue` gives a chain and its key."""

    def __init__(self, directory, name):
        self.directory, self.name = directory, name
        directory.mkdir(parents=True)
        self.root = directory / 'root.pem'
        self._key(directory / 'root.key')
        run('openssl', 'req', '-x509', '-new', '-key', directory / 'root.key', '-out', self.root, '-days', '30',
            '-subj', f'/O={name}/CN={name} Root CA',
            '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign')
        self._signed('intermediate', by='root', subject=f'/O={name}/CN={name} Issuing CA',
                     extensions=['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign,cRLSign'])

    def issue(self, file, names, expired=False):
        """A certificate for `names` with its intermediate behind it: (chain file, key file)."""
        self._signed(file, by='intermediate', subject=f'/CN={names[0]}'[:64], expired=expired, extensions=[
            'basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth',
            'subjectAltName=' + ','.join(f'DNS:{name}' for name in names)])
        chain = self.directory / f'{file}.chain.pem'
        chain.write_text((self.directory / f'{file}.pem').read_text() + (self.directory / 'intermediate.pem').read_text())
        return chain, self.directory / f'{file}.key'

    def _signed(self, file, by, subject, extensions, expired=False):
        at = self.directory
        self._key(at / f'{file}.key')
        run('openssl', 'req', '-new', '-key', at / f'{file}.key', '-subj', subject, '-out', at / f'{file}.csr')
        (at / f'{file}.ext').write_text('\n'.join(extensions))
        # `-days 0` ends the very second it begins, hence the day before: OpenSSL takes a negative number of days.
        run('openssl', 'x509', '-req', '-in', at / f'{file}.csr', '-CA', at / f'{by}.pem', '-CAkey', at / f'{by}.key',
            '-CAcreateserial', '-days', '-1' if expired else '30', '-extfile', at / f'{file}.ext', '-out', at / f'{file}.pem')

    @staticmethod
    def _key(file):
        run('openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', file)
