//! Pages, pictures, Markdown and JUnit: what they look like, and that nothing in a report acts in them.
//!
//! `REFRESH_PAGES=1 cargo nextest run --test pages` writes the snapshots in `tests/pages` anew. Look at
//! the difference, and at the pages in a browser.
#![cfg(feature = "operator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of a test panic as the test does"
)]

#[path = "support/markup.rs"]
mod markup;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pullprobe::compare::{ComparisonBuilder, ComparisonOutput};
use pullprobe::explain::{Explanation, explain, explain_input};
use pullprobe::render::picture::{HopState, PathHop, PathHopKind, VpcPicture};
use pullprobe::render::{html, junit, markdown, picture};
use pullprobe::safe_text::is_hidden;
use serde_json::{Value, json};

/// Reports of three subnets, of which the second has no way to Amazon S3.
const REPORTS: &str = include_str!("data/three-subnets.ndjson");

/// The message of a task that timed out at the API of Amazon ECR.
const MESSAGE: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution \
    resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 \
    time(s): RequestError: send request failed caused by: Post \
    \"https://api.ecr.us-east-1.amazonaws.com/\": dial tcp 52.94.133.131:443: i/o timeout";

/// Whatever acts in a terminal, in HTML, in XML, in SVG or in Markdown.
const HOSTILE: &str = "</script></style></text></svg><script>alert(1)</script>\"'><img src=x \
    onerror=alert(1)> [a](javascript:alert(1)) ![i](http://x) ]]> --> <!-- &lt;b&gt; &#60;b&#62; \
    \u{1b}]52;c;QQ==\u{7}\u{1b}[2J\u{9b}31m \u{202e}\u{2066}\u{200b}\u{feff} \u{0}\u{fffe} **b** `c` \
    | x | @all <details> www.example.com https://example.com";

