//! Texts and lists that many vantages have in common are stored once.

use std::collections::HashSet;
use std::sync::Arc;

use super::fact::Facts;

/// Properties of a report: names and values.
pub type Properties = Vec<(Arc<str>, Arc<str>)>;

/// Bytes that may be kept before the first sweep.
const FIRST_SWEEP: usize = 1024 * 1024;

/// Texts, facts and properties, each stored once.
#[derive(Debug, Clone)]
pub struct Pool {
    texts: HashSet<Arc<str>>,
    facts: HashSet<Arc<Facts>>,
    properties: HashSet<Arc<Properties>>,
    kept: usize,
    /// Number of bytes at which entries that no vantage uses any more are dropped: twice what the
    /// last sweep left, so that memory grows with the vantages and not with their reports.
    next_sweep: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            texts: HashSet::new(),
            facts: HashSet::new(),
            properties: HashSet::new(),
            kept: 0,
            next_sweep: FIRST_SWEEP,
        }
    }
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
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        self.grow(size_of_text(&text));
        text
    }

    /// Returns the stored copy of the facts of a report.
    pub fn facts(&mut self, facts: Facts) -> Arc<Facts> {
        if let Some(known) = self.facts.get(&facts) {
            return Arc::clone(known);
        }
        let facts = Arc::new(facts);
        self.facts.insert(Arc::clone(&facts));
        self.grow(size_of_facts(&facts));
        facts
    }

    /// Returns the stored copy of properties.
    pub fn properties(&mut self, properties: Properties) -> Arc<Properties> {
        if let Some(known) = self.properties.get(&properties) {
            return Arc::clone(known);
        }
        let properties = Arc::new(properties);
        self.properties.insert(Arc::clone(&properties));
        self.grow(size_of_val(properties.as_slice()));
        properties
    }

    fn grow(&mut self, bytes: usize) {
        self.kept += bytes;
        if self.kept >= self.next_sweep {
            self.sweep();
            self.next_sweep = FIRST_SWEEP.max(2 * self.kept);
        }
    }

    /// Drops what only the pool holds. Properties hold texts, so they go first.
    fn sweep(&mut self) {
        self.facts.retain(is_used);
        self.properties.retain(is_used);
        self.texts.retain(is_used);
        let facts: usize = self.facts.iter().map(|facts| size_of_facts(facts)).sum();
        let properties = self.properties.iter();
        let properties: usize = properties.map(|one| size_of_val(one.as_slice())).sum();
        let texts: usize = self.texts.iter().map(|text| size_of_text(text)).sum();
        self.kept = facts + properties + texts;
    }
}

fn is_used<T: ?Sized>(shared: &Arc<T>) -> bool {
    Arc::strong_count(shared) > 1
}

/// Returns the bytes of a text, of its entry in the set, and of its reference counts.
fn size_of_text(text: &str) -> usize {
    text.len() + 3 * size_of::<Arc<str>>()
}

fn size_of_facts(facts: &Facts) -> usize {
    let texts = facts.iter().map(|(name, value)| {
        size_of_val(name)
            + size_of_val(value)
            + name.dependency.len()
            + name.phase.len()
            + value.len()
    });
    texts.sum()
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

    #[test]
    fn unused_entries_are_dropped() {
        let mut pool = Pool::default();
        let used = pool.text("used");
        for number in 0..100_000 {
            pool.text(&format!("2026-11-27T10:00:00.{number:06}Z"));
        }
        assert!(pool.kept_bytes() <= FIRST_SWEEP, "{}", pool.kept_bytes());
        assert!(Arc::ptr_eq(&used, &pool.text("used")));
    }
}
