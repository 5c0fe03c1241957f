//! The screens at three widths, each as a file in `tests/screens/`; and the mistakes of a first day,
//! each with its sentence and exit code.
#![cfg(all(feature = "demo", feature = "operator"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test panic as the test does"
)]

#[allow(dead_code, reason = "this test reads stories and does not judge them")]
#[path = "support/scenario/line.rs"]
mod line;
#[allow(dead_code, reason = "this test reads stories and does not judge them")]
#[path = "support/scenario/story.rs"]
mod story;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use pullprobe::compare::ComparisonBuilder;
use pullprobe::explain::explain;
use pullprobe::render::style::Style;
use pullprobe::render::{comparison, explanation, page, text};
use pullprobe::report::{Report, Run};
use pullprobe::vantage::Vantage;
use story::Story;

/// Columns of a small window, of a terminal, and of a wide one.
const WIDTHS: [usize; 3] = [60, 80, 120];

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the report of a story in `tests/scenarios/`.
fn report(name: &str) -> Report {
    let path = in_repository("tests/scenarios").join(format!("{name}.toml"));
    let story: Story = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let observations = story.observations();
    let diagnosis = pullprobe::diagnose::diagnose(&observations);
    let run = Run {
        id: "0d4f29".into(),
        version: "0.1.0".into(),
        started_at: "2026-11-24T10:00:00Z".into(),
        elapsed_ms: 4_210,
        labels: BTreeMap::new(),
        address_ranges: String::new(),
        internal_error: None,
        shortened: None,
    };
    let vantage = Vantage {
        availability_zone: Some("us-east-1a".into()),
        subnet_cidr: Some("10.0.1.0/24".parse().unwrap()),
        address: Some("10.0.1.10".parse().unwrap()),
        ..Vantage::default()
    };
    let plan = serde_json::Value::Null;
    Report::new(run, vantage, None, observations, diagnosis, plan)
}

/// The denial of a secret, as Amazon ECS prints it.
const DENIED: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval \
    failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret \
    arn:aws:secretsmanager:us-east-1:123456789012:secret:app from secrets manager: AccessDeniedException: User: \
    arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/abc is not authorized to perform: \
    secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:app because no \
    identity-based policy allows the secretsmanager:GetSecretValue action";

const TIMED_OUT: &str = "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: \
    failed open: failed to do request: Get \
    https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/a: dial tcp 52.217.90.132:443: i/o timeout";

/// The answer of a proxy to CONNECT.
const BY_PROXY: &str = "failed to do request: Head \
    \"https://123456789012.dkr.ecr.us-east-1.amazonaws.com/v2/app/manifests/1\": Proxy Authentication Required";

