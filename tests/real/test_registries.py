"""Registries other than ECR: tokens, passwords, limits, and layers served by another host."""

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
    password_auth,
    tls_front,
    token_auth,
)
from pullprobe_testing.servers import Registry

PUBLIC, PRIVATE = f"{REGISTRY}/public/web:1", f"{REGISTRY}/team/app:1"
BEHIND_PASSWORD = f"{PASSWORDS}/team/app:1"
OLD_PASSWORD = "canary-of-last-year"
LAYER_BUCKET, CDN = "layers-of-example", "cdn.example.com"


def bcrypt(password):
    """Returns the hash that docker-registry accepts.

    crypt(3) of Debian computes it, called by Perl.
    """
    script = "print crypt($ARGV[0], q($2y$05$) . q(abcdefghijklmnopqrstuv))"
    return namespace.run("perl", "-e", script, password)


@pytest.fixture(scope="module")
def registries(region):
    """One store of images behind three registries: open (to push), with tokens, with a password."""
    password = f"canary-{uuid.uuid4()}"
    password_file = region.directory / "distribution.htpasswd"
    password_file.write_text(f"{USER}:{bcrypt(password)}\n")
    open_registry, with_tokens, with_password = all_registries = [
        Distribution(region.directory, "open-registry", 5011, {}),
        Distribution(region.directory, "token-registry", 5010, token_auth(region.authority.root)),
        Distribution(region.directory, "password-registry", 5012, password_auth(password_file)),
    ]
    with contextlib.ExitStack() as running:
        for registry in all_registries:
            running.callback(registry.stop)
            registry.start().ready()
        for name in ("public/web", "team/app"):
            Repository(open_registry.url, name).push("1", architectures=("amd64",))
        tokens = TokenService(5020, region.authority.issue("token-signer", [TOKENS]), password)
        running.callback(tokens.close)
        urls = {REGISTRY: with_tokens.url, TOKENS: tokens.url, PASSWORDS: with_password.url}
        servers = {
            host: running.enter_context(tls_front(region, host, url)) for host, url in urls.items()
        }

        def login(word=password, text=None):
            """Creates a secret with the login, or with `text`, and returns its ARN."""
            text = text or json.dumps({"username": USER, "password": word})
            manager = region.client("secretsmanager")
            name = f"login/{uuid.uuid4()}"
            return manager.create_secret(Name=name, SecretString=text)["ARN"]

        yield types.SimpleNamespace(tokens=tokens, servers=servers, login=login, password=password)
        shutil.rmtree(region.directory / "distribution", ignore_errors=True)


@pytest.fixture
def pull(probe, registries):
    """Runs the probe for a task with one image, and a login if there is a secret for it."""

    def pull(image, secret=None):
        container = {"name": "app", "image": image}
        if secret:
            container["repositoryCredentials"] = {"credentialsParameter": secret}
        run = probe.of_task([container])
        pair = base64.b64encode(f"{USER}:{registries.password}".encode()).decode()
        for hidden in (registries.password, pair, "eyJ"):
            assert hidden not in run.stdout + run.stderr, "the login is in the report"
        return run

    return pull


def test_public_image_is_pulled_with_an_anonymous_token(pull, registries):
    run = pull(PUBLIC)

    assert (run.exit_code, run.status) == (0, "pass"), run
    observations = run.observations("registry")
    tokens = {
        found["phase"]: found["outcome"]
        for found in observations
        if found["id"].startswith(f"registry@{TOKENS}/")
    }
    phases = ("resolve", "connect", "handshake", "authorize")
    assert tokens == dict.fromkeys(phases, "passed"), "the token service is a target"
    assert registries.tokens.requests[-1] == ("/token", "public/web", False)


def test_private_image_is_pulled_with_the_login_of_the_secret(pull, registries):
    run = pull(PRIVATE, registries.login())

    assert (run.exit_code, run.status) == (0, "pass"), run
    assert registries.tokens.requests[-1] == ("/token", "team/app", True)
    assert run.outcomes("secretsmanager")["read"] == {"passed"}
    assert run.outcomes("registry")["fetch"] == {"passed"}, run


def test_wrong_password_is_refused_by_the_token_service(pull, registries):
    run = pull(PRIVATE, registries.login(OLD_PASSWORD))

    assert (run.exit_code, run.causes) == (15, ["registry-login-failed"]), run
    assert run.finding("registry-login-failed")["confidence"] == "certain"
    assert run.failures("registry", "authorize") == ["unauthenticated"]
    assert [found["outcome"] for found in run.observations("registry", "manifest")] == [
        "not-reached"
    ]
    assert OLD_PASSWORD not in run.stdout


