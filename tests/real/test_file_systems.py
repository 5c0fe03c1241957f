"""EFS volumes: the name, port 2049, and whether NFS itself answers."""

import contextlib
import json
import socket
import threading

import pytest
from pullprobe_testing.nfs_server import FileServer

from pullprobe_testing import namespace
from pullprobe_testing.region import IMAGE, REGION

FILE_SYSTEM = "fs-0123456789abcdef0"
HOST = f"{FILE_SYSTEM}.efs.{REGION}.amazonaws.com"
MOUNT_TARGET = "10.0.1.40"

# RFC 5531 section 9: MSG_DENIED, AUTH_ERROR, AUTH_TOOWEAK. The first word is the call's own.
TOO_WEAK = (
    bytes.fromhex("80000014") + b"%id%" + bytes.fromhex("00000001 00000001 00000001 00000005")
)


@pytest.fixture(scope="module")
def mount_target(region):
    with (
        namespace.extra_address(MOUNT_TARGET),
        contextlib.closing(FileServer(region.directory, MOUNT_TARGET)) as server,
    ):
        server.start().ready()
        yield server


@pytest.fixture
def mounting(region, probe):
    """A run of a task with one EFS volume, whose name resolves to these addresses (`None`: to nothing)."""

    def mounting(addresses=(MOUNT_TARGET,), **volume):
        file = region.directory / "efs-task.json"
        file.write_text(
            json.dumps(
                {
                    "family": "app",
                    "requiresCompatibilities": ["FARGATE"],
                    "networkMode": "awsvpc",
                    "containerDefinitions": [{"name": "app", "image": IMAGE}],
                    "volumes": [
                        {
                            "name": "data",
                            "efsVolumeConfiguration": {"fileSystemId": FILE_SYSTEM, **volume},
                        }
                    ],
                }
            )
        )
        with region.dns.with_zones({HOST: addresses and list(addresses)}):
            return probe("--task-definition", file)

    return mounting


@contextlib.contextmanager
def file_server_that_says(words):
    """Whoever connects to 2049 is answered with `words` after the call; `None` is silence."""
    with socket.create_server((MOUNT_TARGET, 2049)) as listener:
        held = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    held.append(connection)
                    call = connection.recv(44)
                    if words is not None and call:
                        connection.sendall(words.replace(b"%id%", call[4:8]))

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()


def test_a_mount_target_answers_as_nfs(mounting, mount_target):
    run = mounting()

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert run.outcomes("efs") == {
        phase: {"passed"} for phase in ("resolve", "connect", "mount")
    }, "and no TLS"
    assert run.seconds < 5, run


def test_what_only_a_mount_would_try_is_not_called_checked(mounting, mount_target):
    run = mounting(
        transitEncryption="ENABLED",
        authorizationConfig={"iam": "ENABLED", "accessPointId": "fsap-0123456789abcdef0"},
    )

    assert (run.exit_code, run.status) == (3, "inconclusive"), run
    (left_out,) = [
        seen for seen in run.observations("efs", "mount") if seen["outcome"] == "not-checked"
    ]
    for option in ("IAM", "encryption in transit", "fsap-0123456789abcdef0"):
        assert option in left_out["why"], left_out
    assert [seen["outcome"] for seen in run.observations("efs", "mount")].count("passed") == 1, run


def test_no_mount_target_in_this_zone_is_a_name_that_does_not_exist(mounting):
    run = mounting(None)

    assert (run.exit_code, run.causes) == (18, ["file-system-unreachable", "name-not-found"]), run
    assert run.failures("efs", "resolve") == ["no-such-name"]


def test_a_security_group_without_2049_is_silence(region, mounting, mount_target):
    with region.silent_address(MOUNT_TARGET):
        run = mounting()

    assert (run.exit_code, run.causes[0]) == (18, "file-system-unreachable"), run
    assert run.failures("efs", "connect") == ["timed-out"]
    assert {seen["outcome"] for seen in run.observations("efs", "mount")} == {"not-reached"}
    assert not {"permission-denied", "file-system-denied"} & set(run.causes), run


def test_a_mount_target_that_is_gone_refuses(mounting, mount_target):
    with mount_target.stopped():
        run = mounting()

    assert (run.exit_code, run.causes) == (18, ["file-system-unreachable", "connection-refused"]), (
        run
    )


@pytest.mark.parametrize(
    "words, cause, failure",
    [
        (TOO_WEAK, "file-system-denied", "denied"),
        (None, "file-system-unreachable", "stalled"),
    ],
)
def test_what_an_nfs_server_says_to_a_greeting(mounting, mount_target, words, cause, failure):
    mount_target.stop()
    try:
        with file_server_that_says(words):
            run = mounting()
    finally:
        mount_target.start().ready()

    assert (run.exit_code, run.causes[0]) == (18, cause), run
    assert run.failures("efs", "mount") == [failure]


def test_somebody_else_on_that_port_is_no_file_server(mounting, mount_target):
    mount_target.stop()
    try:
        with file_server_that_says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"):
            run = mounting()
    finally:
        mount_target.start().ready()

    assert run.failures("efs", "mount") == ["unexpected-answer"], run
    assert run.status == "fail" and "file-system-unreachable" in run.causes, run
    assert "certain" not in [finding["confidence"] for finding in run.report["findings"]], run
