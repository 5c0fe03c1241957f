"""EFS volumes: the name, port 2049, and whether NFS itself answers."""

import contextlib
import socket
import threading

import pytest

from pullprobe_testing import namespace, pace
from pullprobe_testing.region import IMAGE, REGION
from pullprobe_testing.servers import RPC_NULL_CALL_LENGTH, NfsServer, rpc_denial

FILE_SYSTEM = "fs-0123456789abcdef0"
HOST = f"{FILE_SYSTEM}.efs.{REGION}.amazonaws.com"
MOUNT_TARGET = "10.0.1.40"


@pytest.fixture(scope="module")
def mount_target(region):
    with (
        namespace.extra_address(MOUNT_TARGET),
        contextlib.closing(NfsServer(region.directory, MOUNT_TARGET)) as server,
    ):
        server.start().ready()
        yield server


@pytest.fixture
def mount(region, probe):
    """Runs the probe for a task with one EFS volume. `addresses` are those of its name."""

    def mount(addresses=(MOUNT_TARGET,), **volume):
        configuration = {"fileSystemId": FILE_SYSTEM, **volume}
        definition = {
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "volumes": [{"name": "data", "efsVolumeConfiguration": configuration}],
        }
        with region.dns.with_zones({HOST: addresses and list(addresses)}):
            return probe.of_task([{"name": "app", "image": IMAGE}], definition=definition)

    return mount


@contextlib.contextmanager
def file_server(mount_target, reply):
    """Replaces the mount target by a server that sends `reply(call)`; `None` sends nothing."""
    with mount_target.stopped(), socket.create_server((MOUNT_TARGET, 2049)) as listener:
        held = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    held.append(connection)
                    call = connection.recv(RPC_NULL_CALL_LENGTH)
                    if reply and call:
                        connection.sendall(reply(call))

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()


def test_mount_target_answers_as_nfs(mount, mount_target):
    run = mount()

    assert (run.exit_code, run.status) == (0, "pass"), run
    phases = ("resolve", "connect", "mount")
    assert run.outcomes("efs") == {phase: {"passed"} for phase in phases}, "no TLS"
    assert run.seconds < pace.limit(5), run


def test_options_that_only_a_mount_would_use_are_not_checked(mount, mount_target):
    access_point = "fsap-0123456789abcdef0"
    authorization = {"iam": "ENABLED", "accessPointId": access_point}
    run = mount(transitEncryption="ENABLED", authorizationConfig=authorization)

    assert (run.exit_code, run.status) == (3, "inconclusive"), run
    observations = run.observations("efs", "mount")
    (unchecked,) = [found for found in observations if found["outcome"] == "not-checked"]
    for option in ("IAM", "encryption in transit", access_point):
        assert option in unchecked["why"], unchecked
    assert [found["outcome"] for found in observations].count("passed") == 1, run


def test_missing_mount_target_in_the_zone_is_a_missing_name(mount):
    run = mount(addresses=None)

    assert (run.exit_code, run.causes) == (18, ["file-system-unreachable", "name-not-found"]), run
    assert run.failures("efs", "resolve") == ["no-such-name"]


def test_silent_mount_target_is_not_a_denial(region, mount, mount_target):
    with region.silent_address(MOUNT_TARGET):
        run = mount()

    assert (run.exit_code, run.causes[0]) == (18, "file-system-unreachable"), run
    assert run.failures("efs", "connect") == ["timed-out"]
    assert {found["outcome"] for found in run.observations("efs", "mount")} == {"not-reached"}
    assert not {"permission-denied", "file-system-denied"} & set(run.causes), run


def test_deleted_mount_target_refuses_connections(mount, mount_target):
    with mount_target.stopped():
        run = mount()

    causes = ["file-system-unreachable", "connection-refused"]
    assert (run.exit_code, run.causes) == (18, causes), run


@pytest.mark.parametrize(
    "reply, cause, failure",
    [
        (rpc_denial, "file-system-denied", "denied"),
        (None, "file-system-unreachable", "stalled"),
    ],
)
def test_nfs_server_that_denies_or_hangs_is_told_apart(mount, mount_target, reply, cause, failure):
    with file_server(mount_target, reply):
        run = mount()

    assert (run.exit_code, run.causes[0]) == (18, cause), run
    assert run.failures("efs", "mount") == [failure]


def test_other_server_on_the_port_is_not_a_file_server(mount, mount_target):
    response = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    with file_server(mount_target, lambda call: response):
        run = mount()

    assert run.failures("efs", "mount") == ["unexpected-answer"], run
    assert run.status == "fail" and "file-system-unreachable" in run.causes, run
    assert "certain" not in run.confidences, run
