//! The shape of the code: data goes one way, judging is pure.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must stop, in its helpers as well"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use pullprobe::observation::Failure;

/// Every module, each after all that it may import. Data goes one way.
const ORDER: &[&str] = &[
    "safe_text",
    "observation",
    "arn",
    "cause",
    "endpoints",
    "redact",
    "vault",
    "ip_owner",
    "reference",
    "network_location",
    "plan",
    "template",
    "evidence",
    "diagnose",
    "function_limits",
    "verdict",
    "policy",
    "inspect",
    "dns",
    "transport_failure",
    "os",
    "agent",
    "aws",
    "vantage",
    "lambda",
    "explain",
    "report",
    "compare",
    "render",
    "probe",
    "run",
    "demo",
    "operator",
    "cli",
    "command",
    "fuzz",
];

/// Modules without network, clock and environment.
const PURE: &[&str] = &[
    "safe_text",
    "observation",
    "arn",
    "cause",
    "endpoints",
    "redact",
    "vault",
    "ip_owner",
    "reference",
    "network_location",
    "plan",
    "template",
    "evidence",
    "diagnose",
    "function_limits",
    "verdict",
    "policy",
    "inspect",
    "compare",
];

/// What a pure module does not use.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper::",
    "rustls",
    "socket2",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "SystemTime",
    "Instant::",
    "Timestamp::now",
    "env::var",
    "std::process",
    "crate::run",
    "crate::probe",
    "crate::command",
    "crate::demo",
];

fn files(directory: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|e| extensions.iter().any(|wanted| e == *wanted))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Each module's code, without comments and without its tests.
fn modules() -> BTreeMap<String, String> {
    let mut modules = BTreeMap::<String, String>::new();
    for path in files("src", &["rs"]) {
        let inside = path
            .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
            .unwrap();
        let name = inside
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        if ["lib", "main"].contains(&name) || path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        modules
            .entry(name.into())
            .or_default()
            .extend(lines.map(|line| format!("{line}\n")));
    }
    modules
}

/// Returns the modules that `code` names as `crate::…`, without functions of the crate's root.
fn imports(code: &str) -> Vec<String> {
    let name = |rest: &str| {
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    code.split("crate::")
        .skip(1)
        .map(name)
        .filter(|name| name != "millis")
        .collect()
}

#[test]
fn data_goes_one_way() {
    let place = |module: &str| {
        let known = ORDER.iter().position(|known| *known == module);
        known.unwrap_or_else(|| {
            panic!("{module} is not in ORDER: add it after everything that it imports")
        })
    };
    for (module, code) in modules() {
        for imported in imports(&code)
            .iter()
            .filter(|imported| **imported != module)
        {
            assert!(
                place(imported) < place(&module),
                "{module} imports {imported}, which comes after it"
            );
            assert!(
                imported != "demo" || module == "command",
                "{module} imports demo"
            );
        }
    }
}

/// A room's modules, each after all that it may import. The room's own file comes last: it may
/// import every module in it, and none of them imports it.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "probe",
        &[
            "net",
            "net/tcp",
            "net/onc_rpc",
            "net/path_mtu",
            "net/tls",
            "net/http",
            "net/resolve",
            "recorder",
            "context",
            "target",
            "speaker",
            "aws_call",
            "redirects",
            "secret_shape",
            "checks",
            "checks/clock",
            "checks/credentials",
            "checks/efs",
            "checks/ecr_token",
            "checks/manifest",
            "checks/secrets",
            "checks/registry_auth",
            "checks/registry_session",
            "checks/layer",
            "checks/image_pull",
            "checks/environment_file",
            "checks/log_stream",
            "remote_task_definition",
            "unreached",
            "starvation",
            "fuzz",
        ],
    ),
    (
        "explain",
        &[
            "step",
            "refusal",
            "sign",
            "normalize",
            "app_log",
            "lexicon",
            "fields",
            "dependencies",
            "precedence",
            "parsed",
            "advice",
            "causes",
            "ending",
            "stated",
            "explanation",
            "proven_facts",
            "next",
            "tasks",
            "ecs_wording",
        ],
    ),
    (
        "operator",
        &[
            "aws/error",
            "aws/protocol",
            "aws",
            "pause",
            "log_insights",
            "dry_run",
            "error",
            "paging",
            "price",
            "s3",
            "ecs",
            "install/event",
            "install/agent_file",
            "install/image",
            "install/repository",
            "install/registry",
            "install",
            "launch/spec",
            "launch/launcher",
            "launch/rate_limiter",
            "launch/definition",
            "launch/interface",
            "launch/instances",
            "launch/revision",
            "launch/request",
            "launch/target",
            "launch/stopped_reason/observe",
            "launch/stopped_reason",
            "launch/collect",
            "launch/function",
            "launch/watch/running_tasks",
            "launch/watch/start",
            "launch/watch",
            "launch/prepare",
            "launch",
            "schedule/tags",
            "schedule/spec",
            "schedule/scheduler_api",
            "schedule/set",
            "schedule/alarm",
            "schedule/dashboard",
            "schedule/log_group",
            "schedule/event",
            "schedule/remove",
            "schedule/create",
            "schedule/list",
            "schedule/print/preamble",
            "schedule/print/role",
            "schedule/print/cloudformation",
            "schedule/print/terraform",
            "schedule/print",
            "schedule",
            "gc",
            "stopped",
            "inspect/xml",
            "inspect/reader",
            "inspect/network",
            "inspect/dns",
            "inspect/objects",
            "inspect/role",
            "inspect/launched",
            "inspect",
            "fleet/cost",
            "fleet/target",
            "fleet/role",
            "fleet/discover",
            "fleet/store",
            "fleet/worker",
            "fleet/reduce",
            "fleet/failed_start",
            "fleet/event",
            "fleet/print/spec",
            "fleet/print/value",
            "fleet/print/policy",
            "fleet/print/state_machine",
            "fleet/print/table",
            "fleet/print/dashboard",
            "fleet/print/cloudformation",
            "fleet/print/terraform",
            "fleet/print",
            "fleet",
            "fuzz",
        ],
    ),
    (
        "compare",
        &[
            "report_view",
            "fact",
            "log_envelope",
            "origin",
            "pool",
            "vantage_values",
            "difference",
            "history",
            "change",
            "summary",
            "comparison",
            "timeline",
            "vantage_group",
            "vantage_history",
            "builder",
        ],
    ),
];

