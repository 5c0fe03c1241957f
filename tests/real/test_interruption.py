"""A run that is stopped or reaches its deadline still reports what it observed."""

import signal
import time

import pytest

from pullprobe_testing import pace
from pullprobe_testing.region import IMAGE


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_stopped_run_delivers_a_report(region, probe, log_group, with_signal):
    with region.silent("ecr.dkr"):
        process = probe.start("--image", IMAGE, "--log-group", log_group)
        time.sleep(1)
        assert process.poll() is None, "the run must be waiting for the registry now"
        probe.interrupt(process, with_signal)
        run = probe.finish(process)

    assert run.seconds < pace.limit(2), run
    assert run.outcomes("ecr.api")["authorize"] == {"passed"}, run
    assert {"not-reached", "not-checked"} & run.outcomes("ecr.dkr")["manifest"], run
    reports = [messages[-1] for messages in region.log_messages(log_group).values()]
    assert any(run.report["run"]["id"] in report for report in reports)


def test_deadline_ends_a_run_that_hangs(region, probe):
    with region.silent("ecr.dkr", "s3"):
        run = probe("--image", IMAGE, "--deadline", "1s")

    assert run.status in ("fail", "inconclusive"), run
    assert run.seconds < pace.limit(1 + 1.5), run
