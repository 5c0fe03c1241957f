//! Image references: how valid ones are parsed, and where the carets are under invalid ones.

use pullprobe::reference::{Reference, Registry};

const SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ECR: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn references_are_split_into_parts() {
    for (input, host, port, repository, version) in [
        (format!("{ECR}/app:1.4"), ECR, 443, "app", "1.4"),
        (format!("{ECR}/app"), ECR, 443, "app", "latest"),
        (
            format!("{ECR}:443/team/back-end/app__x:V_1"),
            ECR,
            443,
            "team/back-end/app__x",
            "V_1",
        ),
        (format!("{ECR}/app@{SHA256}"), ECR, 443, "app", SHA256),
        (format!("{ECR}/app:1@{SHA256}"), ECR, 443, "app", SHA256),
        (
            "nginx".into(),
            "registry-1.docker.io",
            443,
            "library/nginx",
            "latest",
        ),
        (
            "library/nginx:1".into(),
            "registry-1.docker.io",
            443,
            "library/nginx",
            "1",
        ),
        (
            "docker.io/nginx".into(),
            "registry-1.docker.io",
            443,
            "library/nginx",
            "latest",
        ),
        (
            "index.docker.io/team/app".into(),
            "registry-1.docker.io",
            443,
            "team/app",
            "latest",
        ),
        (
            "test.com:5000".into(),
            "registry-1.docker.io",
            443,
            "library/test.com",
            "5000",
        ),
        (
            "public.ecr.aws/nginx/nginx:1".into(),
            "public.ecr.aws",
            443,
            "nginx/nginx",
            "1",
        ),
        ("GHCR.io/team/app:1".into(), "ghcr.io", 443, "team/app", "1"),
        ("localhost/app".into(), "localhost", 443, "app", "latest"),
        ("registry:443/app".into(), "registry", 443, "app", "latest"),
        (
            "10.0.0.5:5000/a/b/c".into(),
            "10.0.0.5",
            5000,
            "a/b/c",
            "latest",
        ),
        (
            "[fd00::5]:5000/app".into(),
            "fd00::5",
            5000,
            "app",
            "latest",
        ),
        (
            "[::ffff:10.0.0.5]/app".into(),
            "::ffff:10.0.0.5",
            443,
            "app",
            "latest",
        ),
        (
            "ecr.example.com/app".into(),
            "ecr.example.com",
            443,
            "app",
            "latest",
        ),
        (
            "r-12.us-east-1.elb.amazonaws.com/app".into(),
            "r-12.us-east-1.elb.amazonaws.com",
            443,
            "app",
            "latest",
        ),
    ] {
        let reference: Reference = input.parse().unwrap_or_else(|err| panic!("{err}"));
        let seen = (
            reference.host(),
            reference.port(),
            reference.repository.as_str(),
            reference.version(),
        );
        assert_eq!(
            seen,
            (host.to_owned(), port, repository, version),
            "{input}"
        );
        assert_eq!(reference.to_string().parse(), Ok(reference), "{input}");
    }
}

#[test]
fn ecr_hosts_are_recognized_in_every_partition_and_variant() {
    for (host, region, fips, dual_stack) in [
        ("dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", false, false),
        (
            "dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "us-gov-west-1",
            true,
            false,
        ),
        ("dkr-ecr.eu-west-1.on.aws", "eu-west-1", false, true),
        ("dkr-ecr-fips.us-east-2.on.aws", "us-east-2", true, true),
        (
            "dkr.ecr.cn-northwest-1.amazonaws.com.cn",
            "cn-northwest-1",
            false,
            false,
        ),
        (
            "dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
            "cn-north-1",
            false,
            true,
        ),
        (
            "dkr.ecr.us-iso-east-1.c2s.ic.gov",
            "us-iso-east-1",
            false,
            false,
        ),
        (
            "dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
            "us-isob-east-1",
            false,
            false,
        ),
        (
            "dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
            "eu-isoe-west-1",
            false,
            false,
        ),
        (
            "dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
            "us-isof-south-1",
            false,
            false,
        ),
        (
            "dkr.ecr.eusc-de-east-1.amazonaws.eu",
            "eusc-de-east-1",
            false,
            false,
        ),
    ] {
        let input = format!("012345678901.{host}/team/app:1");
        let reference: Reference = input.parse().unwrap();
        let Registry::Ecr {
            account,
            region: parsed_region,
            variant,
        } = &reference.registry
        else {
            panic!("{input}")
        };
        let seen = (
            account.as_str(),
            parsed_region.as_str(),
            variant.fips,
            variant.dual_stack,
        );
        assert_eq!(seen, ("012345678901", region, fips, dual_stack));
        assert_eq!(reference.to_string(), input);
    }
}

