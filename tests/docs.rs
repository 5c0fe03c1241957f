//! Links between the files of this repository lead somewhere: relative Markdown links, the
//! documents that code comments cite as a path below `docs`, with an anchor, and the source files
//! that documents name in backticks.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot unwrap must stop, in its helpers as well"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Files and directories that are read, relative to the repository.
const READ: [&str; 12] = [
    "src",
    "tests",
    "benches",
    "fuzz/fuzz_targets",
    "docs",
    "modules",
    ".github",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "RELEASING.md",
    "SECURITY.md",
];

/// A page of the repository's host, relative to README.md there, and not a file.
const RELEASES: &str = "../../releases/latest";

/// Fewer links than this means that the search is broken: the cause pages alone have more.
const MIN_LINKS: usize = 60;

/// A link as a file contains it, split at its `#`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    /// Relative to the repository. Empty for a place in the file itself.
    path: PathBuf,
    anchor: Option<String>,
}

impl Link {
    /// Returns the link to `target`, which is relative to `base`.
    fn new(base: &Path, target: &str) -> Self {
        let (path, anchor) = match target.split_once('#') {
            Some((path, anchor)) => (path, Some(anchor.to_owned())),
            None => (target, None),
        };
        let path = match path {
            "" => PathBuf::new(),
            path => normalize(&base.join(path)),
        };
        Self { path, anchor }
    }
}

/// Resolves `.` and `..` without looking at the disk. A path that leaves the repository keeps its
/// `..`, and so does not exist.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// Returns every text file below `path`, relative to the repository.
fn files(path: &Path) -> Vec<PathBuf> {
    let absolute = Path::new(ROOT).join(path);
    if absolute.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(&absolute).unwrap().map(|entry| entry.unwrap());
    let names = entries.map(|entry| path.join(entry.file_name()));
    let mut files: Vec<_> = names
        .filter(|path| !path.ends_with("__pycache__"))
        .flat_map(|path| files(&path))
        .collect();
    files.sort();
    files
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// Returns the lines outside of fenced code blocks.
fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Returns the targets of Markdown links, without those that have a scheme or are Rust paths.
fn markdown_targets(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains(':') && !target.contains(' ') && *target != RELEASES)
        .filter(|target| target.contains(['.', '#', '/']))
}

/// Returns the documents below `docs` that `text` names, each with its anchor.
fn citations(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./#".contains(c);
    text.split(move |c| !is_part(c)).filter_map(|word| {
        let path = word.trim_start_matches("../").trim_start_matches("./");
        let end = path.find(".md")? + ".md".len();
        let anchor = path[end..].strip_prefix('#');
        let anchor = anchor.map(|anchor| anchor.trim_end_matches(['.', '/', '-']));
        let end = end + anchor.map_or(0, |anchor| '#'.len_utf8() + anchor.len());
        path.starts_with("docs/").then_some(&path[..end])
    })
}

/// Returns the files of this repository that a line names in backticks, such as `src/lib.rs`.
fn named_files(line: &str) -> impl Iterator<Item = &str> {
    let spans = line.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.split_whitespace().next())
        .filter(|word| {
            ["src/", "tests/", "benches/", "schemas/"]
                .iter()
                .any(|d| word.starts_with(d))
        })
        .filter(|word| word.contains('.') && !word.contains(['*', '…', '<']))
}

/// Returns the links of a file. Python and shell files, and the strings of Rust files, only cite.
fn links(path: &Path, text: &str) -> BTreeSet<Link> {
    let base = path.parent().unwrap();
    let mut links: BTreeSet<_> = citations(text)
        .map(|cited| Link::new(Path::new(""), cited))
        .collect();
    let readable: Vec<&str> = if is_markdown(path) {
        prose(text).collect()
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        text.lines()
            .filter(|line| line.trim_start().starts_with("//"))
            .collect()
    } else {
        Vec::new()
    };
    if is_markdown(path) {
        let named = readable.iter().flat_map(|line| named_files(line));
        links.extend(named.map(|file| Link::new(Path::new(""), file)));
    }
    let targets = readable.into_iter().flat_map(markdown_targets);
    links.extend(targets.map(|target| Link::new(base, target)));
    links
}

/// Returns the anchor that GitHub gives to a heading.
fn slug(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.collect::<String>()
        .trim()
        .to_lowercase()
        .replace(' ', "-")
}

/// Returns the places of a document that a link can name: `<a id="…">`, and headings.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut seen = BTreeMap::<String, usize>::new();
    for line in prose(markdown) {
        for rest in line.split("<a id=\"").skip(1) {
            anchors.insert(rest.split('"').next().unwrap().to_owned());
        }
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            let slug = slug(heading);
            let count = seen.entry(slug.clone()).or_default();
            anchors.insert(match *count {
                0 => slug,
                count => format!("{slug}-{count}"),
            });
            *count += 1;
        }
    }
    anchors
}

/// Returns what is wrong with a link in the file `path`, if anything.
fn problem(path: &Path, link: &Link) -> Option<String> {
    let target = if link.path.as_os_str().is_empty() {
        path
    } else {
        &link.path
    };
    let absolute = Path::new(ROOT).join(target);
    if !absolute.exists() || target.starts_with("..") {
        return Some(format!(
            "{}: {} does not exist",
            path.display(),
            target.display()
        ));
    }
    let anchor = link.anchor.as_ref()?;
    let known = if is_markdown(target) {
        anchors(&fs::read_to_string(absolute).unwrap())
    } else {
        BTreeSet::new()
    };
    (!known.contains(anchor))
        .then(|| format!("{}: {} has no #{anchor}", path.display(), target.display()))
}