def test_private_and_missing_images_look_the_same_without_a_login(pull):
    run = pull(PRIVATE)

    causes = ["registry-login-failed", "repository-not-found"]
    assert (run.exit_code, run.causes) == (15, causes), run
    assert "certain" not in run.confidences, run


@pytest.mark.parametrize(
    "text, cause",
    [
        ('{"username": "deploy"}', "secret-json-key-missing"),
        ("deploy:canary-in-plain-text", "secret-not-json"),
    ],
)
def test_secret_that_is_not_a_login_is_named(pull, registries, text, cause):
    run = pull(PRIVATE, registries.login(text=text))

    assert (run.exit_code, run.causes) == (16, [cause]), run
    assert "canary-in-plain-text" not in run.stdout
    [manifest] = run.observations("registry", "manifest")
    assert manifest["outcome"] == "not-reached", run


def test_missing_login_secret_is_not_a_refused_login(pull, registries):
    missing = registries.login().replace("login/", "login/none-")

    run = pull(PRIVATE, missing)

    assert (run.exit_code, run.causes) == (16, ["secret-not-found"]), run


def test_silent_token_service_is_not_a_refused_login(region, pull, registries):
    with region.silent_address(ADDRESS[TOKENS]):
        run = pull(PRIVATE, registries.login())

    assert run.exit_code == 11 and "registry-login-failed" not in run.causes, run
    manifest = run.observations("registry", "manifest")[0]
    assert manifest["blocked_by"].startswith(f"registry@{TOKENS}/"), run
    assert run.failures("registry", "connect").count("timed-out") == 1, run


def test_registry_with_basic_authentication_gets_the_login(pull, registries):
    assert pull(BEHIND_PASSWORD, registries.login()).exit_code == 0

    run = pull(BEHIND_PASSWORD, registries.login(OLD_PASSWORD))

    assert (run.exit_code, run.causes) == (15, ["registry-login-failed"]), run
    assert run.finding("registry-login-failed")["confidence"] == "certain"
    assert run.outcomes("registry")["manifest"] == {"not-reached"}, run


def test_rate_limit_of_the_registry_is_reported(pull, registries):
    limited = LIMITED.format(left=99, then="proxy_pass http://127.0.0.1:5010;")
    with registries.servers[REGISTRY].replaced_by(locations=limited):
        run = pull(PUBLIC)

    assert run.exit_code == 0, run
    (manifest,) = run.observations("registry", "manifest")
    limit = {"limit": "100;w=21600", "remaining": "99;w=21600", "source": "203.0.113.99"}
    assert manifest["answer"]["rate_limit"] == limit


def test_exceeded_rate_limit_is_the_cause(pull, registries):
    exceeded = LIMITED.format(left=0, then=TOO_MANY)
    with registries.servers[REGISTRY].replaced_by(locations=exceeded):
        run = pull(PUBLIC)

    assert (run.exit_code, run.causes) == (19, ["registry-rate-limited"]), run
    (manifest,) = run.observations("registry", "manifest")
    assert manifest["attempts"] == 1, "the registry asked not to retry"
    assert manifest["answer"]["rate_limit"]["retry_after"] == "60"
    assert "203.0.113.99" in run.finding("registry-rate-limited")["summary"]


@pytest.fixture(scope="module")
def redirecting(region):
    """An image of a registry that redirects to another host for layers, as Docker Hub does."""
    region.client("s3", region.s3_moto).create_bucket(Bucket=LAYER_BUCKET)
    registry = Registry(
        region.directory,
        5013,
        LAYER_BUCKET,
        S3_HOST,
        "127.0.0.1",
        region.ca_bundle,
        name="redirecting-registry",
    )
    locations = f"location / {{ proxy_pass {registry.url}; }}"
    with contextlib.closing(registry), region.serves(CDN, "203.0.113.23", locations):
        registry.start().ready()
        Repository(registry.url, "public/web").push("1", architectures=("amd64",))
        yield f"{CDN}/public/web:1"


def test_host_that_serves_the_layers_is_a_target(pull, redirecting):
    run = pull(redirecting)

    assert run.exit_code == 0, run
    prefix = f"s3@{LAYER_BUCKET}.{S3_HOST}/"
    layers = [found for found in run.observations("s3") if found["id"].startswith(prefix)]
    phases = {"resolve", "connect", "handshake", "fetch"}
    assert {found["phase"] for found in layers} == phases, run
    assert {found["outcome"] for found in layers} == {"passed"}


def test_silent_host_of_the_layers_is_a_network_failure(region, pull, redirecting):
    with region.silent("s3"):
        run = pull(redirecting)

    assert run.exit_code == 11, run
    assert run.outcomes("registry")["blob"] == {"passed"}, run
    assert "layer-unavailable" not in run.causes, run
