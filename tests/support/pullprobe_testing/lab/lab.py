"""Runs the probe inside VPCs: one region of servers, several VPCs, each with one task."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import queue
import shutil
import tempfile
import threading
import time

from pullprobe_testing import binaries, pace
from pullprobe_testing.aws_error_proxy import (
    LONG_REGISTRY_PASSWORD,
    LONG_SESSION_TOKEN,
    AwsErrorProxy,
)
from pullprobe_testing.lab.subnet import (
    BUCKET,
    DEPENDENCIES,
    ENVIRONMENT_FILE,
    FILE_SYSTEM,
    HUB,
    Subnet,
)
from pullprobe_testing.lab.vpc import Vpc
from pullprobe_testing.probe import Run
from pullprobe_testing.region import ACCOUNT, REGION, Region

PREFIX = "pullprobe-lab-"
MAX_RUN = 60  # seconds; the probe's own deadline is 30
ALONE = 2  # subnets at the same time, where the load of others would be a fault as well
STARVED_TRIES = 3  # of a run that says that the machine was too busy for a verdict
STRIDE = 40  # more than there are healthy variants


class Lab:
    """A region and `count` VPCs."""

    def __init__(self, directory, count):
        self.region = Region(directory)
        self.directory = pathlib.Path(directory)
        self._certificates, self._issuing = {}, threading.Lock()
        self.socket = self.directory / "errors.sock"
        moto, registry = self.region.moto.peer, self.region.registry.peer
        upstream = dict.fromkeys(DEPENDENCIES, moto)
        upstream |= {"ecr.dkr": registry, HUB: registry, "s3": self.region.s3_moto.peer}
        self.error_proxy = AwsErrorProxy(
            self.socket, upstream, lambda: self.region.role_credentials
        )
        self.registry_passwords = self.directory / "passwords"
        self.registry_passwords.write_text(f"AWS:{{PLAIN}}{LONG_REGISTRY_PASSWORD}\n")
        self.region.repository.push("layer-gone")
        self.region.bucket_delete(self.region.repository.layers["layer-gone"]["amd64"][2])
        s3 = self.region.client("s3", self.region.s3_moto)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=ENVIRONMENT_FILE, Body=b"MODE=test\n")
        source = binaries.require_probe()
        self.binary = pathlib.Path(shutil.copy(source, self.directory / "pullprobe"))
        self.binary.chmod(0o755)
        self.vpcs = [Vpc(self, number) for number in range(count)]
        # A server dies with the thread that started it, so the threads live as long as the lab.
        self._threads = concurrent.futures.ThreadPoolExecutor(count)

    def close(self):
        self._threads.shutdown(cancel_futures=True)
        for vpc in self.vpcs:
            vpc.close()
        self.error_proxy.stop()
        self.region.close()

    def certificate(self, dependency, kind):
        """Returns (chain file, key file) of a dependency's certificate, issued at the first call.

        `kind` is `good`, `expired`, `wrong-name`, `leaf-only` (sent without its intermediate), or
        `forged` by the CA of an intercepting proxy; `forged-expired` is both.
        """
        with self._issuing:
            if (dependency, kind) not in self._certificates:
                wrong = kind == "wrong-name"
                names = ["proxy.example.com"] if wrong else Subnet().names_of(dependency)
                forged = kind.startswith("forged")
                authority = self.region.corporate if forged else self.region.authority
                chain, key = authority.issue(
                    f"{kind}-{dependency}", names, expired=kind.endswith("expired")
                )
                if kind == "leaf-only":
                    chain = key.with_suffix(".pem")
                self._certificates[dependency, kind] = chain, key
            return self._certificates[dependency, kind]

    def credentials_document(self, **changed):
        """Returns the task's credentials, with a session token as long as AWS's."""
        token = self.region.role_credentials["SessionToken"] + LONG_SESSION_TOKEN
        return self.region.credentials_document(**{"Token": token, **changed})

    def flags(self, subnet):
        """Returns what the task needs to start, as flags of `probe`."""
        secret = {
            "password": f"{self.region.secret}:password::",
            "no-key": f"{self.region.secret}:pin::",
            "not-json": f"{self.region.plain_secret}:password::",
            "no-version": f"{self.region.secret}:password:CANARY:",
            "absent": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/absent-AbCdEf",
        }[subnet.secret]
        parameter = self.region.parameter + ("" if subnet.parameter else "-absent")
        flags = ["--image", subnet.image]
        if subnet.hub_image:
            flags += ["--image", subnet.hub_image]
        if subnet.environment_file or subnet.file_system:
            flags += ["--task-definition", self.task_definition(subnet)]
        flags += ["--log-group", subnet.log_group, "--secret", secret, "--secret", parameter]
        if subnet.expect_private:
            flags += ["--expect", "private"]
        return flags

    def task_definition(self, subnet):
        """Returns a file with what has no flag: environment files and volumes.

        Its name is a digest of its content, so that VPCs can share it.
        """
        container = {"name": "app", "image": subnet.image}
        if subnet.environment_file:
            arn = f"arn:aws:s3:::{BUCKET}/{subnet.environment_file}"
            container["environmentFiles"] = [{"type": "s3", "value": arn}]
        volumes = []
        if subnet.file_system:
            configuration = {"fileSystemId": FILE_SYSTEM}
            volumes.append({"name": "data", "efsVolumeConfiguration": configuration})
        document = {
            "family": "app",
            "executionRoleArn": "ecsTaskExecutionRole",
            "containerDefinitions": [container],
            "volumes": volumes,
        }
        text = json.dumps(document)
        file = self.directory / f"task-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        file.write_text(text)
        return file

    def probe(self, vpc, subnet):
        """Configures a VPC as `subnet` says and returns one run of the probe in it."""
        met_before = vpc.faults_met()
        vpc.apply(subnet)
        flags = ["--format", "json", "--ca-bundle", self.region.ca_bundle, *self.flags(subnet)]
        with vpc.load():
            process = vpc.start([self.binary, "probe", *flags], vpc.environment())
            began = time.monotonic()
            try:
                stdout, stderr = process.communicate(timeout=pace.limit(MAX_RUN))
            finally:
                process.kill()
        run = Run(stdout, stderr, process.returncode, time.monotonic() - began)
        run.faults_met = vpc.faults_met() - met_before
        return run

    def run_all(self, faults, done):
        """Runs every fault, first those that may run beside others; `done(fault, run)` for each."""
        for alone in (False, True):
            batch = [fault for fault in faults if fault.alone == alone]
            repeated = [fault for fault in batch for _ in range(fault.repeats)]
            self._run_batch(repeated, ALONE if alone else len(self.vpcs), done)

    def _run_batch(self, faults, at_once, done):
        """Runs every fault in the next free VPC and calls `done(fault, run)` as each ends.

        Neighbours in the list do not run at the same time. They put the same load on moto, which
        is one process: many of them at once would make their services slow, and that is a fault as
        well.
        """
        free = queue.SimpleQueue()
        for vpc in self.vpcs[:at_once]:
            free.put(vpc)

        def run(fault):
            vpc = free.get()
            try:
                for _ in range(STARVED_TRIES):
                    result = self.probe(vpc, fault.subnet)
                    if not result.starved:
                        break
                return fault, result
            except RuntimeError as error:  # a server or a command of the lab failed
                return fault, Run("", str(error), -1, 0)
            finally:
                free.put(vpc)

        spread = [fault for first in range(STRIDE) for fault in faults[first::STRIDE]]
        running = [self._threads.submit(run, fault) for fault in spread]
        for future in concurrent.futures.as_completed(running):
            done(*future.result())


@contextlib.contextmanager
def open_lab(count):
    """Runs a lab for the length of a `with`. Files of a killed run are removed first."""
    for left in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not pathlib.Path("/proc", left.name.removeprefix(PREFIX)).exists():
            shutil.rmtree(left, ignore_errors=True)
    directory = pathlib.Path(tempfile.gettempdir(), f"{PREFIX}{os.getpid()}")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755)
    try:
        with contextlib.closing(Lab(directory, count)) as lab:
            yield lab
    finally:
        shutil.rmtree(directory, ignore_errors=True)
