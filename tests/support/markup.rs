//! Reads documents as a browser or a pipeline does, strictly: which elements, attributes and links a
//! document has.

use std::collections::BTreeSet;

use quick_xml::Reader;
use quick_xml::events::Event;

/// Elements that act, or that load something.
const ACTING: [&str; 8] = [
    "script",
    "iframe",
    "img",
    "object",
    "embed",
    "form",
    "base",
    "a:external",
];

/// Returns the elements and attributes of a page, and its links. Fails on what this program does not
/// write: an attribute without quotation marks, an element that is not closed, a link out of the page.
pub fn of_html(page: &str) -> BTreeSet<String> {
    let body = page
        .strip_prefix("<!doctype html>\n")
        .expect("a page has a document type");
    // The style is this program's; nothing of a report is in it.
    let (before, rest) = body.split_once("<style>").expect("a page has a style");
    let (_, after) = rest.split_once("</style>").expect("the style ends");
    let mut found = BTreeSet::new();
    for part in [before, after] {
        let mut rest = part;
        while let Some((text, tag)) = rest.split_once('<') {
            assert!(!text.contains('>'), "a bare > in {text:?}");
            let (tag, after) = end_of_tag(tag);
            found.extend(names(tag));
            rest = after;
        }
    }
    assert!(
        ACTING.iter().all(|name| !found.contains(*name)),
        "{found:?}"
    );
    found
}

/// Splits after the end of a tag, which is not one in quotation marks.
fn end_of_tag(tag: &str) -> (&str, &str) {
    let mut is_quoted = false;
    for (at, c) in tag.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return (&tag[..at], &tag[at + 1..]),
            '<' => panic!("a < in a tag: {tag:.80}"),
            _ => {}
        }
    }
    panic!("a tag does not end: {tag:.80}")
}

/// Returns the name of an element, with each of its attributes.
fn names(tag: &str) -> Vec<String> {
    let name_of = |text: &str| text.trim_matches([' ', '/', '\n']).to_owned();
    let element = tag
        .trim_start_matches('/')
        .split([' ', '\n'])
        .next()
        .unwrap_or_default();
    let mut names = vec![element.to_owned()];
    // Every second part is in quotation marks.
    let parts: Vec<&str> = tag[element.len().min(tag.len())..].split('"').collect();
    for pair in parts.chunks(2) {
        let [before, value] = pair else {
            continue;
        };
        let words: Vec<&str> = before.split_whitespace().collect();
        for word in &words {
            let attribute = name_of(word.trim_end_matches('='));
            names.push(format!("{element} {attribute}"));
            if attribute == "href" {
                assert!(
                    value.starts_with("#v") || *value == "data:,",
                    "a link to {value}"
                );
            }
        }
    }
    names
}

/// Returns the elements and attributes of an XML document, which must be well-formed.
pub fn of_xml(text: &str) -> BTreeSet<String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut found = BTreeSet::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element) | Event::Empty(element)) => {
                let name = element.name().as_ref().to_owned();
                for attribute in element.attributes() {
                    let attribute = attribute.expect("attributes are well-formed");
                    let key = attribute.key.as_ref().to_owned();
                    found.insert(format!("{name} {key}"));
                }
                found.insert(name);
            }
            Ok(Event::CData(_) | Event::DocType(_) | Event::PI(_) | Event::Comment(_)) => {
                panic!("the document has something that is not written: {text:.80}")
            }
            Ok(Event::Eof) => return found,
            Ok(_) => {}
            Err(error) => panic!("not well-formed: {error}: {text:.200}"),
        }
    }
}

/// Returns the elements in Markdown; fails on a link, an image, code, or an element that is not closed.
pub fn of_markdown(text: &str) -> BTreeSet<String> {
    for acting in ["](", "![", "`a", "<!--", "https://", "www.", " @all"] {
        assert!(!text.contains(acting), "{acting} in {text:.2000}");
    }
    let mut found = BTreeSet::new();
    for part in text.split('<').skip(1) {
        let end = part
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '/')
            .unwrap_or(part.len());
        found.insert(part[..end].to_owned());
    }
    for name in ["details", "summary", "pre"] {
        let (opened, closed) = (format!("<{name}>"), format!("</{name}>"));
        assert_eq!(
            text.matches(&opened).count(),
            text.matches(&closed).count(),
            "{name}"
        );
    }
    found
}