/// Returns every screen in one style.
fn screens(style: Style) -> Vec<(&'static str, String)> {
    let verbose = style.with_verbose(true);
    let reports = fs::read_to_string(in_repository("tests/data/three-subnets.ndjson")).unwrap();
    let compared = |lines: &str| {
        let mut builder = ComparisonBuilder::default();
        for line in lines.lines() {
            assert!(builder.add_text(line, "file"));
        }
        builder.finish()
    };
    let all = compared(&reports);
    let passing: Vec<&str> = reports
        .lines()
        .filter(|line| line.contains("\"status\":\"pass\""))
        .collect();
    let explained = |text: &str, style| explanation::render(&explain(text), style);
    let mut screens: Vec<(&'static str, String)> = REPORTS
        .iter()
        .map(|(screen, story)| (*screen, text::render(&report(story), style)))
        .collect();
    screens.extend([
        (
            "report-verbose",
            text::render(&report(REPORTS[0].1), verbose),
        ),
        ("compare", comparison::render(&all, style)),
        ("launch", comparison::render_launch(&all, style)),
        ("launch-quiet", comparison::render_quiet(&all, style)),
        (
            "launch-pass",
            comparison::render_launch(&compared(&passing.join("\n")), style),
        ),
        ("explain-denied", explained(DENIED, style)),
        ("explain-timed-out", explained(TIMED_OUT, style)),
        ("explain-verbose", explained(TIMED_OUT, verbose)),
        ("explain-proxy", explained(BY_PROXY, style)),
        ("explain-unknown", explained("it broke", style)),
        (
            "causes",
            page::render(pullprobe::cause::Cause::KmsKeyDenies.page(), style),
        ),
    ]);
    screens
}

/// Screens of one report, each with its story.
const REPORTS: [(&str, &str); 9] = [
    ("report-gateway", "s3-gateway-missing"),
    ("report-denied", "identity-policy-missing-action"),
    ("report-image", "image-not-found"),
    ("report-secret", "secret-not-found"),
    ("report-resolver", "resolver-unreachable"),
    ("report-two-causes", "pair-s3-gateway-and-log-group"),
    ("report-warn", "service-slow"),
    ("report-inconclusive", "inconclusive-interrupted"),
    ("report-pass", "healthy-interface-endpoints"),
];

#[test]
fn screens_match_their_files() {
    let refresh = std::env::var_os("REFRESH_SCREENS").is_some();
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for width in WIDTHS {
        for (name, screen) in screens(Style::new(width)) {
            let file = files.entry(name).or_default();
            let _ = writeln!(file, "── {width} columns\n{screen}");
        }
    }
    let mut stale = Vec::new();
    for (name, now) in files {
        let path = in_repository("tests/screens").join(format!("{name}.txt"));
        if refresh {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &now).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != now {
            stale.push(format!("{}:\n{now}", path.display()));
        }
    }
    assert!(
        stale.is_empty(),
        "screens have changed. To accept them: REFRESH_SCREENS=1 cargo test --test screens\n{}",
        stale.join("\n")
    );
}

#[test]
fn no_line_is_longer_than_the_terminal_but_for_a_word_or_a_command() {
    for width in [40, 47, 60, 72, 80, 100, 120, 160, 200] {
        for (name, screen) in screens(Style::new(width)) {
            for line in screen.lines() {
                let is_copied = line.starts_with("    ") || line.starts_with("  $ ");
                let longest_word = line
                    .split_whitespace()
                    .map(|word| word.chars().count())
                    .max();
                let is_one_word = longest_word.unwrap_or(0) + 16 > width;
                assert!(
                    line.chars().count() <= width || is_copied || is_one_word,
                    "{name} at {width}: {line}"
                );
            }
        }
    }
}

#[test]
fn colors_only_paint_what_is_there_without_them() {
    for ((name, plain), (_, painted)) in screens(Style::new(80))
        .into_iter()
        .zip(screens(Style::new(80).with_color(true)))
    {
        let mut stripped = String::new();
        let mut rest = painted.as_str();
        while let Some(start) = rest.find('\u{1b}') {
            stripped.push_str(&rest[..start]);
            let end = rest[start..].find('m').unwrap();
            rest = &rest[start + end + 1..];
        }
        stripped.push_str(rest);
        // The last cell of a row is painted with the spaces after it.
        let lines: Vec<&str> = stripped.lines().map(str::trim_end).collect();
        assert_eq!(lines.join("\n"), plain.trim_end(), "{name}");
        assert!(!plain.contains('\u{1b}'), "{name}");
    }
}

#[test]
fn a_failure_begins_with_its_sentence_and_a_launch_ends_with_the_remedy() {
    for (name, screen) in screens(Style::default()) {
        let is_failure = name.starts_with("report-") && screen.starts_with("✗ FAIL");
        if is_failure {
            let [verdict, remedy, table] =
                ["✗ FAIL", "What to do", "checks pass"].map(|part| screen.find(part));
            assert!(verdict < remedy, "{name}: {screen}");
            assert!(
                table.is_none_or(|table| Some(table) > remedy),
                "{name}: {screen}"
            );
        }
        if name == "launch" || name == "launch-quiet" {
            let last: Vec<&str> = screen.lines().rev().take(8).collect();
            assert!(last.contains(&"What to do"), "{name}: {screen}");
        }
        if !name.ends_with("-verbose") {
            assert!(!screen.contains("Ruled out"), "{name}");
        }
    }
}

#[test]
fn a_quotation_of_ecs_has_no_gap() {
    for entry in fs::read_dir(in_repository("tests/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let screen = text::render(&report(name), Style::new(200));
        for gap in [
            "RequestID: ,",
            "RequestID: 0000",
            "Get :",
            "ref :",
            "secret from secrets",
        ] {
            assert!(!screen.contains(gap), "{name}: {screen}");
        }
    }
}

static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Runs the binary with nothing but these variables, and a home with a profile of IAM Identity Center
/// whose login is gone.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screens-home");
    fs::create_dir_all(home.join(".aws")).unwrap();
    // Another test may read it now, so it is never half written.
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let new = home.join(format!(".aws/config-{}-{number}", std::process::id()));
    fs::write(
        &new,
        "[profile dev]\nsso_session = dev\nsso_account_id = 123456789012\nsso_role_name = Operator\nregion = us-east-1\n\
         [sso-session dev]\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n",
    )
    .unwrap();
    fs::rename(new, home.join(".aws/config")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_pullprobe"))
        .args(arguments)
        .env_clear()
        .env("HOME", &home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Commands that call AWS first of all.
const AWS_COMMANDS: [&[&str]; 8] = [
    &["launch", "--cluster", "prod", "--service", "web"],
    &["inspect", "--cluster", "prod", "--service", "web"],
    &["explain", "--cluster", "prod", "--service", "web"],
    &[
        "explain",
        "--cluster",
        "prod",
        "--task",
        "0123456789abcdef0123456789abcdef",
    ],
    &["compare", "--log-group", "/ecs/web"],
    &["gc", "--cluster", "prod"],
    &["schedule", "list"],
    &["schedule", "remove", "prod.web"],
];

/// Name, variables, and words of the answer.
type SetupMistake<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a [&'a str]);

fn assert_says(output: &Output, code: i32, words: &[&str], what: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{what}: {error}");
    for word in words {
        assert!(error.contains(word), "{what}: no {word:?} in {error}");
    }
    assert!(
        error.lines().count() <= 8 && error.len() < 1_200,
        "{what}: {error}"
    );
}

#[test]
fn a_missing_setup_is_one_sentence_and_the_same_in_every_command() {
    let region = ("AWS_REGION", "us-east-1");
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&[region][..], more].concat();
    let cases: [SetupMistake<'_>; 6] = [
        (
            "no credentials",
            with(&[]),
            &[
                "no AWS credentials were found",
                "aws sso login",
                "--profile",
            ],
        ),
        (
            "no Region",
            keys.to_vec(),
            &["no Region is set", "--region", "AWS_REGION"],
        ),
        (
            "no such profile",
            with(&[("AWS_PROFILE", "prd")]),
            &["profile prd does not exist", "dev"],
        ),
        (
            "expired login",
            vec![("AWS_PROFILE", "dev")],
            &["profile dev", "aws sso login --profile dev"],
        ),
        (
            "endpoint without a scheme",
            [&with(&keys)[..], &[("AWS_ENDPOINT_URL", "localhost:4566")]].concat(),
            &[
                "localhost:4566 is not the URL",
                "http://localhost:4566",
                "AWS_ENDPOINT_URL",
            ],
        ),
        (
            "Region that does not exist",
            [&keys[..], &[("AWS_REGION", "us-esat-1")]].concat(),
            &["us-esat-1"],
        ),
    ];
    for (mistake, variables, words) in cases {
        for command in AWS_COMMANDS {
            let output = run(command, &variables);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_says(&output, 2, words, &format!("{mistake}, {command:?}"));
            assert!(
                error.lines().count() <= 2,
                "{mistake}, {command:?}: {error}"
            );
            for dump in ["[redacted]", "Attempted", "provider", "ServiceError"] {
                assert!(!error.contains(dump), "{mistake}, {command:?}: {error}");
            }
        }
    }
    let flags = [
        "schedule",
        "list",
        "--profile",
        "prd",
        "--region",
        "us-east-1",
    ];
    assert_says(
        &run(&flags, &[]),
        2,
        &["profile prd does not exist"],
        "--profile",
    );
    let flags = [
        "schedule",
        "list",
        "--endpoint-url",
        "localhost:4566",
        "--region",
        "us-east-1",
    ];
    assert_says(
        &run(&flags, &keys),
        2,
        &["localhost:4566 is not the URL"],
        "--endpoint-url",
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "one row for each mistake")]
fn typical_mistakes_are_answered_with_what_was_meant() {
    let role = "arn:aws:iam::123456789012:role/scheduler";
    let create = |more: &[&'static str]| {
        let fixed = [
            "schedule",
            "create",
            "--every",
            "15m",
            "--region",
            "us-east-1",
        ];
        [&fixed[..], more].concat()
    };
    let cases: [(Vec<&str>, i32, &[&str]); 16] = [
        (vec!["luanch", "--service", "web"], 2, &["luanch", "launch"]),
        (
            vec!["launch", "--clutser", "prod"],
            2,
            &["--clutser", "--cluster"],
        ),
        (vec!["launch", "web"], 2, &["did you mean --service web?"]),
        (
            vec!["demo", "s3-gateway-missing"],
            2,
            &["did you mean --fault s3-gateway-missing?"],
        ),
        (
            vec!["demo", "--fault", "s3-gateway-mising"],
            2,
            &["did you mean s3-gateway-missing?"],
        ),
        (
            vec!["causes", "kms-key-denied"],
            2,
            &["did you mean kms-key-denies?"],
        ),
        (vec!["causes", "zzz"], 2, &["pullprobe causes"]),
        (
            vec!["plan", "app.json", "--region", "us-east-1"],
            2,
            &["app.json"],
        ),
        (vec!["explain", "app.json"], 2, &["app.json does not exist"]),
        (
            vec!["gc", "--older-than", "soon"],
            2,
            &["--older-than", "m, h or d", "24h"],
        ),
        (
            create(&["--scheduler-role", "scheduler"]),
            2,
            &["--scheduler-role", "arn:aws:iam::"],
        ),
        (
            create(&["--scheduler-role", "garbage/x"]),
            2,
            &["--scheduler-role", "arn:aws:iam::"],
        ),
        (
            create(&[
                "--scheduler-role",
                role,
                "--service",
                "web",
                "--alarm-action",
                "notanarn",
            ]),
            2,
            &["--alarm-action", "arn:aws:sns:"],
        ),
        (
            create(&["--scheduler-role", role]),
            2,
            &["--service", "--name"],
        ),
        (
            vec!["launch", "--quiet", "--verbose"],
            2,
            &["--quiet", "--verbose"],
        ),
        (
            vec!["launch", "--service", "web", "--subnets", "subnt-1"],
            2,
            &["no Region"],
        ),
    ];
    for (arguments, code, words) in cases {
        let keys = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let output = run(&arguments, &keys);
        assert_says(&output, code, words, &format!("{arguments:?}"));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    for age in ["500ms", "90", "30m", "1h", "2d", "1.5h"] {
        let output = run(&["gc", "--older-than", age, "--region", "us-east-1"], &[]);
        let says = if age == "500ms" {
            "--older-than"
        } else {
            "no AWS credentials"
        };
        assert_says(&output, 2, &[says], age);
    }
}

#[test]
fn piped_output_is_text_without_colors() {
    let file = in_repository("tests/data/three-subnets.ndjson");
    let file = file.to_str().unwrap();
    for (arguments, start) in [
        (vec!["compare", file], "✗ FAIL "),
        (vec!["explain", DENIED], "✗ "),
        (vec!["causes", "image-not-found"], "image-not-found\n"),
    ] {
        for term in ["xterm", "dumb"] {
            let variables = [("TERM", term), ("COLUMNS", "60")];
            let output = run(&arguments, &variables);
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(printed.starts_with(start), "{arguments:?}: {printed}");
            assert!(!printed.contains('\u{1b}'), "{arguments:?}: {printed}");
        }
    }
}
