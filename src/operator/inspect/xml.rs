//! A tree of XML elements: EC2's responses have dozens of types, of which few members are read.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use crate::safe_text::{MAX_FOREIGN_CHARS, visible};

/// An element, with its text and its children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XmlNode {
    text: String,
    children: Vec<(String, XmlNode)>,
}

impl XmlNode {
    /// Returns the first child of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, child)| child)
    }

    /// Returns the element's own text.
    pub fn own_text(&self) -> &str {
        self.text.trim()
    }

    /// Returns the text of a child; `None` if it has none.
    pub fn text(&self, name: &str) -> Option<&str> {
        let text = self.child(name)?.text.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Returns the text of a child, empty if there is none.
    pub fn string(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    /// Whether the text of a child is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// Returns a child's text as a number or another type.
    pub fn parse<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// Returns the members of a list: `item` in EC2, `member` in the other Query services.
    pub fn items(&self, name: &str) -> impl Iterator<Item = &Self> {
        let list = self.child(name).into_iter();
        list.flat_map(|list| &list.children).map(|(_, item)| item)
    }

    /// Returns the texts of a list's members, or of the member of each that has this name.
    pub fn texts(&self, list: &str, member: Option<&str>) -> Vec<String> {
        let text = |item: &Self| match member {
            Some(member) => item.string(member),
            None => item.text.trim().to_owned(),
        };
        self.items(list)
            .map(text)
            .filter(|text| !text.is_empty())
            .collect()
    }
}

/// Elements whose text is a policy, which is parsed; every other text is a name or a value, and is
/// shown.
const DOCUMENTS: [&str; 4] = [
    "policyDocument",
    "AssumeRolePolicyDocument",
    "Document",
    "PolicyDocument",
];

/// Depth of elements: EC2's responses have fewer than ten.
const MAX_DEPTH: usize = 64;

#[cfg(any(test, fuzzing))]
impl XmlNode {
    /// Returns every text that is shown, which is each but that of a policy.
    pub fn shown_texts(self) -> Vec<String> {
        let mut texts = Vec::new();
        // The root has no text of its own.
        let mut open = self.children;
        while let Some((name, node)) = open.pop() {
            if !DOCUMENTS.contains(&&*name) {
                texts.push(node.text);
            }
            open.extend(node.children);
        }
        texts
    }
}

impl XmlNode {
    /// Reads a document and returns its root element.
    pub fn from_xml(xml: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(xml);
        let mut open: Vec<(String, Self)> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            match event {
                Event::Start(start) => {
                    if open.len() >= MAX_DEPTH {
                        return Err("the elements are nested too deep".into());
                    }
                    open.push((start.local_name().as_ref().to_owned(), Self::default()));
                }
                Event::Empty(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    match open.last_mut() {
                        Some((_, parent)) => parent.children.push((name, Self::default())),
                        None => return Ok(Self::default()),
                    }
                }
                Event::End(_) => {
                    let Some((name, mut node)) = open.pop() else {
                        return Err("an element ends that did not begin".into());
                    };
                    if !DOCUMENTS.contains(&&*name) {
                        node.text = visible(&node.text, MAX_FOREIGN_CHARS);
                    }
                    match open.last_mut() {
                        Some((_, parent)) => parent.children.push((name, node)),
                        None => return Ok(node),
                    }
                }
                Event::Text(text) => {
                    if let Some((_, node)) = open.last_mut() {
                        node.text.push_str(&text);
                    }
                }
                Event::CData(text) => {
                    if let Some((_, node)) = open.last_mut() {
                        node.text.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    let name: &str = &reference;
                    let resolved = match reference.resolve_char_ref() {
                        Ok(Some(character)) => character.to_string(),
                        _ => resolve_predefined_entity(name)
                            .map(str::to_owned)
                            .ok_or_else(|| format!("the entity {name} is not known"))?,
                    };
                    if let Some((_, node)) = open.last_mut() {
                        node.text.push_str(&resolved);
                    }
                }
                Event::Eof => return Err("the document ends early".into()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_become_a_tree() {
        let node = XmlNode::from_xml(
            r#"<?xml version="1.0"?>
            <R xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
              <set><item><id>a</id><on>true</on></item><item><id>b</id><list/></item></set>
              <names><item>x &amp; y</item><item>z</item></names>
              <nextToken/>
            </R>"#,
        )
        .unwrap();
        let ids: Vec<_> = node.items("set").map(|item| item.string("id")).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(node.items("set").next().unwrap().is_true("on"));
        assert_eq!(node.texts("names", None), ["x & y", "z"]);
        assert_eq!(node.texts("set", Some("id")), ["a", "b"]);
        assert_eq!(node.text("nextToken"), None);
        assert_eq!(node.items("absent").count(), 0);
    }
}
