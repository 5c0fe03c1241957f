"""Certificate authorities like those of AWS services: root, intermediate, leaf certificates.

`openssl` creates them, so they share no library with the probe.
"""

from pullprobe_testing.namespace import run

CA_USAGE = "keyUsage=critical,keyCertSign,cRLSign"


class Authority:
    """A root and its intermediate. `root` is the file to trust."""

    def __init__(self, directory, name):
        self.directory = directory
        directory.mkdir(parents=True)
        self.root = directory / "root.pem"
        self._key(directory / "root.key")
        command = ["openssl", "req", "-x509", "-new", "-days", "30", "-out", self.root]
        command += ["-key", directory / "root.key", "-subj", f"/O={name}/CN={name} Root CA"]
        for extension in ("basicConstraints=critical,CA:TRUE", CA_USAGE):
            command += ["-addext", extension]
        run(*command)
        self._sign(
            "intermediate",
            by="root",
            subject=f"/O={name}/CN={name} Issuing CA",
            extensions=["basicConstraints=critical,CA:TRUE,pathlen:0", CA_USAGE],
        )

    def issue(self, file, names, expired=False):
        """Issues a certificate for `names`; returns (chain file, key file)."""
        extensions = [
            "basicConstraints=critical,CA:FALSE",
            "extendedKeyUsage=serverAuth",
            "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
        ]
        subject = f"/CN={names[0]}"[:64]
        self._sign(file, by="intermediate", subject=subject, extensions=extensions, expired=expired)
        chain = self.directory / f"{file}.chain.pem"
        parts = (self.directory / f"{name}.pem" for name in (file, "intermediate"))
        chain.write_text("".join(part.read_text() for part in parts))
        return chain, self.directory / f"{file}.key"

    def _sign(self, file, by, subject, extensions, expired=False):
        key, request, configuration, certificate = (
            self.directory / f"{file}.{suffix}" for suffix in ("key", "csr", "ext", "pem")
        )
        self._key(key)
        run("openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request)
        configuration.write_text("\n".join(extensions))
        command = ["openssl", "x509", "-req", "-in", request, "-CAcreateserial"]
        command += ["-CA", self.directory / f"{by}.pem", "-CAkey", self.directory / f"{by}.key"]
        # `-days 0` would end in the second in which it begins; OpenSSL accepts negative days.
        command += ["-days", "-1" if expired else "30", "-extfile", configuration]
        run(*command, "-out", certificate)

    @staticmethod
    def _key(file):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file)
