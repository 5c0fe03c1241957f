"""A file server: nfs-ganesha, speaking version 4 as a mount target of EFS does."""
from servers import Server


class FileServer(Server):
    """Nothing is exported: whether NFS answers does not depend on it."""

    def __init__(self, directory, address):
        super().__init__(directory, 'nfs-ganesha', (address, 2049))

    def command(self):
        recovery, config = self.directory / 'ganesha', self.directory / 'ganesha.conf'
        recovery.mkdir(exist_ok=True)
        config.write_text(f"""
NFS_CORE_PARAM {{ NFS_Port = 2049; Bind_addr = {self.peer[0]}; Protocols = 4; Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSv4 {{ Graceless = true; RecoveryBackend = "fs"; RecoveryRoot = "{recovery}"; }}
LOG {{ Default_Log_Level = EVENT; }}
""")
        return ['ganesha.nfsd', '-F', '-L', '/dev/stderr', '-f', config, '-p', self.directory / 'ganesha.pid']
