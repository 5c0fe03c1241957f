"""Servers whose certificate the image puller refuses."""

from pullprobe_testing.region import HOST, IMAGE, REGISTRY_HOST


def test_intercepting_proxy_is_named_by_its_issuer(region, probe):
    forged = region.corporate.issue("gateway", [f"*.{HOST['ecr.dkr']}"])
    with region.servers["ecr.dkr"].replaced_by(certificate=forged):
        run = probe("--image", IMAGE)

    # With --ca-bundle, a bundle that lacks the registry's root looks the same.
    assert (run.exit_code, run.causes) == (12, ["tls-intercepted", "tls-untrusted"]), run
    assert run.failures("ecr.dkr", "handshake") == ["unknown-issuer"], run
    assert "Example Corp Web Gateway" in run.stdout, "the issuer is the evidence"


def test_certificate_for_another_name_is_reported_with_both_names(region, probe):
    other = region.authority.issue("artifacts", ["artifacts.example.com"])
    with region.servers["ecr.dkr"].replaced_by(certificate=other):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.failures("ecr.dkr", "handshake")) == (12, ["wrong-name"]), run
    assert "artifacts.example.com" in run.stdout and REGISTRY_HOST in run.stdout


def test_expired_certificate_is_reported(region, probe):
    expired = region.authority.issue("expired", [HOST["ecr.api"]], expired=True)
    with region.servers["ecr.api"].replaced_by(certificate=expired):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes[0]) == (12, "tls-expired"), run
    # Without ECR's API no service has returned its time: a wrong clock would look the same.
    assert set(run.causes) <= {"tls-expired", "clock-skew"}, run
    assert run.failures("ecr.api", "handshake") == ["expired-certificate"], run


def test_built_in_roots_refuse_every_server_of_the_region(probe):
    run = probe("--image", IMAGE, ca_bundle=False)

    assert (run.exit_code, run.causes) == (12, ["tls-intercepted"]), run
