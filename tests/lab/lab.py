"""The lab: one region of servers, several worlds, and the probe run inside them."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import time

from judge import LONG_REGISTRY_PASSWORD, LONG_SESSION_TOKEN, Judge
from namespace import die_with_parent
from probe import STATIC_BINARY, Run
from region import ACCOUNT, REGION, Region
from subnet import ALL, BUCKET, ENVIRONMENT_FILE, FILE_SYSTEM, HUB, Subnet
from world import World

PREFIX = 'pullprobe-lab-'
LONGEST_RUN = 60  # seconds; the probe's own deadline is 30
STRIDE = 40       # more than there are healthy variants


class Lab:
    def __init__(self, directory, worlds):
        self.region = Region(directory)
        self.directory = pathlib.Path(directory)
        self._certificates, self._issuing = {}, threading.Lock()
        self.socket = self.directory / 'judge.sock'
        moto, registry = self.region.moto.peer, self.region.registry.peer
        upstream = {role: moto for role in ALL} | {'ecr.dkr': registry, HUB: registry, 's3': self.region.s3_moto.peer}
        self.judge = Judge(self.socket, upstream, lambda: self.region.role_credentials)
        self.registry_passwords = self.directory / 'passwords'
        self.registry_passwords.write_text(f'AWS:{{PLAIN}}{LONG_REGISTRY_PASSWORD}\n')
        self.region.repository.push('layer-gone')
        self.region.bucket_delete(self.region.repository.layers['layer-gone']['amd64'][2])
        files = self.region.client('s3', self.region.s3_moto)
        files.create_bucket(Bucket=BUCKET)
        files.put_object(Bucket=BUCKET, Key=ENVIRONMENT_FILE, Body=b'MODE=test\n')
        source = pathlib.Path(os.environ.get('PULLPROBE_BINARY', STATIC_BINARY))
        if not source.exists():
            raise SystemExit(f'{source} is not built (`tests/run static` builds it)')
        self.binary = pathlib.Path(shutil.copy(source, self.directory / 'pullprobe'))
        self.binary.chmod(0o755)
        self.worlds = [World(self, number) for number in range(worlds)]
        # A server dies with the thread that started it, so the threads live as long as the lab.
        self._threads = concurrent.futures.ThreadPoolExecutor(worlds)

    def close(self):
        self._threads.shutdown(cancel_futures=True)
        for world in self.worlds:
            world.close()
        self.judge.stop()
        self.region.close()

    def certificate(self, role, kind):
        """'good', 'expired', 'wrong-name', or 'forged' by a middlebox's own authority; made when first asked for."""
        with self._issuing:
            if (role, kind) not in self._certificates:
                names = ['proxy.example.com'] if kind == 'wrong-name' else Subnet().names_of(role)
                authority = self.region.corporate if kind == 'forged' else self.region.authority
                self._certificates[role, kind] = authority.issue(f'{kind}-{role}', names, expired=kind == 'expired')
            return self._certificates[role, kind]

    def credentials_document(self, **changed):
        """What the task is given: the region's, with a session token as long as AWS's."""
        token = self.region.role_credentials['SessionToken'] + LONG_SESSION_TOKEN
        return self.region.credentials_document(**{'Token': token, **changed})

    def flags(self, subnet):
        """What the task needs to start, as flags of the probe."""
        asked = {'password': f'{self.region.secret}:password::', 'no-key': f'{self.region.secret}:pin::',
                 'not-json': f'{self.region.plain_secret}:password::', 'no-version': f'{self.region.secret}:password:CANARY:',
                 'absent': f'arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/absent-AbCdEf'}[subnet.secret]
        parameter = self.region.parameter if subnet.parameter else f'{self.region.parameter}-absent'
        private = ['--expect', 'private'] if subnet.expect_private else []
        hub = ['--image', subnet.hub_image] if subnet.hub_image else []
        task = ['--task-definition', self.task_definition(subnet)] if subnet.environment_file or subnet.file_system else []
        return ['--image', subnet.image, *hub, *task, '--log-group', subnet.log_group, '--secret', asked, '--secret', parameter, *private]

    def task_definition(self, subnet):
        """What no flag says: environment files and volumes. Named by what is in it, so that worlds can share it."""
        container = {'name': 'app', 'image': subnet.image}
        if subnet.environment_file:
            container['environmentFiles'] = [{'type': 's3', 'value': f'arn:aws:s3:::{BUCKET}/{subnet.environment_file}'}]
        volumes = [{'name': 'data', 'efsVolumeConfiguration': {'fileSystemId': FILE_SYSTEM}}] if subnet.file_system else []
        text = json.dumps({'family': 'app', 'containerDefinitions': [container], 'volumes': volumes})
        file = self.directory / f'task-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json'
        file.write_text(text)
        return file

    def probe(self, world, subnet):
        """One run of the probe in a world that is as `subnet` says."""
        world.apply(subnet)
        command = world.command([self.binary, 'probe', '--format', 'json', '--ca-bundle', self.region.ca_bundle, *self.flags(subnet)], True)
        with world.busy(), world.task.entered():
            process = subprocess.Popen(command, env=world.environment(), cwd='/', stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
            began = time.monotonic()
            try:
                stdout, stderr = process.communicate(timeout=LONGEST_RUN)
            finally:
                process.kill()
        return Run(stdout, stderr, process.returncode, time.monotonic() - began)

    def run_all(self, faults, done):
        """Every fault in whichever world is free; `done(fault, run)` as they end.

        Neighbours in the list do not run side by side: those that ask much of moto, which is one process, would be many at
        a time, and their services really slow.
        """
        free = queue.SimpleQueue()
        for world in self.worlds:
            free.put(world)

        def one(fault):
            world = free.get()
            try:
                return fault, self.probe(world, fault.subnet)
            except RuntimeError as error:  # a server or a command of the lab's own
                return fault, Run('', str(error), -1, 0)
            finally:
                free.put(world)
        apart = [fault for first in range(STRIDE) for fault in faults[first::STRIDE]]
        for future in concurrent.futures.as_completed([self._threads.submit(one, fault) for fault in apart]):
            done(*future.result())


@contextlib.contextmanager
def open_lab(worlds):
    """A lab for the length of a `with`. What a killed run left in /tmp is removed first; nothing else of it outlives it."""
    for left in pathlib.Path(tempfile.gettempdir()).glob(f'{PREFIX}*'):
        if not pathlib.Path('/proc', left.name.removeprefix(PREFIX)).exists():
            shutil.rmtree(left, ignore_errors=True)
    directory = pathlib.Path(tempfile.gettempdir(), f'{PREFIX}{os.getpid()}')
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755)
    try:
        with contextlib.closing(Lab(directory, worlds)) as lab:
            yield lab
    finally:
        shutil.rmtree(directory, ignore_errors=True)
