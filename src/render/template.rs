//! AWS CloudFormation templates, as YAML.

use super::tree::Tree;

/// A template that is put together part by part.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Lines before it, each behind `#`.
    pub comment: String,
    /// What the stack is for; at most 1,024 bytes.
    pub description: String,
    /// Parameters by name.
    pub parameters: Vec<(String, Tree)>,
    /// Conditions by name.
    pub conditions: Vec<(String, Tree)>,
    /// Resources by logical id.
    pub resources: Vec<(String, Tree)>,
    /// Outputs by name.
    pub outputs: Vec<(String, Tree)>,
}

impl Template {
    /// The template as YAML; sections that are empty are left out. Fails, with a sentence, if YAML
    /// cannot say it.
    pub fn to_yaml(&self) -> Result<String, String> {
        let sections = [
            ("Parameters", &self.parameters),
            ("Conditions", &self.conditions),
            ("Resources", &self.resources),
            ("Outputs", &self.outputs),
        ];
        let mut whole = vec![
            ("AWSTemplateFormatVersion".to_owned(), "2010-09-09".into()),
            ("Description".to_owned(), self.description.as_str().into()),
        ];
        let sections = sections
            .into_iter()
            .filter(|(_, entries)| !entries.is_empty());
        whole.extend(sections.map(|(name, entries)| (name.to_owned(), Tree::Map(entries.clone()))));
        let yaml = serde_saphyr::to_string(&Tree::Map(whole)).map_err(|error| error.to_string())?;
        let comment: String = self
            .comment
            .lines()
            .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
            .collect();
        Ok(comment + &yaml)
    }

    /// Adds a parameter of a type such as `AWS::EC2::VPC::Id`, once. `more` has its default or
    /// pattern.
    pub fn parameter(&mut self, name: &str, kind: &str, description: &str, more: &[(&str, &str)]) {
        if self.parameters.iter().any(|(known, _)| known == name) {
            return;
        }
        let mut entries: Vec<_> = [("Type", kind), ("Description", description)]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into();
        entries.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into())),
        );
        self.parameters.push((name.to_owned(), Tree::Map(entries)));
    }

    /// Adds a parameter that takes one of `values`, once.
    pub fn choice(&mut self, name: &str, description: &str, values: [&str; 2], default: &str) {
        if self.parameters.iter().any(|(known, _)| known == name) {
            return;
        }
        let entries = Tree::map([
            ("Type", "String".into()),
            ("Description", description.into()),
            ("AllowedValues", Tree::list(values)),
            ("Default", default.into()),
        ]);
        self.parameters.push((name.to_owned(), entries));
    }

    /// Adds a resource, that exists only if `condition` holds.
    pub fn resource(
        &mut self,
        id: &str,
        kind: &str,
        condition: Option<&str>,
        properties: Vec<(&str, Tree)>,
    ) {
        let mut entries = vec![("Type".to_owned(), kind.into())];
        entries.extend(condition.map(|condition| ("Condition".to_owned(), condition.into())));
        let properties = properties
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        entries.push(("Properties".to_owned(), Tree::Map(properties)));
        self.resources.push((id.to_owned(), Tree::Map(entries)));
    }
}

/// The value of a parameter, or the id of a resource.
pub fn reference(name: &str) -> Tree {
    Tree::map([("Ref", name.into())])
}

/// Text with `${Name}` in it.
pub fn substitute(text: impl Into<String>) -> Tree {
    Tree::map([("Fn::Sub", Tree::Text(text.into()))])
}

/// An attribute of a resource.
pub fn attribute(id: &str, name: &str) -> Tree {
    Tree::map([("Fn::GetAtt", Tree::list([id, name]))])
}

/// Holds where a parameter was given a value.
pub fn is_given(parameter: &str) -> Tree {
    Tree::map([(
        "Fn::Not",
        Tree::list([Tree::map([(
            "Fn::Equals",
            Tree::list([reference(parameter), "".into()]),
        )])]),
    )])
}

/// `value` where `condition` holds, else nothing.
pub fn only_if(condition: &str, value: Tree) -> Tree {
    Tree::map([(
        "Fn::If",
        Tree::list([condition.into(), value, reference("AWS::NoValue")]),
    )])
}
