"""Somebody else answers, or the right one with a certificate that the puller refuses."""

from pullprobe_testing.region import HOST, IMAGE, REGISTRY_HOST


def test_a_gateway_that_opens_tls_is_named_with_its_issuer(region, probe):
    gateway = region.corporate.issue("gateway", [f"*.{HOST['ecr.dkr']}"])
    with region.servers["ecr.dkr"].replaced_by(certificate=gateway):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes) == (12, ["tls-intercepted"]), run
    assert run.failures("ecr.dkr", "handshake") == ["unknown-issuer"], run
    assert "Example Corp Web Gateway" in run.stdout, "the issuer is the evidence"


def test_a_certificate_for_another_name(region, probe):
    stranger = region.authority.issue("stranger", ["artifacts.example.com"])
    with region.servers["ecr.dkr"].replaced_by(certificate=stranger):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.failures("ecr.dkr", "handshake")) == (12, ["wrong-name"]), run
    assert "artifacts.example.com" in run.stdout and REGISTRY_HOST in run.stdout, (
        "expected and presented"
    )


def test_a_certificate_that_has_expired(region, probe):
    expired = region.authority.issue("expired", [HOST["ecr.api"]], expired=True)
    with region.servers["ecr.api"].replaced_by(certificate=expired):
        run = probe("--image", IMAGE)

    assert (run.exit_code, run.causes[0]) == (12, "tls-expired"), run
    # With the registry's API out of reach no server has said what time it is: a wrong clock would look the same.
    assert set(run.causes) <= {"tls-expired", "clock-skew"}, run
    assert run.failures("ecr.api", "handshake") == ["expired-certificate"], run


def test_without_the_bundle_the_built_in_roots_refuse_everybody(region, probe):
    run = probe("--image", IMAGE, ca_bundle=None)

    assert (run.exit_code, run.causes) == (12, ["tls-intercepted"]), run
