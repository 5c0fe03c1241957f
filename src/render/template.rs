//! AWS CloudFormation templates, as YAML.

use thiserror::Error;

use super::tree::Tree;

/// Format of printed resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateFormat {
    /// AWS CloudFormation, in YAML.
    CloudFormation,
    /// Terraform, a module in one file.
    Terraform,
}

/// Why a template cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// The template has no resources.
    #[error(
        "nothing needs to be created, and CloudFormation rejects a template without resources; use \
         --format text"
    )]
    NoResources,
    /// A value cannot be written as YAML; contains the writer's message.
    #[error("cannot write YAML: {0}")]
    Yaml(String),
}

/// A CloudFormation template under construction.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Comment before the template.
    pub comment: String,
    /// Description of the stack, at most 1,024 bytes.
    pub description: String,
    /// Parameters by name.
    pub parameters: Vec<(String, Tree)>,
    /// Conditions by name.
    pub conditions: Vec<(String, Tree)>,
    /// Resources by logical ID.
    pub resources: Vec<(String, Tree)>,
    /// Outputs by name.
    pub outputs: Vec<(String, Tree)>,
}

impl Template {
    /// Returns the template as YAML, without empty sections.
    ///
    /// # Errors
    ///
    /// Fails if a value cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, RenderError> {
        let sections = [
            ("Parameters", &self.parameters),
            ("Conditions", &self.conditions),
            ("Resources", &self.resources),
            ("Outputs", &self.outputs),
        ];
        let mut template = vec![
            ("AWSTemplateFormatVersion".to_owned(), "2010-09-09".into()),
            ("Description".to_owned(), self.description.as_str().into()),
        ];
        let sections = sections
            .into_iter()
            .filter(|(_, entries)| !entries.is_empty());
        template
            .extend(sections.map(|(name, entries)| (name.to_owned(), Tree::Map(entries.clone()))));
        let yaml = serde_saphyr::to_string(&Tree::Map(template))
            .map_err(|error| RenderError::Yaml(error.to_string()))?;
        let comment: String = self
            .comment
            .lines()
            .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
            .collect();
        Ok(comment + &yaml)
    }

    /// Whether the template has a parameter with this name.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.parameters.iter().any(|(known, _)| known == name)
    }

    /// Adds a parameter of a type such as `AWS::EC2::VPC::Id`, unless it exists. `more` are further
    /// attributes, such as `Default` and `AllowedPattern`.
    pub fn parameter(&mut self, name: &str, kind: &str, description: &str, more: &[(&str, &str)]) {
        if self.has_parameter(name) {
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

    /// Adds a parameter with these allowed values, unless it exists.
    pub fn choice(&mut self, name: &str, description: &str, values: [&str; 2], default: &str) {
        if self.has_parameter(name) {
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

    /// Adds a resource, which is created only if `condition` holds.
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

/// Returns `Ref`: the value of a parameter, or the ID of a resource.
pub fn reference(name: &str) -> Tree {
    Tree::map([("Ref", name.into())])
}

/// Returns `Fn::Sub`: text with `${Name}` in it.
pub fn substitute(text: impl Into<String>) -> Tree {
    Tree::map([("Fn::Sub", Tree::Text(text.into()))])
}

/// Returns `Fn::GetAtt`: an attribute of a resource.
pub fn attribute(id: &str, name: &str) -> Tree {
    Tree::map([("Fn::GetAtt", Tree::list([id, name]))])
}

/// Returns a condition that holds if the parameter has a value.
pub fn is_given(parameter: &str) -> Tree {
    is_not_empty(reference(parameter))
}

/// Returns a condition that holds if the text is not empty.
pub fn is_not_empty(text: Tree) -> Tree {
    let is_empty = Tree::map([("Fn::Equals", Tree::list([text, "".into()]))]);
    Tree::map([("Fn::Not", Tree::list([is_empty]))])
}

/// Returns `value` if `condition` holds, else `AWS::NoValue`.
pub fn only_if(condition: &str, value: Tree) -> Tree {
    Tree::map([(
        "Fn::If",
        Tree::list([condition.into(), value, reference("AWS::NoValue")]),
    )])
}
