"""Pairs of faults, by the names of faults.py."""

# Two faults at once that have nothing to do with each other: both have to be reported in one run, either first, unless a
# third column says why neither need be.
PAIRS = """
    endpoint-missing:logs@endpoint            s3-gateway-missing@endpoint   one missing way out explains both
    endpoint-missing:ssm@endpoint             tag
    endpoint-missing:secretsmanager@endpoint  log-group
    endpoint-group:ssm@endpoint               s3-endpoint-policy
    endpoint-group:ecr.api@endpoint           s3-gateway-missing@endpoint
    endpoint-group:ssm@endpoint               tag
    endpoint-group:logs@endpoint              secret
    s3-gateway-missing@endpoint               log-group
    s3-gateway-missing@endpoint               secret
    s3-gateway-missing@endpoint               identity-policy-missing-action:logs
    s3-gateway-missing@endpoint               dead-zone:ecr.api@endpoint
    s3-gateway-missing@endpoint               small-link:logs@endpoint
    intercepted:s3@endpoint                   identity-policy-denies:secret
    intercepted:ecr.dkr@endpoint              endpoint-group:logs@endpoint
    intercepted:s3@nat                        log-group
    expired:logs@endpoint                     tag
    expired:s3@endpoint                       parameter
    wrong-name:logs@endpoint                  platform
    reset:ecr.dkr@endpoint                    log-group
    reset:logs@nat                            secret-json-key
    refused:logs@endpoint                     layer
    refused:s3@endpoint                       secret-not-json
    small-link:s3@endpoint                    log-group
    small-link:ecr.dkr@nat                    secret
    acl-narrow:s3@endpoint                    log-group
    acl-narrow:logs@nat                       tag
    hangs:logs@endpoint                       platform
    hangs:ecr.api@endpoint                    secret
    slow:logs@endpoint                        parameter
    slow:ecr.api@nat                          log-group
    empty-zone:logs@endpoint                  tag
    empty-zone:s3@endpoint                    endpoint-policy-denies:secret
    no-wildcard:ecr.dkr@endpoint              log-group
    firewalled-name:logs@endpoint             endpoint-group:ecr.dkr@endpoint
    another-service:logs@endpoint             secret-version
    dead-zone:ecr.dkr@endpoint                log-group
    dead-zone:logs@endpoint                   tag
    identity-policy-missing-action:token      log-group
    identity-policy-denies:manifest           permissions-boundary-denies:secret
    service-control-policy-denies:logs        resource-policy-denies:layer
    s3-endpoint-policy                        log-group
    s3-endpoint-policy                        identity-policy-missing-action:secret
    secret-key                                log-group
    tag                                       log-group
    platform                                  parameter
    layer                                     secret
    repository                                identity-policy-missing-action:logs
    throttled                                 secret
    task-group:logs@nat                       platform
    acl-outbound:ecr.api@nat                  secret-json-key
    swallowed:logs@nat                        registry-login
    reset:logs@endpoint                       refused:s3@endpoint
    intercepted:s3@endpoint                   refused:logs@endpoint
    small-link:s3@endpoint                    reset:logs@endpoint
    endpoint-group:logs@endpoint              refused:ecr.api@endpoint
    endpoint-group:logs@endpoint              acl-narrow:s3@endpoint
    empty-zone:logs@endpoint                  s3-gateway-missing@endpoint
    hangs:ecr.dkr@endpoint                    endpoint-group:ssm@endpoint
    dead-zone:ecr.api@endpoint                endpoint-group:logs@endpoint
    expired:logs@nat                          acl-narrow:s3@nat
    wrong-name:s3@nat                         hangs:logs@nat
    small-link:s3@endpoint                    hangs:logs@endpoint
    small-link-out:logs@endpoint              tag
    acl-narrow:s3@nat                         hangs:logs@nat
    hub-rate-limited@nat                      log-group
    hub-rate-limited@nat                      tag
    hub-repository@nat                        secret
    identity-policy-denies:secret@nat         refused:logs@nat
    s3-gateway-missing@endpoint               clock-of-one-service:logs@endpoint
    dead-s3-address@endpoint                  endpoint-group:logs@endpoint
"""
