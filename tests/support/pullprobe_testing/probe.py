"""Runs the static binary as Fargate does: unprivileged, with only a task's environment."""

import json
import pathlib
import resource
import shutil
import signal
import subprocess
import time

from pullprobe_testing import binaries, pace, report_contract

IMAGE_USER = 65532  # the numeric user of the image
MAX_RUN = 60  # seconds; the probe's own deadline is 30
INCONCLUSIVE = 3  # exit code


class Run:
    """One finished run: its output, its exit code, its duration in seconds."""

    def __init__(self, stdout, stderr, exit_code, seconds):
        self.stdout, self.stderr = stdout, stderr
        self.exit_code, self.seconds = exit_code, seconds

    @property
    def report(self):
        return json.loads(self.stdout)

    @property
    def status(self):
        return self.report["verdict"]["status"]

    @property
    def causes(self):
        return [finding["cause"] for finding in self.report["findings"]]

    @property
    def confidences(self):
        return [finding["confidence"] for finding in self.report["findings"]]

    @property
    def starved(self):
        """Whether the machine was too busy for a verdict, so that the run has to be repeated."""
        return self.exit_code == INCONCLUSIVE and any(
            "starvation" in observation for observation in self.report["observations"]
        )

    def finding(self, cause):
        return next(finding for finding in self.report["findings"] if finding["cause"] == cause)

    def observations(self, dependency, phase=None):
        """Returns the observations of a dependency in the order of the report."""
        return [
            observation
            for observation in self.report["observations"]
            if observation["dependency"] == dependency and phase in (None, observation["phase"])
        ]

    def failures(self, dependency, phase):
        """Returns the failure of each observation of a phase; `None` for one that did not fail."""
        return [found.get("failure") for found in self.observations(dependency, phase)]

    def outcomes(self, dependency):
        """Returns phase -> set of outcomes."""
        outcomes = {}
        for observation in self.observations(dependency):
            outcomes.setdefault(observation["phase"], set()).add(observation["outcome"])
        return outcomes

    def __repr__(self):
        """Returns what pytest prints when a test fails: verdict, findings, what did not pass."""
        head = f"exit {self.exit_code} after {self.seconds:.2f} s"
        try:
            report = self.report
        except ValueError:
            output = f"stdout: {self.stdout[:2000]}\nstderr: {self.stderr[:2000]}"
            return f"{head}, no report\n{output}"
        findings = [
            f"  {found['confidence']} {found['cause']}: {found['summary']}"
            for found in report["findings"]
        ]
        observations = [
            _line(observation)
            for observation in report["observations"]
            if observation["outcome"] != "passed"
        ]
        lines = [f"{head}: {report['verdict']}", *findings, *observations, self.stderr]
        return "\n".join(lines)


def _line(observation):
    reason = observation.get("failure") or observation.get("blocked_by") or observation.get("why")
    detail = observation.get("detail") or ""
    return f"  {observation['id']}: {observation['outcome']} {reason} {detail}"


class Probe:
    """`pullprobe probe` in a region.

    Every report is checked against the contract and for secrets.
    """

    def __init__(self, region):
        self.region = region
        # The image's user may not read the directory of the repository.
        source = binaries.require_probe()
        self.binary = pathlib.Path(shutil.copy(source, region.directory / "pullprobe"))
        self.binary.chmod(0o755)

    def __call__(self, *flags, report=True, **how):
        """Runs the probe to its end. `report=False` expects a run without a report."""
        return self.finish(self.start(*flags, **how), report)

    def of_task(self, containers, *flags, definition=None, **how):
        """Runs the probe for a task definition with these containers."""
        document = {
            "family": "app",
            "executionRoleArn": "ecsTaskExecutionRole",
            "containerDefinitions": containers,
            **(definition or {}),
        }
        file = self.region.directory / "task-definition.json"
        file.write_text(json.dumps(document))
        return self("--task-definition", file, *flags, **how)

    def start(self, *flags, environment=None, without=(), ca_bundle=True, cwd="/", limits=None):
        """Starts a run.

        `without` names variables of the task to remove, `ca_bundle=False` leaves TLS to the
        built-in roots, `limits` maps limits of `resource` to their values.
        """
        roots = ["--ca-bundle", self.region.ca_bundle] if ca_bundle else []
        variables = {**self.region.task_environment(), **(environment or {})}
        for name in without:
            variables.pop(name)

        def set_limits():
            for kind, value in (limits or {}).items():
                resource.setrlimit(kind, (value, value))

        process = subprocess.Popen(
            [self.binary, "probe", "--format", "json", *roots, *flags],
            env=variables,
            cwd=cwd,
            user=IMAGE_USER,
            group=IMAGE_USER,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=set_limits,
        )
        process.started = time.monotonic()
        return process

    def finish(self, process, report=True):
        """Waits for the end of a run and returns it."""
        try:
            stdout, stderr = process.communicate(timeout=pace.limit(MAX_RUN))
        finally:
            process.kill()
        seconds = time.monotonic() - process.started
        run = Run(stdout, stderr, process.returncode, seconds)
        self.assert_no_secrets(run.stdout, run.stderr)
        if report:
            assert report_contract.violations(run.stdout) == [], run
            assert run.exit_code == run.report["verdict"]["exit_code"], run
        return run

    def interrupt(self, process, with_signal=signal.SIGTERM):
        """Sends a signal; the seconds of the run count from here."""
        process.send_signal(with_signal)
        process.started = time.monotonic()

    def assert_no_secrets(self, *texts):
        for name, secret in self.region.secrets().items():
            for text in texts:
                position = text.find(secret)
                assert position < 0, f"the {name} is in: {text[max(0, position - 80) :][:200]}"
