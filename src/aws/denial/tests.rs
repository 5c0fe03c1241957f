use super::*;

const ROLE: &str = "arn:aws:sts::111122223333:assumed-role/ecsTaskExecutionRole/17cb";

fn denial(
    principal: &str,
    action: &str,
    resource: &str,
    policy: impl Into<Option<PolicyKind>>,
) -> Denial {
    let some = |text: &str| Some(text.to_owned().into()).filter(|text: &SafeText| !text.is_empty());
    Denial {
        principal: some(principal),
        action: some(action),
        resource: some(resource),
        policy: policy.into(),
        ..Denial::default()
    }
}

#[track_caller]
fn check(text: &str, expected: Denial) {
    assert_eq!(parse(text), Some(expected), "{text}");
}

#[test]
fn an_action_wrapped_within_a_word_is_joined() {
    let resource = "arn:aws:ecr:eu-west-1:111122223333:repository/web";
    for action in [
        "ecr:GetAuthor\nizationToken",
        "ecr:\nGetAuthorizationToken",
        "ecr:GetAuthorizationToken",
    ] {
        check(
            &format!(
                "User: arn:aws:sts::111122223333:assumed-role/ecsTaskEx\necutionRole/17cb is not authorized to perform: {action} on resource: {resource}"
            ),
            denial(ROLE, "ecr:GetAuthorizationToken", resource, None),
        );
        check(
            &format!(
                "User: {ROLE} is not authorized to perform: {action} because no VPC endpoint policy allows the action"
            ),
            denial(
                ROLE,
                "ecr:GetAuthorizationToken",
                "",
                PolicyKind::VpcEndpoint,
            ),
        );
    }
}

#[test]
fn reads_every_policy_type_for_implicit_and_explicit_denials() {
    for (name, kind) in [
        ("identity-based policy", PolicyKind::Identity),
        ("resource-based policy", PolicyKind::Resource),
        ("VPC endpoint policy", PolicyKind::VpcEndpoint),
        ("permissions boundary", PolicyKind::PermissionsBoundary),
        ("session policy", PolicyKind::Session),
        ("sessions policy", PolicyKind::Session),
        ("service control policy", PolicyKind::ServiceControl),
        ("resource control policy", PolicyKind::ResourceControl),
        ("role trust policy", PolicyKind::RoleTrust),
    ] {
        let base =
            format!("User: {ROLE} is not authorized to perform: ecr:BatchGetImage on resource: *");
        let implicit = denial(ROLE, "ecr:BatchGetImage", "*", kind);
        let text = format!("{base} because no {name} allows the ecr:BatchGetImage action");
        check(&text, implicit.clone());
        check(&text.replace(' ', "\n  "), implicit.clone());
        check(
            &text
                .to_uppercase()
                .replace(&*ROLE.to_uppercase(), ROLE)
                .replace("ECR:BATCHGETIMAGE", "ecr:BatchGetImage"),
            implicit.clone(),
        );
        let explicit = Denial {
            explicit: true,
            ..implicit
        };
        for lead in [
            "with an explicit deny in a",
            "with an explicit deny in an",
            "due to an explicit deny in the",
        ] {
            check(&format!("{base} {lead} {name}."), explicit.clone());
        }
        let arn = "arn:aws:organizations::052343574110:policy/o-y3vn/p-kfhx";
        check(
            &format!("{base} with an explicit deny in a {name}: {arn}."),
            Denial {
                policy_arn: Some(arn.into()),
                ..explicit
            },
        );
    }
}

