"""Registries other than ECR: tokens, passwords, limits, and layers that a third host serves."""

import base64
import contextlib
import json
import shutil
import types
import uuid

import pytest

from pullprobe_testing import namespace
from pullprobe_testing.images import Repository
from pullprobe_testing.region import S3_HOST
from pullprobe_testing.registries import (
    ADDRESS,
    LIMITED,
    PASSWORDS,
    REGISTRY,
    TOKENS,
    TOO_MANY,
    USER,
    Distribution,
    TokenService,
    front,
    password_auth,
    token_auth,
)
from pullprobe_testing.servers import Registry

PUBLIC, PRIVATE = f"{REGISTRY}/public/web:1", f"{REGISTRY}/team/app:1"
BEHIND_PASSWORD = f"{PASSWORDS}/team/app:1"


def bcrypt(password):
    """The only form that docker-registry takes; crypt(3) of Debian knows it, and Perl is always there."""
    return namespace.run(
        "perl", "-e", "print crypt($ARGV[0], q($2y$05$) . q(abcdefghijklmnopqrstuv))", password
    )


@pytest.fixture(scope="module")
def registries(region):
    """One store of images behind three doors: none (to push), a token service, a password."""
    password = f"canary-{uuid.uuid4()}"
    passwords = region.directory / "distribution.htpasswd"
    passwords.write_text(f"{USER}:{bcrypt(password)}\n")
    with contextlib.ExitStack() as running:
        doors = [
            Distribution(region.directory, "open-door", 5011, {}),
            Distribution(region.directory, "token-door", 5010, token_auth(region.authority.root)),
            Distribution(region.directory, "password-door", 5012, password_auth(passwords)),
        ]
        for door in doors:
            running.callback(door.stop)
            door.start().ready()
        for name in ("public/web", "team/app"):
            Repository(doors[0].url, name).push("1", architectures=("amd64",))
        tokens = TokenService(5020, region.authority.issue("token-signer", [TOKENS]), password)
        running.callback(tokens.close)
        urls = {REGISTRY: doors[1].url, TOKENS: tokens.url, PASSWORDS: doors[2].url}
        servers = {
            host: running.enter_context(front(region, host, url)) for host, url in urls.items()
        }
        manager = region.client("secretsmanager")

        def login(user=USER, word=password, name=None, text=None):
            return manager.create_secret(
                Name=name or f"login/{uuid.uuid4()}",
                SecretString=text or json.dumps({"username": user, "password": word}),
            )["ARN"]

        yield types.SimpleNamespace(tokens=tokens, servers=servers, login=login, password=password)
        shutil.rmtree(region.directory / "distribution", ignore_errors=True)


@pytest.fixture
def pull(region, probe, registries):
    """`probe` of a task with one image, and a login if there is a secret for it."""

    def pull(image, secret=None, **how):
        container = {"name": "app", "image": image}
        if secret:
            container["repositoryCredentials"] = {"credentialsParameter": secret}
        file = region.directory / "registry-task.json"
        file.write_text(json.dumps({"family": "app", "containerDefinitions": [container]}))
        run = probe("--task-definition", file, **how)
        pair = base64.b64encode(f"{USER}:{registries.password}".encode()).decode()
        for hidden in (registries.password, pair, "eyJ"):
            assert hidden not in run.stdout + run.stderr, "the login is in the report"
        return run

    return pull


def test_anybody_may_pull_a_public_image_with_a_token(pull, registries):
    run = pull(PUBLIC)

    assert (run.exit_code, run.status) == (0, "pass"), run
    tokens = {
        seen["phase"]: seen["outcome"]
        for seen in run.observations("registry")
        if seen["id"].startswith(f"registry@{TOKENS}/")
    }
    assert tokens == dict.fromkeys(["resolve", "connect", "handshake", "authorize"], "passed"), (
        "a target of its own"
    )
    assert registries.tokens.requests[-1] == ("/token", "public/web", False)


def test_a_private_image_is_pulled_with_the_login_of_the_secret(pull, registries):
    secret = registries.login()

    run = pull(PRIVATE, secret)

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert registries.tokens.requests[-1] == ("/token", "team/app", True)
    assert run.outcomes("secretsmanager")["read"] == {"passed"}
    assert run.outcomes("registry")["fetch"] == {"passed"}, run


def test_a_wrong_password_is_refused_by_the_token_service(pull, registries):
    run = pull(PRIVATE, registries.login(word="canary-of-last-year"))

    assert (run.exit_code, run.causes) == (15, ["registry-login-failed"]), run
    assert run.finding("registry-login-failed")["confidence"] == "certain"
    assert run.failures("registry", "authorize") == ["unauthenticated"]
    assert [seen["outcome"] for seen in run.observations("registry", "manifest")] == [
        "not-reached"
    ], "it was never asked for"
    assert "canary-of-last-year" not in run.stdout


