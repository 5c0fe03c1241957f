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
    "observation",
    "arn",
    "cause",
    "endpoints",
    "redact",
    "ip_owner",
    "reference",
    "network_location",
    "plan",
    "evidence",
    "diagnose",
    "verdict",
    "dns",
    "transport_failure",
    "agent",
    "aws",
    "vantage",
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
];

/// Modules that know no network, no clock and no environment.
const PURE: &[&str] = &[
    "observation",
    "arn",
    "cause",
    "endpoints",
    "redact",
    "ip_owner",
    "reference",
    "network_location",
    "plan",
    "evidence",
    "diagnose",
    "verdict",
    "compare",
];

/// What a pure module has nothing to do with.
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

/// The modules that `code` names as `crate::…`; functions of the crate's root are nobody's.
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
            panic!("{module} has no place in ORDER: put it after all that it imports")
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

#[test]
fn judging_is_pure() {
    let modules = modules();
    for module in PURE {
        let code = &modules[*module];
        let impure: Vec<_> = IMPURE.iter().filter(|word| code.contains(*word)).collect();
        assert!(impure.is_empty(), "{module} has {impure:?} in it");
    }
    assert!(
        imports(&modules["observation"])
            .iter()
            .all(|imported| imported == "observation"),
        "the vocabulary is a leaf"
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