fn reports() -> Vec<Value> {
    let lines = REPORTS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the subnet without a way to Amazon S3, as `launch` labels its report.
fn broken() -> Value {
    let mut report = reports().swap_remove(1);
    report["run"]["labels"] = json!({ "subnet": "subnet-0b1c2d3e4f5a6b7c8", "service": "web" });
    report["findings"][0]["fix"] = json!(["aws ec2 create-vpc-endpoint --vpc-id VPC"]);
    report
}

fn compare(reports: &[Value]) -> ComparisonOutput {
    let mut builder = ComparisonBuilder::default();
    for report in reports {
        builder.add_text(&report.to_string(), "report");
    }
    builder.finish()
}

/// Returns a subnet that passed until something changed.
fn history() -> Vec<Value> {
    let mut runs: Vec<Value> = [
        "2026-11-24T06:00:00Z",
        "2026-11-24T07:00:00Z",
        "2026-11-24T08:00:00Z",
    ]
    .into_iter()
    .map(|at| {
        let mut run = reports().swap_remove(0);
        run["run"]["started_at"] = at.into();
        run["run"]["id"] = at.into();
        run["vantage"] = broken()["vantage"].clone();
        run["run"]["labels"] = broken()["run"]["labels"].clone();
        run
    })
    .collect();
    runs.push(broken());
    runs
}

/// Returns the page without its style, and without the details, which are long and the same as in a
/// report.
fn without_style(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let details = "<section aria-labelledby=\"vantages\">";
    let shown = body.split(details).next().unwrap();
    // One element in each line: a change can be read.
    format!("{head}{shown}").replace("><", ">\n<")
}

#[test]
fn pages_look_as_they_did() {
    let (comparison, history) = (compare(&reports()), compare(&history()));
    let report = compare(&[broken()]);
    let explanations = [explain(MESSAGE)];
    let drawn = VpcPicture::of_explanation(&explanations[0]).unwrap().svg();
    let page = |output| without_style(&html::render(output));
    let picture = |output| picture::render(output).replace("><", ">\n<");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    for (file, text) in [
        ("comparison.html", page(&comparison)),
        ("comparison.svg", picture(&comparison)),
        ("comparison.md", markdown::render(&comparison)),
        ("comparison.xml", junit::render(&comparison)),
        ("history.html", page(&history)),
        ("report.html", page(&report)),
        ("report.svg", picture(&report)),
        ("report.md", markdown::render(&report)),
        (
            "explanation.html",
            without_style(&html::render_explanations(&explanations)),
        ),
        ("explanation.svg", drawn.replace("><", ">\n<")),
    ] {
        let file = directory.join(file);
        if std::env::var_os("REFRESH_PAGES").is_some() {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let known = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            known == text,
            "{} differs; if it should, write it anew with REFRESH_PAGES=1 and look at it",
            file.display()
        );
    }
}

/// The sentence and the remedy come before everything else, in every format.
#[test]
fn sentence_and_remedy_come_first() {
    let output = compare(&[broken()]);
    let page = html::render(&output);
    let at = |text: &str| {
        page.find(text)
            .unwrap_or_else(|| panic!("the page has {text}"))
    };
    let order = [
        "service <b>",
        "cluster <b>",
        "account <b>",
        "Region <b>",
        "2026-11-24 10:00:",
        "<h1>",
        "The task would not start",
        "What to do",
        "Create an S3 gateway endpoint",
        "aws ec2 create-vpc-endpoint",
        "<svg class=\"vpc wide\"",
        "class=\"matrix\"",
        "Observations",
    ];
    let body = page.find("<body>").unwrap();
    let mut last = body;
    for text in order {
        let found = body
            + page[body..]
                .find(text)
                .unwrap_or_else(|| panic!("{text} is missing"));
        assert!(found > last, "{text} comes too early");
        last = found;
    }
    assert!(at("<title>pullprobe: ✗ fail: The task would not start") < body);

    let text = markdown::render(&output);
    let open = text.split("<details>").next().unwrap();
    for part in [
        "The task would not start",
        "**What to do:** Create an S3 gateway endpoint",
        "<pre>aws ec2",
    ] {
        assert!(open.contains(part), "{part} is not open in {open}");
    }

    let xml = junit::render(&output);
    let failure = xml.lines().find(|line| line.contains("<failure")).unwrap();
    for part in [
        "type=\"timed-out\"",
        "message=\"s3-gateway-missing (likely): ",
        "What to do: Create an S3 gateway endpoint",
    ] {
        assert!(failure.contains(part), "{part} is missing in {failure}");
    }
}

#[test]
fn history_says_when_and_not_where() {
    let page = html::render(&compare(&history()));
    for text in [
        "when it last passed, 2026-11-24 08:00:00 UTC",
        "in the latest run, 2026-11-24 10:00:",
        "2026-11-24 06:00:00 to 08:00:00 UTC</bdi>, 3 runs",
        "id=\"timeline\"",
    ] {
        let text = text.replace("</bdi>", "");
        assert!(page.contains(&text), "{text} is missing");
    }
    assert!(!page.contains("where it passes"));
    assert!(!html::render(&compare(&[broken()])).contains("id=\"timeline\""));
}

/// A caller that has read the configuration names the objects.
#[test]
fn objects_are_drawn_where_the_path_breaks() {
    let output = compare(&[broken()]);
    let mut picture = VpcPicture::of(&output);
    let hops = picture.hops_mut("subnet-0b1c2d3e4f5a6b7c8", "s3").unwrap();
    let way = hops
        .iter_mut()
        .find(|hop| hop.kind == PathHopKind::Network)
        .unwrap();
    assert_eq!(way.state, HopState::Fails);
    way.object = Some("rtb-0123456789abcdef0".into());
    hops.push(PathHop {
        kind: PathHopKind::Network,
        label: "security group".into(),
        object: Some("sg-0123".into()),
        state: HopState::Works,
        note: "TCP 443 to 0.0.0.0/0".into(),
    });
    let text = picture.svg();
    assert!(text.contains("timed-out at") && text.contains("rtb-0123456789abcdef0"));
    let page = html::render_with_picture(&output, &picture);
    for part in [
        "<code>rtb-0123456789abcdef0</code>",
        "security group",
        "TCP 443 to 0.0.0.0/0",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn alike_subnets_share_a_box_and_many_are_cut() {
    let mut many = Vec::new();
    for n in 0..60 {
        let mut report = if n % 20 == 0 {
            broken()
        } else {
            reports().swap_remove(0)
        };
        report["run"]["labels"]["subnet"] = format!("subnet-{n}").into();
        report["run"]["id"] = format!("run-{n}").into();
        many.push(report);
    }
    let text = picture::render(&compare(&many));
    assert!(text.len() < 20_000, "{} bytes", text.len());
    assert!(text.contains("more like it") && text.contains("subnet-40"));
}

/// Replaces every text in a report at whose path `is_planted` says so.
fn plant(value: &mut Value, path: &str, text: &str, is_planted: &dyn Fn(&str) -> bool) {
    match value {
        Value::String(old) if is_planted(path) => text.clone_into(old),
        Value::Array(items) => {
            for item in items {
                plant(item, &format!("{path}/0"), text, is_planted);
            }
        }
        Value::Object(members) => {
            for (name, item) in members {
                plant(item, &format!("{path}/{name}"), text, is_planted);
            }
        }
        _ => {}
    }
}

/// Returns the path of each text of a report once.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::String(_) => {
            found.insert(path.to_owned());
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| paths(item, &format!("{path}/0"), found)),
        Value::Object(members) => {
            for (name, item) in members {
                paths(item, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Returns a report with a value at every place that any format shows.
fn whole_report() -> Value {
    let mut report = broken();
    let observations = report["observations"].as_array_mut().unwrap();
    // Few are enough for every place, and are rendered a hundred times.
    observations
        .retain(|o| ["metadata", "clock", "s3"].contains(&o["dependency"].as_str().unwrap()));
    report["observations"][0]["witness"] = "Amazon ECS".into();
    report["observations"][1] = json!({
        "id": "efs/mount", "dependency": "efs", "phase": "mount", "outcome": "not-checked",
        "why": "why", "detail": "detail", "host": "host", "peer": "10.0.0.1:2049", "elapsed_ms": 1,
        "scope": "private", "owner": "owner", "subject": "subject", "superseded_by": null,
        "blocked_by": "blocked", "presented": ["10.0.0.1"], "chain": [{ "issuer": "O=issuer" }],
    });
    report["ruled_out"] = json!([{ "cause": "cause", "because": ["x"] }]);
    report
}

/// What a format's output may contain.
struct Format {
    name: &'static str,
    render: fn(&ComparisonOutput) -> String,
    check: fn(&str) -> BTreeSet<String>,
}

const FORMATS: [Format; 4] = [
    Format {
        name: "html",
        render: html::render,
        check: markup::of_html,
    },
    Format {
        name: "svg",
        render: picture::render,
        check: markup::of_xml,
    },
    Format {
        name: "junit",
        render: junit::render,
        check: markup::of_xml,
    },
    Format {
        name: "markdown",
        render: markdown::render,
        check: markup::of_markdown,
    },
];

/// Bytes of one report in any format, however long its texts are.
const MAX_OUTPUT: usize = 600_000;

/// Fails if a document has an element, attribute or link that harmless ones do not have, or a
/// character that acts or hides.
fn check(
    name: &str,
    what: &str,
    text: &str,
    found: &BTreeSet<String>,
    harmless: &BTreeSet<String>,
) {
    let new: Vec<&String> = found.difference(harmless).collect();
    assert!(new.is_empty(), "{name}, {what}: {new:?}");
    let acting = text.chars().find(|c| *c != '\n' && is_hidden(*c));
    assert!(acting.is_none(), "{name}, {what}: {acting:?}");
    assert!(!text.contains("]]>"), "{name}, {what}");
    assert!(
        text.len() < MAX_OUTPUT,
        "{name}, {what}: {} bytes",
        text.len()
    );
}

#[test]
fn nothing_of_a_report_acts_in_any_format() {
    let whole = whole_report();
    let mut places = BTreeSet::new();
    paths(&whole, "", &mut places);
    let keeps_form = |path: &str| path == "/schema" || path == "/verdict/status";
    let vocabulary = [
        "/dependency",
        "/phase",
        "/outcome",
        "/id",
        "/failure",
        "/because/0",
        "/scope",
    ];
    let mut planted: Vec<(String, Vec<Value>)> = Vec::new();
    let mut add = |what: String, text: &str, is_planted: &dyn Fn(&str) -> bool| {
        let mut report = whole.clone();
        plant(&mut report, "", text, is_planted);
        if what == "all" || what == "texts" {
            let others = [whole.clone(), broken()];
            let beside = [&[report.clone()][..], &others].concat();
            planted.push((format!("{what}, compared"), beside));
        }
        planted.push((what, vec![report]));
    };
    add("all".into(), HOSTILE, &|path| !keeps_form(path));
    let is_free =
        |path: &str| !keeps_form(path) && !vocabulary.iter().any(|end| path.ends_with(end));
    add("texts".into(), HOSTILE, &is_free);
    // The plan and the metrics are not shown; they are planted with all the rest.
    let is_read = |place: &&String| !place.starts_with("/plan/") && !place.starts_with("/_aws/");
    for place in places.iter().filter(is_read) {
        add(place.clone(), HOSTILE, &|path| path == place);
    }
    let long = format!("{HOSTILE}{}", "A".repeat(700_000));
    for place in [
        "/verdict/summary",
        "/findings/0/remedy",
        "/run/labels/service",
    ] {
        let mut report = whole.clone();
        report["findings"].as_array_mut().unwrap().truncate(1);
        plant(&mut report, "", &long, &|path| path == place);
        assert!(
            report.to_string().len() < 1_048_576,
            "a longer one is not read"
        );
        planted.push((format!("long {place}"), vec![report]));
    }
    let mut with_name = whole.clone();
    with_name["run"]["labels"][HOSTILE] = HOSTILE.into();
    planted.push(("name of a label".into(), vec![with_name]));

    let harmless = [
        compare(&[reports(), vec![whole.clone()]].concat()),
        compare(&[whole]),
        compare(&history()),
        compare(&[reports(), history()].concat()),
    ];
    let mut shown = 0;
    for format in FORMATS {
        let known = harmless
            .iter()
            .map(|output| (format.check)(&(format.render)(output)));
        let known: BTreeSet<String> = known.flatten().collect();
        for (what, reports) in &planted {
            let output = compare(reports);
            // A report that is not one is not read.
            let text = (format.render)(&output);
            check(format.name, what, &text, &(format.check)(&text), &known);
            shown += usize::from(text.contains("52;c;QQ=="));
        }
    }
    assert!(
        shown > places.len(),
        "hostile text is shown as text, not left out: {shown}"
    );
}

#[test]
fn nothing_of_a_message_acts_in_a_page() {
    let task = json!({ "tasks": [{
        "taskArn": format!("arn:aws:ecs:us-east-1:123456789012:task/prod/{HOSTILE}"),
        "group": format!("service:{HOSTILE}"),
        "stopCode": HOSTILE,
        "stoppedAt": HOSTILE,
        "stoppedReason": format!("{MESSAGE} {HOSTILE}"),
        "containers": [{ "name": HOSTILE, "reason": format!("CannotPullContainerError: {HOSTILE}") }],
    }]});
    let inputs = [
        HOSTILE.to_owned(),
        format!("{HOSTILE}{MESSAGE}{HOSTILE}"),
        format!("CannotPullContainerError: pull image manifest: {HOSTILE}: not found"),
        format!("{MESSAGE}{}{HOSTILE}", "A".repeat(1_000_000)),
        task.to_string(),
    ];
    let harmless: Vec<Explanation> = [
        MESSAGE,
        "CannotPullContainerError: ref pull has been retried 1 time(s)",
    ]
    .into_iter()
    .map(explain)
    .collect();
    let mut known = markup::of_html(&html::render_explanations(&harmless));
    known.extend(markup::of_html(&html::render_explanations(&harmless[..1])));
    let of_picture = |explanation: &Explanation| {
        VpcPicture::of_explanation(explanation).map(|picture| picture.svg())
    };
    let drawn = markup::of_xml(&of_picture(&harmless[0]).unwrap());
    for input in inputs {
        let explanations = explain_input(&input);
        let page = html::render_explanations(&explanations);
        let what: String = input.chars().take(40).collect();
        check("html", &what, &page, &markup::of_html(&page), &known);
        for svg in explanations.iter().filter_map(of_picture) {
            check("svg", &what, &svg, &markup::of_xml(&svg), &drawn);
        }
    }
}