#[test]
fn every_link_resolves() {
    let (mut checked, mut problems) = (0, Vec::new());
    for path in READ.iter().flat_map(|path| files(Path::new(path))) {
        // Certificates and archives are not text.
        let Ok(text) = fs::read_to_string(Path::new(ROOT).join(&path)) else {
            continue;
        };
        for link in links(&path, &text) {
            checked += 1;
            problems.extend(problem(&path, &link));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(checked >= MIN_LINKS, "only {checked} links were found");
}

/// A chapter that is not in the book's table of contents would not be in the book.
#[test]
fn every_chapter_is_in_the_summary() {
    let docs = Path::new("docs");
    let summary = docs.join("SUMMARY.md");
    let text = fs::read_to_string(Path::new(ROOT).join(&summary)).unwrap();
    let listed = text.lines().flat_map(markdown_targets);
    let listed: Vec<_> = listed.map(|target| docs.join(target)).collect();
    let chapters = files(docs).into_iter();
    let chapters = chapters.filter(|path| is_markdown(path) && *path != summary);
    let (listed, chapters): (BTreeSet<_>, BTreeSet<_>) =
        (listed.into_iter().collect(), chapters.collect());
    assert_eq!(
        listed, chapters,
        "docs/SUMMARY.md, and the files below docs"
    );
}

/// Who publishes pullprobe replaces one name, in these files.
#[test]
fn the_owner_is_named_where_releasing_says() {
    let placeholder = concat!("OWN", "ER/");
    let read = [
        ".github",
        "Cargo.toml",
        "CONTRIBUTING.md",
        "README.md",
        "RELEASING.md",
        "SECURITY.md",
        "action.yml",
        "dist",
        "docs",
        "modules",
        "src",
    ];
    let all = read.iter().flat_map(|path| files(Path::new(path)));
    let text = |path: &PathBuf| fs::read(Path::new(ROOT).join(path)).unwrap();
    let named: Vec<_> = all
        .filter(|path| String::from_utf8_lossy(&text(path)).contains(placeholder))
        .map(|path| path.display().to_string())
        .collect();
    let expected = [
        ".github/CODEOWNERS",
        "Cargo.toml",
        "docs/examples/deploy.yml",
    ];
    assert_eq!(named, expected);
    let releasing = fs::read_to_string(Path::new(ROOT).join("RELEASING.md")).unwrap();
    for path in expected {
        assert!(
            releasing.contains(path),
            "RELEASING.md does not name {path}"
        );
    }
}

/// The facts are numbered, and comments cite them by number.
#[test]
fn every_numbered_section_of_the_facts_has_its_anchor() {
    for path in files(Path::new("docs/facts")) {
        let text = fs::read_to_string(Path::new(ROOT).join(&path)).unwrap();
        let known = anchors(&text);
        let headings = prose(&text).filter_map(|line| line.strip_prefix("## "));
        let numbers: Vec<_> = headings
            .map(|heading| heading.split('.').next().unwrap())
            .collect();
        let expected: Vec<_> = (1..=numbers.len())
            .map(|number| number.to_string())
            .collect();
        assert_eq!(numbers, expected, "{}", path.display());
        for number in numbers {
            assert!(
                known.contains(number),
                "{}: no <a id=\"{number}\">",
                path.display()
            );
        }
    }
}

/// Paths of files that do not exist are put together here, so that this file cites none of them.
#[test]
fn a_broken_link_is_reported() {
    let docs = Path::new("docs");
    let report = |path: &Path, text: &str| -> Vec<String> {
        links(path, text)
            .iter()
            .filter_map(|link| problem(path, link))
            .collect()
    };

    let source = Path::new("src/example.rs");
    let cite = |rest: &str| format!("// Five seconds ({}).", docs.join(rest).display());
    assert_eq!(report(source, &cite("facts/ecs-start.md#2")), [""; 0]);
    assert_eq!(
        report(source, &cite("facts/ecs-start.md#99")),
        ["src/example.rs: docs/facts/ecs-start.md has no #99"]
    );
    let absent = docs.join("facts/absent.md");
    assert_eq!(
        report(source, &cite("facts/absent.md#2")),
        [format!(
            "src/example.rs: {} does not exist",
            absent.display()
        )]
    );

    let page = &docs.join("example.md");
    let says = |what: &str| [format!("{}: {what}", page.display())];
    assert_eq!(
        report(page, "[facts](facts/ecs-start.md#1), [code](../src/lib.rs)"),
        [""; 0]
    );
    assert_eq!(report(page, "[web](https://example.com/x.md#y)"), [""; 0]);
    assert_eq!(report(page, "```\n[code](absent.md)\n```"), [""; 0]);
    assert_eq!(
        report(page, "[gone](../src/absent.rs)"),
        says("src/absent.rs does not exist")
    );
    assert_eq!(
        report(page, "See `src/absent.rs` and `src/lib.rs`."),
        says("src/absent.rs does not exist")
    );
    assert_eq!(
        report(page, "[outside](../../other/README.md)"),
        says("../other/README.md does not exist")
    );
    assert_eq!(
        report(Path::new("README.md"), "[here](#no-such-heading)"),
        ["README.md: README.md has no #no-such-heading"]
    );
}

#[test]
fn anchors_are_those_of_github() {
    let markdown = "\
        # A first change\n\
        ## Limits: `probe` & co.\n\
        ## Limits: `probe` & co.\n\
        <a id=\"7\"></a>\n\
        ```sh\n\
        # a comment\n\
        ```\n";
    let expected = [
        "7",
        "a-first-change",
        "limits-probe--co",
        "limits-probe--co-1",
    ];
    assert_eq!(anchors(markdown), expected.map(str::to_owned).into());
}
