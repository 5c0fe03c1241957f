"""The digest that a deployment pins, and the tag that the next one resolves, in a registry."""

import json

from pullprobe_testing.region import IMAGE, LAYER_BUCKET

REPOSITORY = IMAGE.rsplit(":", 1)[0]
GONE = f"sha256:{'0' * 64}"


def plan_of(*images):
    """Returns a plan as `launch` hands it over: image -> deployment."""
    rows = [{"image": image, "deployment": deployment} for image, deployment in images]
    document = {"schema": "pullprobe/plan/v1", "region": "us-east-1", "platform": "linux/amd64"}
    return json.dumps(document | {"images": rows})


def digest_of_tag(region):
    """Returns the digest that docker-registry has stored for the tag."""
    path, tag = REPOSITORY.split("/", 1)[1], IMAGE.rsplit(":", 1)[1]
    suffix = f"/repositories/{path}/_manifests/tags/{tag}/current/link"
    s3 = region.client("s3", region.s3_moto)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=LAYER_BUCKET)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    [link] = [key for key in keys if key.endswith(suffix)]
    return s3.get_object(Bucket=LAYER_BUCKET, Key=link)["Body"].read().decode()


def manifests(run):
    """Returns deployment -> the observation of its manifest."""
    return {seen["deployment"]: seen for seen in run.observations("ecr.dkr", "manifest")}


def test_pushed_again_and_gone(probe):
    run = probe("--plan", plan_of((f"{REPOSITORY}@{GONE}", "current"), (IMAGE, "next")))

    assert (run.status, run.exit_code) == ("fail", 15), run
    assert run.causes == ["image-not-found"] and run.confidences == ["certain"], run
    assert "--force-new-deployment" in run.finding("image-not-found")["remedy"], run
    seen = manifests(run)
    assert seen["current"]["failure"] == "not-found", run
    assert seen["next"]["outcome"] == "passed", run
    assert seen["next"]["detail"].startswith("next deployment"), run


def test_tag_is_gone_and_the_pinned_digest_is_not(region, probe):
    digest = digest_of_tag(region)

    run = probe(
        "--plan",
        plan_of((f"{REPOSITORY}@{digest}", "current"), (f"{REPOSITORY}:gone", "next")),
    )

    assert (run.status, run.exit_code) == ("warn", 4), run
    assert run.causes == ["image-not-found"], run
    assert run.observations("s3", "fetch"), "the layers of the pinned image are fetched"


def test_unchanged_tag_is_not_pulled_twice(region, probe):
    digest = digest_of_tag(region)

    run = probe("--plan", plan_of((f"{REPOSITORY}@{digest}", "current"), (IMAGE, "next")))

    assert (run.status, run.exit_code) == ("pass", 0), run
    assert "same image" in manifests(run)["next"]["detail"], run
    assert {seen["deployment"] for seen in run.observations("s3", "fetch")} == {"current"}, run