#[test]
fn reads_variants_of_services_and_clients() {
    check(
        &format!(
            "CannotPullECRContainerError: AccessDeniedException: User: {ROLE} is not authorized to perform: \
             ecr:GetAuthorizationToken on resource: * because no identity-based policy allowsthe \
             ecr:GetAuthorizationToken action\\n\\tstatus code: 400, request id: 5f798344"
        ),
        denial(ROLE, "ecr:GetAuthorizationToken", "*", PolicyKind::Identity),
    );
    check(
        &format!(
            "{ROLE} is not authorized to perform: s3:ListBucket on resource: \\\"arn:aws:s3:::a bucket\\\" because no \
             session policy allows the s3:ListBucket action (Service: Amazon S3; Status Code: 403;"
        ),
        denial(
            ROLE,
            "s3:ListBucket",
            "arn:aws:s3:::a bucket",
            PolicyKind::Session,
        ),
    );
    check(
        &format!(
            "User: {ROLE} is not authorized to perform: logs:CreateLogGroup on resource: \
                  arn:aws:logs:us-east-2:997763366404:log-group:/ecs/k:log-stream: status code: 400, request id: x"
        ),
        denial(
            ROLE,
            "logs:CreateLogGroup",
            "arn:aws:logs:us-east-2:997763366404:log-group:/ecs/k:log-stream:",
            None,
        ),
    );
    check(
        "denied: User: ... is not authorized to perform: sqs:receivemessage with an explicit deny in a VPC endpoint \
         policy transitively through a service control policy",
        Denial {
            explicit: true,
            ..denial("", "sqs:receivemessage", "", PolicyKind::VpcEndpoint)
        },
    );
    check(
        "User: arn:aws:sts::***:assumed-role/r is not authorized to perform: ecr:BatchGetImage on resource: \
         arn:aws:ecr:eu-west-1:1111:repo\nsitory/app with an explicit deny",
        Denial {
            explicit: true,
            ..denial(
                "arn:aws:sts::***:assumed-role/r",
                "ecr:BatchGetImage",
                "arn:aws:ecr:eu-west-1:1111:repository/app",
                None,
            )
        },
    );
    check(
        "User: u is not authorized to perform: ecr:BatchGetImage on resource: * status code: 400. This is because of x",
        denial("u", "ecr:BatchGetImage", "*", None),
    );
    check(
        "You are not authorized to perform this operation. User: u is not authorized to perform: ec2:RunInstances \
         because no permissions boundary allows the ec2:RunInstances action. Encoded authorization failure message: x",
        denial("u", "ec2:RunInstances", "", PolicyKind::PermissionsBoundary),
    );
}

#[test]
fn reads_what_is_left_of_a_cut_text() {
    let base = format!(
        "User: {ROLE} is not authorized to perform: ecr:BatchGetImage on resource: * because no "
    );
    let expected = |kind: Option<PolicyKind>| denial(ROLE, "ecr:BatchGetImage", "*", kind);
    check(
        &format!("{base}identity-ba"),
        expected(Some(PolicyKind::Identity)),
    );
    check(
        &format!("{base}VPC..."),
        expected(Some(PolicyKind::VpcEndpoint)),
    );
    check(&format!("{base}resource-"), expected(None));
    check(
        &format!("{base}resource-b…"),
        expected(Some(PolicyKind::Resource)),
    );
    check(
        &format!("User: {ROLE} is not authorized to perform: ecr:Batch..."),
        denial(ROLE, "ecr:Batch", "", None),
    );
    check(
        &format!("User: {ROLE} is not authorized to perform: "),
        denial(ROLE, "", "", None),
    );
}

#[test]
fn kms_denials_without_a_policy_type_are_of_the_key() {
    let key = "arn:aws:kms:us-east-2:395516496764:key/f148";
    let base = format!("User: {ROLE} is not authorized to perform: kms:Decrypt on resource: {key}");
    check(&base, denial(ROLE, "kms:Decrypt", key, PolicyKind::KmsKey));
    check(
        &format!("{base} because no resource-based policy allows the kms:Decrypt action"),
        denial(ROLE, "kms:Decrypt", key, PolicyKind::Resource),
    );
    for text in [
        "AccessDeniedException: Access to KMS is not allowed status code: 400, request id: a87a66d9",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are \
         not allowed to access. (Service: AWSKMS;",
    ] {
        check(text, denial("", "", "", PolicyKind::KmsKey));
    }
}

#[test]
fn policy_names_are_read_back() {
    for policy in [
        PolicyKind::Identity,
        PolicyKind::Resource,
        PolicyKind::VpcEndpoint,
        PolicyKind::PermissionsBoundary,
        PolicyKind::Session,
        PolicyKind::ServiceControl,
        PolicyKind::ResourceControl,
        PolicyKind::RoleTrust,
    ] {
        let name = policy_name(policy).unwrap();
        assert_eq!(
            policy_kind(&format!("because no {name} allows")),
            Some(policy)
        );
    }
}

#[test]
fn other_texts_are_not_denials() {
    for text in [
        "",
        "Access Denied",
        "AccessDeniedException: User: arn:aws:sts::783560535431:assumed-rol...",
        "You are not authorized to perform this operation.",
        "dial tcp 10.0.0.1:443: i/o timeout",
        "because no identity-based policy allows the ecr:BatchGetImage action",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn cuts_do_not_panic_and_fields_are_bounded() {
    let text = format!(
        "é User: ’{ROLE}’ is not authorized to perform: kms:Decrypt on resource: “é\\\"x”\u{0} because no é-based policy: arn:é"
    );
    for (start, _) in text.char_indices() {
        parse(&text[start..]);
        parse(&text[..start]);
    }
    let long = "ä".repeat(9_000);
    let denial = parse(&format!(
        "User: {long} is not authorized to perform: a:b on resource: {long}"
    ))
    .unwrap();
    assert_eq!(denial.principal.unwrap().chars().count(), MAX_FIELD_CHARS);
    parse(&"User: is not authorized to perform: ".repeat(10_000));
}