/// Returns the paths that the `use` declarations and expressions of `code` name below `prefix`,
/// with groups taken apart: `super::{a, b::C}` is `super::a` and `super::b::C`.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["super::", "crate::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            expand("", &code[at..], &mut found);
        }
    }
    found
}

/// Expands one path or group at the start of `rest`; returns what follows it.
fn expand<'a>(prefix: &str, rest: &'a str, found: &mut Vec<String>) -> &'a str {
    let mut path = prefix.to_owned();
    let mut rest = rest.trim_start();
    loop {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        path.push_str(&rest[..end]);
        rest = &rest[end..];
        let Some(next) = rest.strip_prefix("::") else {
            found.push(path);
            return rest;
        };
        path.push_str("::");
        if let Some(mut group) = next.strip_prefix('{') {
            while !group.trim_start().is_empty() && !group.trim_start().starts_with('}') {
                group = expand(&path, group, found);
                group = group.trim_start();
                let end = group.find([',', '}']).unwrap_or(group.len());
                group = group[end..].strip_prefix(',').unwrap_or(&group[end..]);
            }
            return group.trim_start().strip_prefix('}').unwrap_or(group);
        }
        rest = next;
    }
}

/// Resolves `path`, as written in `module` of `room`, to the part below the room; `None` if it
/// leads out of the room.
fn resolve(room: &str, module: &[&str], path: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut at: Vec<&str> = [&[room], module].concat();
    if parts.first() == Some(&"crate") {
        at.clear();
        parts.remove(0);
    }
    while parts.first() == Some(&"super") {
        at.pop()?;
        parts.remove(0);
    }
    let whole = [at, parts].concat();
    (whole.first() == Some(&room)).then(|| whole[1..].join("/"))
}