#[test]
fn reference_serializes_as_a_string() {
    let reference: Reference = serde_json::from_str("\"nginx:1\"").unwrap();
    assert_eq!(
        serde_json::to_string(&reference).unwrap(),
        "\"docker.io/library/nginx:1\""
    );
    assert!(serde_json::from_str::<Reference>("\"nginx:\"").is_err());
}

/// Error messages with the reference and the carets under it.
const MISTAKES: &str = r#"
the domain "amazonawss.com" is not an AWS domain; did you mean amazonaws.com?
  123456789012.dkr.ecr.us-east-1.amazonawss.com/app:1
                                 ^^^^^^^^^^^^^^

the domain "example.com" is not an AWS domain; expected amazonaws.com
  123456789012.dkr.ecr.us-east-1.example.com/app:1
                                 ^^^^^^^^^^^

the domain of dkr.ecr in cn-north-1 is amazonaws.com.cn, not amazonaws.com
  123456789012.dkr.ecr.cn-north-1.amazonaws.com/app:1
                                  ^^^^^^^^^^^^^

the domain of dkr-ecr in eu-west-1 is on.aws, not amazonaws.com
  123456789012.dkr-ecr.eu-west-1.amazonaws.com/app:1
                                 ^^^^^^^^^^^^^

the domain is missing after eu-west-1; expected amazonaws.com
  123456789012.dkr.ecr.eu-west-1/app:1
                                ^

the partition aws-iso has no dual-stack registries
  123456789012.dkr-ecr.us-iso-east-1.on.aws/app:1
               ^^^^^^^

"12345678901" is not an AWS account ID; expected 12 digits
  12345678901.dkr.ecr.us-east-1.amazonaws.com/app:1
  ^^^^^^^^^^^

"my-account" is not an AWS account ID; expected 12 digits
  my-account.dkr.ecr.us-east-1.amazonaws.com/app:1
  ^^^^^^^^^^

"us-est-1" is not an AWS Region; expected a name such as us-east-1
  123456789012.dkr.ecr.us-est-1.amazonaws.com/app:1
                       ^^^^^^^^

the Region is missing before "amazonaws.com"
  123456789012.dkr.ecr.amazonaws.com/app:1
                       ^^^^^^^^^^^^^

"drk.ecr" is not part of an Amazon ECR host; did you mean dkr.ecr?
  123456789012.drk.ecr.us-east-1.amazonaws.com/app:1
               ^^^^^^^

"ecr" is not part of an Amazon ECR host; did you mean dkr.ecr?
  123456789012.ecr.us-east-1.amazonaws.com/app:1
               ^^^

"dkr.ecr" is missing before us-east-1
  123456789012.us-east-1.amazonaws.com/app:1
               ^^^^^^^^^

expected an Amazon ECR host such as <account>.dkr.ecr.<region>.amazonaws.com
  123456789012.ecr.amazonaws.com/app:1
               ^^^^^^^^^^^^^^^^^

Amazon ECR hosts must be lowercase
  123456789012.DKR.ECR.us-east-1.amazonaws.com/app:1
  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

Amazon ECR listens on port 443 only
  123456789012.dkr.ecr.us-east-1.amazonaws.com:5000/app:1
                                               ^^^^

the repository name is missing
  123456789012.dkr.ecr.us-east-1.amazonaws.com
                                              ^

the repository name is missing
  123456789012.dkr.ecr.us-east-1.amazonaws.com/:1
                                               ^

