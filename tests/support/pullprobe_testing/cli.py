"""Runs pullprobe commands as an operator does: with AWS credentials, outside the VPC."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from pullprobe_testing import binaries, pace

MAX_COMMAND = 120  # seconds on an idle machine
OPERATOR_KEYS = "AKIDEXAMPLE00000000A", "secret"


def operator_environment(endpoint_url, region, keys=OPERATOR_KEYS, **more):
    """Returns the environment of an operator whose calls all go to `endpoint_url`."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


def run(*arguments, given=None, environment=None, timeout=MAX_COMMAND):
    """Runs a command of the operator's binary to its end."""
    how = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
    return subprocess.run(
        [binaries.OPERATOR, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=pace.limit(timeout),
        env={"PATH": os.environ["PATH"]} if environment is None else environment,
        **how,
    )


def run_shell(script, endpoint_url, region, keys=OPERATOR_KEYS):
    """Runs a shell script with the AWS CLI, whose calls all go to `endpoint_url`."""
    environment = operator_environment(endpoint_url, region, keys)
    environment["PATH"] = f"{pathlib.Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=pace.limit(MAX_COMMAND),
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def run_measured(*arguments, chunks=()):
    """Runs a command over generated input; returns stdout, stderr, exit code and peak KiB.

    The input goes through a pipe, so that no part of it has to be kept: a command may stop reading.
    """
    temporary = tempfile.NamedTemporaryFile
    with temporary() as stdout, temporary() as stderr, temporary() as peak:
        # The kernel counts the memory of the process that forks, so a small one has to.
        measure = ["/usr/bin/time", "--format", "%M", "--output", peak.name, "--quiet"]
        process = subprocess.Popen(
            [*measure, binaries.OPERATOR, *map(str, arguments)],
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
        )
        with contextlib.suppress(BrokenPipeError):
            for chunk in chunks:
                process.stdin.write(chunk)
            process.stdin.close()
        exit_code = process.wait(pace.limit(MAX_COMMAND))
        for file in (stdout, stderr):
            file.seek(0)
        output, errors = stdout.read().decode(), stderr.read().decode()
        return output, errors, exit_code, int(peak.read().split()[-1])


class LaunchCli:
    """The operator's command line in front of an EcsStandin.

    A launch reads the configuration only where a test is about that.
    """

    inspects = "off"

    def __init__(self, standin, region, keys=OPERATOR_KEYS):
        self.standin, self.region, self.keys = standin, region, keys

    def environment(self):
        return operator_environment(self.standin.url, self.region, self.keys)

    def start(self, *arguments):
        return subprocess.Popen(
            [binaries.OPERATOR, *map(str, arguments)],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process):
        began = time.monotonic()
        try:
            stdout, stderr = process.communicate(timeout=pace.limit(MAX_COMMAND))
        finally:
            process.kill()
        return LaunchResult(stdout, stderr, process.returncode, time.monotonic() - began)

    def __call__(self, *arguments):
        return self.finish(self.start(*arguments))

    def start_launch(self, *arguments, output="json"):
        inspect = "--inspect", self.inspects
        return self.start("launch", "--cluster", "prod", "--format", output, *inspect, *arguments)

    def launch(self, *arguments):
        return self.finish(self.start_launch(*arguments))


class LaunchResult:
    """The output of a command and how it ended."""

    def __init__(self, stdout, stderr, exit_code, seconds):
        self.stdout, self.stderr = stdout, stderr
        self.exit_code, self.seconds = exit_code, seconds

    @property
    def documents(self):
        return [json.loads(line) for line in self.stdout.splitlines()]

    def _of_schema(self, schema):
        return [document for document in self.documents if document["schema"] == schema]

    @property
    def reports(self):
        """Returns subnet -> report, in the order in which they were printed."""
        reports = self._of_schema("pullprobe/report/v1")
        return {report["run"]["labels"]["subnet"]: report for report in reports}

    @property
    def inspection(self):
        [inspection] = self._of_schema("pullprobe/inspection/v1")
        return inspection

    @property
    def comparison(self):
        [comparison] = self._of_schema("pullprobe/comparison/v1")
        return comparison

    def __repr__(self):
        output = f"stdout: {self.stdout[:3000]}\nstderr: {self.stderr[-3000:]}"
        return f"exit {self.exit_code} after {self.seconds:.2f} s\n{output}"