#[test]
fn rooms_import_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut upward = Vec::new();
    for (room, order) in ROOMS {
        // The longest entry that the path begins with; a room's own items have none.
        let rank = |path: &str| {
            let within = |entry: &&str| path == *entry || path.starts_with(&format!("{entry}/"));
            let entry = order
                .iter()
                .copied()
                .filter(within)
                .max_by_key(|entry| entry.len());
            entry.map_or(order.len(), |entry| {
                order.iter().position(|e| *e == entry).unwrap()
            })
        };
        for path in files(&format!("src/{room}"), &["rs"]) {
            let module = path
                .strip_prefix(root.join(room))
                .unwrap()
                .with_extension("");
            let module = module.to_str().unwrap();
            if module.split('/').any(|part| part == "tests") {
                continue;
            }
            let own = rank(module);
            assert!(own < order.len(), "{room}/{module} is not in ROOMS");
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code: String = lines.flat_map(|line| [line, "\n"]).collect();
            let module: Vec<&str> = module.split('/').collect();
            for imported in paths(&code) {
                let Some(target) = resolve(room, &module, &imported) else {
                    continue;
                };
                if rank(&target) > own {
                    upward.push(format!("{}: {imported}", module.join("/")));
                }
            }
        }
    }
    upward.sort();
    upward.dedup();
    assert!(
        upward.is_empty(),
        "imports against the order of ROOMS:\n{}",
        upward.join("\n")
    );
}

#[test]
fn paths_are_taken_apart_and_resolved() {
    let code = "use super::super::net::{http::{self, Request}, tls};\nuse crate::probe::target::Handle;\ncrate::millis(x);";
    assert_eq!(
        paths(code),
        [
            "super::super::net::http::self",
            "super::super::net::http::Request",
            "super::super::net::tls",
            "crate::probe::target::Handle",
            "crate::millis"
        ]
    );
    let resolve = |path| resolve("probe", &["checks", "manifest"], path);
    assert_eq!(
        resolve("super::super::net::tls").as_deref(),
        Some("net/tls")
    );
    assert_eq!(
        resolve("super::layer::Blob").as_deref(),
        Some("checks/layer/Blob")
    );
    assert_eq!(
        resolve("crate::probe::target::Handle").as_deref(),
        Some("target/Handle")
    );
    assert_eq!(resolve("crate::millis"), None);
}

#[test]
fn judging_is_pure() {
    let modules = modules();
    for module in PURE {
        let code = &modules[*module];
        let impure: Vec<_> = IMPURE.iter().filter(|word| code.contains(*word)).collect();
        assert!(impure.is_empty(), "{module} uses {impure:?}");
    }
    assert!(
        imports(&modules["observation"])
            .iter()
            .all(|imported| matches!(&**imported, "observation" | "safe_text")),
        "the vocabulary imports nothing but the type of its texts"
    );
}

/// An inherent constant is preferred to a trait's, so this one is seen exactly where the bound
/// holds.
struct Is<T>(PhantomData<T>);
impl<T: Error> Is<T> {
    const AN_ERROR: bool = true;
}
trait Otherwise {
    const AN_ERROR: bool = false;
}
impl<T> Otherwise for Is<T> {}

#[test]
fn a_failing_target_is_data_and_no_error() {
    const { assert!(Is::<std::io::Error>::AN_ERROR && !Is::<Failure>::AN_ERROR) }
}

/// What is written goes through [`pullprobe::safe_text`]: no macro writes by itself.
#[test]
fn only_one_place_writes_to_each_output() {
    const MACROS: [&str; 4] = ["eprintln!", "eprint!", "println!", "print!"];
    const WRITERS: [(&str, &str); 1] = [("src/safe_text.rs", "eprintln!")];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in files("src", &["rs"]) {
        let name = path.strip_prefix(root).unwrap_or(&path).to_str().unwrap();
        if name.contains("/tests") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().map(str::trim_start);
        let code = code.filter(|line| !line.starts_with("//"));
        for line in code {
            let used = line
                .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '!'))
                .find(|word| MACROS.contains(word));
            if let Some(used) = used {
                found.push((name.to_owned(), used.to_owned()));
            }
        }
    }
    let expected = WRITERS.map(|(file, name)| (file.to_owned(), name.to_owned()));
    assert_eq!(
        found, expected,
        "use safe_text::write_stderr, or command::print"
    );
}

#[test]
fn every_file_begins_with_what_it_is() {
    for path in files("src", &["rs"])
        .into_iter()
        .chain(files("tests", &["rs"]))
    {
        let text = fs::read_to_string(&path).unwrap();
        let explained = text.starts_with("//!") || path.ends_with("tests.rs");
        assert!(
            explained,
            "{} does not begin with a `//!` line",
            path.display()
        );
    }
}

#[test]
fn every_public_module_is_found_from_the_first_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = fs::read_to_string(root.join("lib.rs")).unwrap();
    for module in library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        let file = fs::read_to_string(root.join(format!("{module}.rs"))).unwrap();
        let sentence = file
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//! "))
            .unwrap_or_default();
        assert!(
            library.contains(&format!("[`{module}`]")) || !sentence.is_empty(),
            "{module} explains itself nowhere"
        );
    }
}

