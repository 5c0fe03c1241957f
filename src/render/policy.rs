//! IAM policies as values of Terraform and CloudFormation files.

use super::tree::Tree;
use crate::plan::requirements::{Policy, Statement};

/// Returns a policy document.
pub fn document(policy: &Policy) -> Tree {
    of_statements(policy.statement.iter())
}

/// Returns a policy document with these statements.
pub fn of_statements<'a>(statements: impl Iterator<Item = &'a Statement>) -> Tree {
    of_trees(statements.map(statement))
}

/// Returns a policy document with these statements, which are written already.
pub fn of_trees(statements: impl IntoIterator<Item = Tree>) -> Tree {
    Tree::map([
        ("Version", Policy::VERSION.into()),
        ("Statement", Tree::list(statements)),
    ])
}

fn statement(statement: &Statement) -> Tree {
    let Statement {
        sid,
        effect,
        principal,
        action,
        resource,
        condition,
    } = statement;
    let mut entries = vec![
        ("Sid".to_owned(), Tree::from(*sid)),
        ("Effect".to_owned(), (*effect).into()),
    ];
    entries.extend(principal.map(|principal| ("Principal".to_owned(), principal.into())));
    entries.push(("Action".to_owned(), one_or_many(action.iter().copied())));
    entries.push(("Resource".to_owned(), one_or_many(resource.iter().cloned())));
    if !condition.is_empty() {
        let keys = condition.iter().map(|(operator, keys)| {
            let keys = keys
                .iter()
                .map(|(key, values)| ((*key).to_owned(), one_or_many(values.iter().cloned())));
            ((*operator).to_owned(), Tree::Map(keys.collect()))
        });
        entries.push(("Condition".to_owned(), Tree::Map(keys.collect())));
    }
    Tree::Map(entries)
}

fn one_or_many<T: Into<Tree>>(values: impl ExactSizeIterator<Item = T>) -> Tree {
    let mut values: Vec<Tree> = values.map(Into::into).collect();
    if values.len() == 1 {
        values.remove(0)
    } else {
        Tree::List(values)
    }
}