"$" is not allowed in a host name
  ${ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/app:1
  ^

repository names must be lowercase; did you mean "backend"?
  ghcr.io/team/BackEnd:1
               ^^^^^^^

"!" is not allowed in a repository name
  team/app!:1
          ^

"..." is not a valid separator in a repository name
  team/a...b:1
        ^^^

"app-" begins or ends with a separator
  team/app-:1
       ^^^^

the image reference must not have two slashes in a row
  ghcr.io/team//app:1
               ^

the image reference must not begin with a slash
  /app:1
  ^

the image reference must not end with a slash
  ghcr.io/team/
              ^

the tag is empty; add a tag or remove the colon
  ghcr.io/team/app:
                  ^

a tag cannot begin with "-"
  app:-1
      ^

"+" is not allowed in a tag
  app:1.0+build
         ^

a digest must follow "@"
  app:sha256:e3b0c442
      ^^^^^^^^^^^^^^^

a digest consists of "sha256:" and 64 hexadecimal digits
  app@e3b0c442
      ^^^^^^^^

the digest algorithm "md5" is not sha256 or sha512
  app@md5:e3b0c442
      ^^^

"E" is not a lowercase hexadecimal digit
  app@sha256:E3b0c442
             ^

a sha256 digest has 64 hexadecimal digits, not 8
  app@sha256:e3b0c442
             ^^^^^^^^

the image reference must not have a scheme; remove "https://"
  https://ghcr.io/team/app:1
  ^^^^^^^^

the image reference contains white space
  ghcr.io/team/app :1
                  ^

the port "70000" is not between 1 and 65535
  registry:70000/app:1
           ^^^^^

"fd00::x" is not an IPv6 address
  [fd00::x]:5000/app
   ^^^^^^^
"#;

#[test]
fn carets_mark_the_mistake() {
    for expected in MISTAKES.trim().split("\n\n") {
        let input = expected.lines().nth(1).unwrap().trim_start();
        let seen = input.parse::<Reference>().expect_err(input).to_string();
        assert_eq!(seen, expected);
    }
}

#[test]
fn carets_mark_zero_width_and_wide_characters() {
    for (input, shown) in [
        ("app:\u{7}1", "  app:\\u{7}1\n      ^^^^^"),
        ("ап\u{301}p", "  \\u{430}\\u{43f}\\u{301}p\n  ^^^^^^^"),
        ("app:日本", "  app:\\u{65e5}\\u{672c}\n      ^^^^^^^^"),
        ("nginx\n", "  nginx\\n\n       ^^"),
        ("", "  \n  ^"),
    ] {
        let seen = input.parse::<Reference>().unwrap_err().to_string();
        assert_eq!(seen.split_once('\n').unwrap().1, shown, "{input:?}");
    }
}

#[test]
fn tag_has_at_most_128_characters() {
    assert!(
        format!("app:{}", "a".repeat(128))
            .parse::<Reference>()
            .is_ok()
    );
    let invalid = format!("app:{}", "a".repeat(129))
        .parse::<Reference>()
        .unwrap_err();
    assert_eq!(
        (invalid.message.as_str(), invalid.at),
        (
            "the tag is 129 characters long; at most 128 are allowed",
            4..133
        )
    );
}

/// Checks what must hold for every input.
fn check(input: &str) {
    match input.parse::<Reference>() {
        Ok(reference) => assert_eq!(
            reference.to_string().parse().as_ref(),
            Ok(&reference),
            "{input:?}"
        ),
        Err(invalid) => {
            assert!(
                input.get(invalid.at.clone()).is_some(),
                "{input:?}: {:?}",
                invalid.at
            );
            let shown = invalid.to_string();
            let lines: Vec<_> = shown.lines().collect();
            assert_eq!(lines.len(), 3, "{shown}");
            assert!(shown.len() < 800, "{shown}");
            assert!(
                shown
                    .chars()
                    .all(|c| c == '…' || c == '\n' || matches!(c, ' '..='~')),
                "{shown}"
            );
            let (carets, text) = (lines[2].chars().count(), lines[1].chars().count());
            assert!(carets <= text + 1, "{shown}");
        }
    }
}

#[test]
fn arbitrary_input_does_not_panic() {
    let alphabet = [
        "a", "A", "1", ".", "..", "-", "_", "/", ":", "@", "[", "]", " ", "\0", "é", "日", "🐳",
        "sha256:", "ecr", "://",
    ];
    for a in alphabet {
        for b in alphabet {
            for c in alphabet {
                for d in alphabet {
                    check(&[a, b, c, d].concat());
                }
            }
        }
    }
}

#[test]
fn typos_in_valid_references_do_not_panic() {
    for valid in [
        format!("{ECR}:443/team/app:1.4@{SHA256}"),
        "123456789012.dkr-ecr-fips.cn-north-1.on.amazonwebservices.com.cn/app".into(),
        "[fd00::5]:5000/app:1".into(),
        "docker.io/library/nginx:1".into(),
    ] {
        for at in 0..=valid.len() {
            let (before, after) = valid.split_at(at);
            check(before);
            check(after);
            let rest = after.get(1..).unwrap_or_default();
            for typo in [
                "", ".", "-", "/", ":", "@", "A", "0", " ", "\u{301}", "🐳", "....", "//",
            ] {
                check(&[before, typo, after].concat());
                check(&[before, typo, rest].concat());
            }
        }
    }
}

#[test]
fn very_long_input_is_shortened() {
    for unit in [
        "a",
        "A",
        "/",
        ".",
        ":",
        "@",
        "🐳",
        "\u{301}",
        "a/",
        "1.dkr.ecr.",
    ] {
        for times in [60, 300, 100_000] {
            check(&unit.repeat(times));
            check(&format!("{ECR}/{}", unit.repeat(times)));
        }
    }
}