def test_without_a_login_private_and_missing_look_the_same(pull):
    run = pull(PRIVATE)

    assert (run.exit_code, run.causes) == (15, ["registry-login-failed", "repository-not-found"]), (
        run
    )
    assert "certain" not in [finding["confidence"] for finding in run.report["findings"]], run


@pytest.mark.parametrize(
    "text, cause",
    [
        ('{"username": "deploy"}', "secret-json-key-missing"),
        ("deploy:canary-in-plain-text", "secret-not-json"),
    ],
)
def test_a_secret_that_is_no_login(pull, registries, text, cause):
    run = pull(PRIVATE, registries.login(text=text))

    assert (run.exit_code, run.causes) == (16, [cause]), run
    assert "canary-in-plain-text" not in run.stdout
    assert [seen["outcome"] for seen in run.observations("registry", "manifest")] == [
        "not-reached"
    ], run


def test_a_login_secret_that_is_missing_is_no_refused_login(pull, registries):
    absent = registries.login().replace("login/", "login/none-")

    run = pull(PRIVATE, absent)

    assert (run.exit_code, run.causes) == (16, ["secret-not-found"]), run


def test_a_token_service_out_of_reach_is_no_refused_login(region, pull, registries):
    with region.silent_address(ADDRESS[TOKENS]):
        run = pull(PRIVATE, registries.login())

    assert run.exit_code == 11 and "registry-login-failed" not in run.causes, run
    assert run.observations("registry", "manifest")[0]["blocked_by"].startswith(
        f"registry@{TOKENS}/"
    ), run
    assert run.failures("registry", "connect").count("timed-out") == 1, run


def test_user_name_and_password_go_to_a_registry_that_asks_for_them(pull, registries):
    assert pull(BEHIND_PASSWORD, registries.login()).exit_code == 0

    run = pull(BEHIND_PASSWORD, registries.login(word="canary-of-last-year"))

    assert (run.exit_code, run.causes) == (15, ["registry-login-failed"]), run
    assert run.finding("registry-login-failed")["confidence"] == "certain"
    assert run.outcomes("registry")["manifest"] == {"not-reached"}, run


def test_what_the_registry_says_of_its_limit_is_reported(pull, registries):
    limited = LIMITED.format(left=99, then="proxy_pass http://127.0.0.1:5010;")
    with registries.servers[REGISTRY].replaced_by(locations=limited):
        run = pull(PUBLIC)

    assert run.exit_code == 0, run
    (manifest,) = run.observations("registry", "manifest")
    assert manifest["answer"]["rate_limit"] == {
        "limit": "100;w=21600",
        "remaining": "99;w=21600",
        "source": "203.0.113.99",
    }


def test_a_limit_that_is_reached_is_the_cause(pull, registries):
    with registries.servers[REGISTRY].replaced_by(locations=LIMITED.format(left=0, then=TOO_MANY)):
        run = pull(PUBLIC)

    assert (run.exit_code, run.causes) == (19, ["registry-rate-limited"]), run
    (manifest,) = run.observations("registry", "manifest")
    assert (manifest["attempts"], manifest["answer"]["rate_limit"]["retry_after"]) == (1, "60"), (
        "it asked to be left alone"
    )
    assert "203.0.113.99" in run.finding("registry-rate-limited")["summary"]


@pytest.fixture(scope="module")
def redirecting(region):
    """A registry that leaves its layers to somebody else, as Docker Hub leaves them to its CDN."""
    bucket, host = "layers-of-example", "cdn.example.com"
    region.client("s3", region.s3_moto).create_bucket(Bucket=bucket)
    registry = Registry(
        region.directory,
        5013,
        bucket,
        S3_HOST,
        "127.0.0.1",
        region.ca_bundle,
        name="redirecting-registry",
    )
    with (
        contextlib.closing(registry),
        region.serves(host, "203.0.113.23", f"location / {{ proxy_pass {registry.url}; }}"),
    ):
        registry.start().ready()
        Repository(registry.url, "public/web").push("1", architectures=("amd64",))
        yield f"{host}/public/web:1"


def test_the_host_that_serves_the_layers_is_a_target_of_its_own(pull, redirecting):
    run = pull(redirecting)

    assert run.exit_code == 0, run
    layers = [
        seen
        for seen in run.observations("registry")
        if seen["id"].startswith(f"registry@layers-of-example.{S3_HOST}/")
    ]
    assert {seen["phase"] for seen in layers} == {"resolve", "connect", "handshake", "fetch"}, run
    assert {seen["outcome"] for seen in layers} == {"passed"}


def test_the_host_that_serves_the_layers_may_be_out_of_reach(region, pull, redirecting):
    with region.silent("s3"):
        run = pull(redirecting)

    assert run.exit_code == 11, run
    assert run.outcomes("registry")["blob"] == {"passed"}, run
    assert "layer-unavailable" not in run.causes, run
