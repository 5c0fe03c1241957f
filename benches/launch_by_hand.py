"""benches/launch [RUNS]   `pullprobe launch --install` beside the same steps by hand.

From an account without the probe's image to the verdict of the last of four subnets: build,
push, register, run, wait, read. Both sides use the same stand-ins for Amazon ECR and ECS, whose
tasks need the same time, and begin with an empty registry. Prints medians, the ratio and the
number of commands; slow results are not failures. Needs root for buildah, `tests/run tools
static` and `cargo build --release`.
"""

import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from pullprobe_testing import binaries, launch_account
from pullprobe_testing.cli import operator_environment
from pullprobe_testing.ecr_standin import EcrStandin
from pullprobe_testing.ecs_standin import REGION, EcsStandin, Scripted
from pullprobe_testing.registries import Distribution
from pullprobe_testing.servers import Moto

VENV = binaries.ROOT / "target" / "venv" / "bin"
RELEASE = pathlib.Path(
    os.environ.get("PULLPROBE_OPERATOR", binaries.TARGET / "release" / "pullprobe")
)
RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
# Seconds of a task: on Fargate a start takes tens of seconds, which would hide the difference.
PENDING, RUNNING = 1.0, 0.3

OURS = """
pullprobe launch --cluster prod --service web --install --agent "linux/amd64=$PROBE" >/dev/null
"""

# What a careful person types: the next command as soon as the one before it is done.
BY_HAND = """
set -euo pipefail
buildah bud --quiet --tag "$IMAGE" --file Dockerfile . >/dev/null
aws ecr create-repository --repository-name pullprobe >/dev/null
aws ecr get-login-password |
  buildah login --tls-verify=false --username AWS --password-stdin "$REGISTRY" >/dev/null
buildah push --quiet --tls-verify=false "$IMAGE" "docker://$IMAGE" >/dev/null
definition=$(aws ecs describe-services --cluster prod --services web \\
  --query 'services[0].taskDefinition' --output text)
role=$(aws ecs describe-task-definition --task-definition "$definition" \\
  --query taskDefinition.executionRoleArn --output text)
subnets=$(aws ecs describe-services --cluster prod --services web \\
  --query 'services[0].networkConfiguration.awsvpcConfiguration.subnets' --output text)
groups=$(aws ecs describe-services --cluster prod --services web \\
  --query 'services[0].networkConfiguration.awsvpcConfiguration.securityGroups[0]' --output text)
aws ecs register-task-definition --family by-hand --network-mode awsvpc --cpu 256 --memory 512 \\
  --requires-compatibilities FARGATE --execution-role-arn "$role" --task-role-arn "$role" \\
  --container-definitions "name=pullprobe,image=$IMAGE" >/dev/null
for subnet in $subnets; do
  tasks+=($(aws ecs run-task --cluster prod --task-definition by-hand --launch-type FARGATE \\
    --network-configuration "awsvpcConfiguration={subnets=[$subnet],securityGroups=[$groups]}" \\
    --overrides '{"containerOverrides":[{"name":"pullprobe"}]}' \\
    --query 'tasks[0].taskArn' --output text))
done
aws ecs wait tasks-stopped --cluster prod --tasks "${tasks[@]}"
aws ecs describe-tasks --cluster prod --tasks "${tasks[@]}" \\
  --query 'tasks[].containers[0].exitCode' --output text >/dev/null
"""


class Account:
    """An account with an empty registry and a service in four subnets."""

    def __init__(self, directory, moto):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.distribution = Distribution(directory, "docker-registry", port, auth={}).start()
        self.distribution.ready()
        created = launch_account.create(moto)
        created.close()
        self.ecr = EcrStandin(self.distribution.peer, moto.peer)
        behaviours = {
            subnet: Scripted(pending=PENDING, running=RUNNING) for subnet in created.subnets
        }
        self.ecs = EcsStandin(self.ecr.peer, behaviours)
        # buildah pings a registry, which the stand-in does not answer, so it pushes past it.
        registry = f"127.0.0.1:{port}"
        self.environment = operator_environment(
            self.ecs.url,
            REGION,
            PATH=f"{directory}:{VENV}:/usr/bin:/bin:/usr/sbin:/sbin",
            HOME=str(directory),
            PROBE=str(binaries.require_probe()),
            AWS_DEFAULT_REGION=REGION,  # the AWS CLI reads no AWS_REGION
            REGISTRY=registry,
            IMAGE=f"{registry}/pullprobe:0.1.0",
            CONTAINERS_STORAGE_CONF=str(directory / "storage.conf"),
        )
        (directory / "pullprobe").symlink_to(RELEASE)
        roots = f'graphroot = "{directory}/images"\nrunroot = "{directory}/run"\n'
        (directory / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\n{roots}')
        self.context = directory / "context"
        file = self.context / binaries.STATIC_PATH
        file.parent.mkdir(parents=True)
        shutil.copy(binaries.require_probe(), file)
        shutil.copy(binaries.ROOT / "Dockerfile", self.context)

    def close(self):
        self.ecs.close()
        self.ecr.close()
        self.distribution.stop()


def seconds(script, moto):
    with tempfile.TemporaryDirectory() as directory:
        account = Account(pathlib.Path(directory), moto)
        try:
            began = time.monotonic()
            subprocess.run(
                ["bash", "-c", script],
                env=account.environment,
                cwd=account.context,
                check=True,
            )
            took = time.monotonic() - began
            assert len(account.ecs.tasks) == 4, "a task in each subnet"
            return took
        finally:
            account.close()


def commands(script):
    """Counts the commands that are typed; that of the loop once for each of the four subnets."""
    typed = len(re.findall(r"\b(?:aws|buildah|pullprobe) [a-z]+ ?[a-z-]*", script))
    return typed + 3 * script.count("for subnet")


def main():
    if not RELEASE.exists():
        sys.exit(f"{RELEASE} is not built: run cargo build --release")
    ours, by_hand = [], []
    with tempfile.TemporaryDirectory() as directory, Moto.running(pathlib.Path(directory)) as moto:
        for _ in range(RUNS):  # in turn, so that other load of the machine affects both
            ours.append(seconds(OURS, moto))
            by_hand.append(seconds(BY_HAND, moto))
    mine, theirs = statistics.median(ours), statistics.median(by_hand)
    print(
        f"from nothing to four verdicts, median of {RUNS}:  pullprobe {mine:.1f} s, "
        f"{commands(OURS)} command   by hand {theirs:.1f} s, {commands(BY_HAND)} commands   "
        f"{theirs / mine:.1f} times faster; {PENDING + RUNNING:.1f} s are the tasks' own"
    )


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("buildah needs root: sudo benches/launch")
    main()
