//! Texts and lists that many vantages have in common are stored once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::fact::Facts;

/// Properties of a report: names and values.
pub type Properties = Vec<(Arc<str>, Arc<str>)>;

/// What is stored once.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    texts: HashSet<Arc<str>>,
    facts: HashSet<Arc<Facts>>,
    properties: HashSet<Arc<Properties>>,
    kept: usize,
}

impl Pool {
    /// Returns about how many bytes are kept.
    pub fn kept_bytes(&self) -> usize {
        self.kept
    }

    /// Returns the stored copy of a text.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        self.kept += text.len() + 3 * size_of::<Arc<str>>();
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// Returns the stored copy of the facts of a report.
    pub fn facts(&mut self, facts: Facts) -> Arc<Facts> {
        let texts = facts.iter().map(|(name, value)| {
            size_of_val(name)
                + size_of_val(value)
                + name.dependency.len()
                + name.phase.len()
                + value.len()
        });
        let size = texts.sum();
        share(&mut self.facts, facts, size, &mut self.kept)
    }

    /// Returns the stored copy of properties.
    pub fn properties(&mut self, properties: Properties) -> Arc<Properties> {
        let size = size_of_val(properties.as_slice());
        share(&mut self.properties, properties, size, &mut self.kept)
    }
}

fn share<T: Eq + Hash>(
    known: &mut HashSet<Arc<T>>,
    new: T,
    size: usize,
    kept: &mut usize,
) -> Arc<T> {
    if let Some(known) = known.get(&new) {
        return Arc::clone(known);
    }
    *kept += size;
    let new = Arc::new(new);
    known.insert(Arc::clone(&new));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_kept_once() {
        let mut pool = Pool::default();
        let first = pool.text("passed");
        let kept = pool.kept_bytes();
        assert!(Arc::ptr_eq(&first, &pool.text("passed")));
        let list = pool.properties(vec![(first.clone(), first.clone())]);
        assert!(Arc::ptr_eq(
            &list,
            &pool.properties(vec![(first.clone(), first)])
        ));
        assert!(pool.kept_bytes() > kept);
    }
}