/// Public type names are unique in the crate, so that a name means one thing wherever it is read. A
/// type that is private to its file may reuse one.
#[test]
fn no_public_type_name_stands_twice() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines() {
            let Some(item) = line.strip_prefix("pub") else {
                continue;
            };
            let item = item.trim_start_matches(|c| c != ' ').trim_start();
            let name = ["struct ", "enum ", "trait ", "type ", "union "]
                .iter()
                .find_map(|kind| item.strip_prefix(kind));
            if let Some(name) = name {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = &name[..end.unwrap_or(name.len())];
                places
                    .entry(name.into())
                    .or_default()
                    .push(path.display().to_string());
            }
        }
    }
    let twice: Vec<_> = places.iter().filter(|(_, at)| at.len() > 1).collect();
    assert!(
        twice.is_empty(),
        "public type names that stand twice: {twice:#?}"
    );
}

/// Words of no glossary (docs/glossary.md), which named things before it.
const DIALECT: &[&str] = &[
    "Said",
    "Asked",
    "Wanted",
    "Climb",
    "Sight",
    "Landed",
    "Discovered",
    "Fallen",
    "Exchanged",
    "Outcomes",
    "RoleOf",
    "Reached",
    "WAY_OUT",
    "OTHERWISE",
    "AT_A_TIME",
    "AT_ONCE",
    "Wants",
    "Way",
    "Testimony",
    "LastWords",
];

/// Comments are no wider than code, but for tables and drawings.
#[test]
fn comments_are_at_most_100_columns_wide() {
    const WIDTH: usize = 100;
    let mut wide = Vec::new();
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let mut is_drawing = false;
        for (line, number) in text.lines().zip(1..) {
            let comment = line.trim_start();
            if !comment.starts_with("//") {
                is_drawing = false;
                continue;
            }
            let comment = comment.trim_start_matches(['/', '!', ' ']);
            if comment.starts_with("```") {
                is_drawing = !is_drawing;
            }
            if line.chars().count() > WIDTH && !is_drawing && !comment.starts_with('|') {
                wide.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(wide.is_empty(), "wider than {WIDTH}: {wide:#?}");
}

#[test]
fn names_come_from_the_glossary() {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for path in files("src", &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            // Texts of AWS are data.
            let code = code.split('"').step_by(2).collect::<String>();
            let word = code
                .split(|c| !is_word(c))
                .find(|word| DIALECT.contains(word));
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(word.is_none(), "{place}: {word:?}: see docs/glossary.md");
        }
    }
}

/// What a native engineer stumbles over (CONTRIBUTING, "Language").
const STUMBLES: &[&str] = &[
    "somebody",
    "nobody",
    "whoever",
    "whomever",
    "in so many words",
    "of one's own",
    " is none of",
    " are none of",
    " as nobody",
    "says no ",
    "said no ",
    " asked for",
    " is wanted",
    "no JSON",
];

/// Returns the string literals and help texts of a file, without its tests.
fn texts(source: &str) -> Vec<(usize, String)> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut texts = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix("//") {
            texts.push((number + 1, comment.to_lowercase()));
        } else {
            let literals = line.split('"').skip(1).step_by(2);
            texts.extend(literals.map(|text| (number + 1, text.to_lowercase())));
        }
    }
    texts
}

#[test]
fn english_is_plain() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in files("src", &["rs", "md"]) {
        // These quote AWS.
        let quotes = [
            "explain/lexicon.rs",
            "explain/sign.rs",
            "aws/denial.rs",
            "demo/refusal.rs",
        ];
        if quotes.iter().any(|quote| path.ends_with(quote)) || path.ends_with("tests.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let lines = if path.extension().is_some_and(|extension| extension == "md") {
            source
                .lines()
                .map(str::to_lowercase)
                .zip(1..)
                .map(|(line, n)| (n, line))
                .collect()
        } else {
            texts(&source)
        };
        for (number, text) in lines {
            if let Some(stumble) = STUMBLES.iter().find(|stumble| text.contains(**stumble)) {
                let path = path.strip_prefix(root).unwrap().display();
                found.push(format!("{path}:{number}: {stumble:?}"));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} places:\n{}",
        found.len(),
        found.join("\n")
    );
}
