"""Runs the built binary as Fargate runs it: as nobody, with a task's environment and nothing of this machine's."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

import contract

ROOT = pathlib.Path(__file__).resolve().parents[2]
STATIC_BINARY = ROOT / 'target' / 'x86_64-unknown-linux-gnu' / 'release' / 'pullprobe'
NOBODY = 65532  # the user of the image
LONGEST_RUN = 60  # seconds; the probe's own deadline is 30


class Run:
    """One finished run: what it printed, how it ended, how long it took."""

    def __init__(self, stdout, stderr, exit_code, seconds):
        self.stdout, self.stderr, self.exit_code, self.seconds = stdout, stderr, exit_code, seconds

    @property
    def report(self):
        return json.loads(self.stdout)

    @property
    def status(self):
        return self.report['verdict']['status']

    @property
    def causes(self):
        return [finding['cause'] for finding in self.report['findings']]

    def finding(self, cause):
        return next(finding for finding in self.report['findings'] if finding['cause'] == cause)

    def seen(self, role, phase=None):
        """The observations of a role, in the order of the report."""
        return [observation for observation in self.report['observations']
                if observation['role'] == role and phase in (None, observation['phase'])]

    def failures(self, role, phase):
        """How a phase of a role failed, address by address; `None` for one that did not."""
        return [observation.get('failure') for observation in self.seen(role, phase)]

    def outcomes(self, role):
        """phase -> the set of outcomes it had."""
        seen = {}
        for observation in self.seen(role):
            seen.setdefault(observation['phase'], set()).add(observation['outcome'])
        return seen

    def __repr__(self):
        """What pytest prints when a test about it fails: the verdict, then what did not pass."""
        try:
            report = self.report
        except ValueError:
            return f'exit {self.exit_code} after {self.seconds:.2f} s, no report\nstdout: {self.stdout[:2000]}\nstderr: {self.stderr[:2000]}'
        unwell = [f"  {o['id']}: {o['outcome']} {o.get('failure') or o.get('blocked_by') or o.get('why')} {o.get('detail') or ''}"
                  for o in report['observations'] if o['outcome'] != 'passed']
        found = [f"  {f['confidence']} {f['cause']}: {f['summary']}" for f in report['findings']]
        return '\n'.join([f'exit {self.exit_code} after {self.seconds:.2f} s: {report["verdict"]}', *found, *unwell, self.stderr])


class Probe:
    """`pullprobe probe` in a region. Every report it prints is held against the contract and searched for secrets."""

    def __init__(self, region):
        self.region = region
        source = pathlib.Path(os.environ.get('PULLPROBE_BINARY', STATIC_BINARY))
        if not source.exists():
            raise RuntimeError(f'{source} is not built (`tests/run static` builds it)')
        # Nobody may not look into the directory of the checkout.
        self.binary = pathlib.Path(shutil.copy(source, region.directory / 'pullprobe'))
        self.binary.chmod(0o755)

    def __call__(self, *flags, report=True, **circumstances):
        """Run it to its end; `report=False` expects a run that has none."""
        return self.finish(self.start(*flags, **circumstances), report)

    def start(self, *flags, environment=None, without=(), ca_bundle='the region', cwd='/', limits=None):
        """Begin a run. `without` takes variables of the task away, `ca_bundle=None` leaves it to the built-in roots, `limits`
        are those of `resource`."""
        roots = ['--ca-bundle', self.region.ca_bundle] if ca_bundle else []
        variables = {**self.region.task_environment(), **(environment or {})}
        for name in without:
            variables.pop(name)
        process = subprocess.Popen([self.binary, 'probe', '--format', 'json', *roots, *flags],
                                   env=variables, cwd=cwd, user=NOBODY, group=NOBODY, extra_groups=[],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   preexec_fn=lambda: [resource.setrlimit(kind, (most, most)) for kind, most in (limits or {}).items()])
        process.started = time.monotonic()
        return process

    def finish(self, process, report=True):
        try:
            stdout, stderr = process.communicate(timeout=LONGEST_RUN)
        finally:
            process.kill()
        run = Run(stdout, stderr, process.returncode, time.monotonic() - process.started)
        self.must_be_silent_about_secrets(run.stdout, run.stderr)
        if report:
            assert contract.departures(run.stdout) == [], run
            assert run.exit_code == run.report['verdict']['exit_code'], run
        return run

    def interrupt(self, process, with_signal=signal.SIGTERM):
        """Ask it to end; the seconds of the run count from here."""
        process.send_signal(with_signal)
        process.started = time.monotonic()

    def must_be_silent_about_secrets(self, *texts):
        for name, secret in self.region.secrets().items():
            for text in texts:
                assert secret not in text, f'the {name} is in: {text[max(0, text.index(secret) - 80):][:200]}'
