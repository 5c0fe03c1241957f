"""tests/lab/run                        every fault; writes docs/confusion-matrix.md
tests/lab/run --check                every fault; fails if docs/confusion-matrix.md differs from
                                     what most of up to three runs report
tests/lab/run FAULT...               these faults, one line each ('*' matches: 'acl-*')
tests/lab/run FAULT -- COMMAND...    a command inside the broken subnet (a shell: -- bash)
tests/lab/run --list                 the names of all faults
tests/lab/run --repeat N [FAULT...]  N times in a row
tests/lab/run --busy N [FAULT...]    beside N busy processes; a run may then be inconclusive
tests/lab/run --kinds matrix         the faults of docs/confusion-matrix.md only
tests/lab/run --kinds judged         the others only, or some of them: --kinds lies,losses

Needs root for its network namespaces. The machine's network is not changed, and nothing outlives
the run.
"""

import argparse
import contextlib
import dataclasses
import fnmatch
import os
import pathlib
import subprocess
import sys
import time

from pullprobe_testing import pace
from pullprobe_testing.binaries import ROOT
from pullprobe_testing.lab import judged
from pullprobe_testing.lab.faults import faults
from pullprobe_testing.lab.lab import open_lab
from pullprobe_testing.lab.matrix import FURTHER_RUNS, Matrix
from pullprobe_testing.namespace import die_with_parent
from pullprobe_testing.region_shell import interactive_environment, shell

MATRIX = ROOT / "docs" / "confusion-matrix.md"
# Subnets at the same time: silent faults mostly wait, and two processors are busy with ten.
VPCS_PER_CORE, MOST_VPCS = 5, 10


def parse_arguments():
    """Returns the parsed arguments, and the command after `--` or `None`."""
    arguments, command = sys.argv[1:], None
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(
        prog="tests/lab/run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("fault", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--kinds", default="matrix,judged")
    parser.add_argument("--vpcs", type=int, default=pace.concurrent(VPCS_PER_CORE, MOST_VPCS))
    parser.add_argument("--reports", type=pathlib.Path, help="directory for the whole reports")
    return parser.parse_args(arguments), command


def of_kinds(known, kinds):
    """Returns the faults of some kinds; `judged` are all kinds that are not in the matrix."""
    allowed = {*kinds.split(",")}
    unknown = allowed - {"matrix", "judged"} - {fault.kind for fault in known}
    if unknown:
        kinds = sorted({fault.kind for fault in known if fault.kind})
        sys.exit(f"unknown kind {sorted(unknown)}; there are matrix, judged, {', '.join(kinds)}")
    if "judged" in allowed:
        allowed |= {fault.kind for fault in known if fault.kind}
    return [fault for fault in known if (fault.kind or "matrix") in allowed]


@contextlib.contextmanager
def busy(count):
    """Keeps the processors busy with `count` processes."""
    loop = ["sh", "-c", "while :; do :; done"]
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen(loop, preexec_fn=die_with_parent)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def choose(known, patterns):
    """Returns the faults that match; all without patterns."""
    names = [fault.name for fault in known]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            sys.exit(f"unknown fault {pattern!r}; tests/lab/run --list names all {len(known)}")

    def matches(fault):
        return any(fnmatch.fnmatchcase(fault.name, pattern) for pattern in patterns)

    return [fault for fault in known if not patterns or matches(fault)]


def writes_or_checks_document(arguments, chosen):
    """Whether these runs cover every row of the document, on an idle machine."""
    partial = arguments.fault or arguments.busy or all(fault.kind for fault in chosen)
    return not partial


def run_odd_again(lab, matrix, document, done):
    """Runs the faults again that reported something else than the document says."""
    odd = matrix.odd(document)
    if odd:
        names = ", ".join(fault.name for fault in odd)
        print(f"── {FURTHER_RUNS} further runs of what differs: {names}", flush=True)
        lab.run_all([dataclasses.replace(fault, repeats=FURTHER_RUNS) for fault in odd], done)


def run_faults(arguments, known, chosen):
    """Runs faults, prints each result, and writes or checks the matrix; returns the exit code."""
    began = time.monotonic()

    def elapsed():
        return time.monotonic() - began

    def add(fault, run):
        matrix.add(fault, run, arguments.reports)

    matrix = Matrix([fault for fault in known if not fault.kind], bool(arguments.busy))
    with open_lab(min(arguments.vpcs, len(chosen))) as lab, busy(arguments.busy):
        print(f"{len(chosen)} subnets, up after {elapsed():.1f} s", flush=True)
        for number in range(1, arguments.repeat + 1):
            lab.run_all(chosen, add)
            if arguments.repeat > 1:
                progress = f"{number} of {arguments.repeat}"
                print(f"── {progress}: {matrix.totals()} after {elapsed():.0f} s", flush=True)
        if arguments.check and writes_or_checks_document(arguments, chosen):
            run_odd_again(lab, matrix, MATRIX, add)
    print(f"{matrix.totals()} in {elapsed():.0f} s")
    if not writes_or_checks_document(arguments, chosen):
        return matrix.failed
    if arguments.check:
        return matrix.check(MATRIX) or matrix.failed
    matrix.write(MATRIX)
    return matrix.failed


def run_inside(subnet, command):
    """Runs a command as root in the task's namespace, with a task's environment."""
    with open_lab(1) as lab:
        [vpc] = lab.vpcs
        vpc.apply(subnet)
        environment = interactive_environment(lab.region, vpc.environment())
        environment["PULLPROBE_FLAGS"] = " ".join(map(str, lab.flags(subnet)))
        inner = vpc.command(command or shell(), unprivileged=False)
        with vpc.load(), vpc.task.entered():
            return subprocess.run(inner, env=environment, preexec_fn=die_with_parent).returncode


def main():
    arguments, command = parse_arguments()
    known = of_kinds([*faults(), *judged.faults()], arguments.kinds)
    if arguments.list:
        for fault in known:
            print(f"{fault.name:58} {', '.join(fault.causes) or 'no finding'}")
        return 0
    chosen = choose(known, arguments.fault)
    if os.geteuid() != 0:
        sys.exit("the lab creates network namespaces and needs root: sudo tests/lab/run")
    if command is not None:
        return run_inside(chosen[0].subnet, command)
    return run_faults(arguments, known, chosen)


if __name__ == "__main__":
    sys.exit(main())
