//! Yes, no, or unknown with the reasons.

use std::collections::BTreeSet;

/// Reasons that are kept of an unknown value: a policy of 10,000 statements has as many.
const MAX_REASONS: usize = 4;

/// A truth value of three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Unknown(BTreeSet<String>),
}

impl Truth {
    pub fn no() -> Self {
        Self::No
    }

    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(BTreeSet::from([why.into()]))
    }

    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, other) | (other, Self::Yes) => other,
            (Self::Unknown(a), Self::Unknown(b)) => Self::Unknown(join(a, b)),
        }
    }

    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, other) | (other, Self::No) => other,
            (Self::Unknown(a), Self::Unknown(b)) => Self::Unknown(join(a, b)),
        }
    }
}

fn join(mut a: BTreeSet<String>, b: BTreeSet<String>) -> BTreeSet<String> {
    for reason in b {
        if a.len() < MAX_REASONS {
            a.insert(reason);
        }
    }
    a
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

/// Returns whether one of the values is true.
pub(super) fn any(values: impl IntoIterator<Item = Truth>) -> Truth {
    values.into_iter().fold(Truth::No, Truth::or)
}

/// Returns whether all values are true.
pub(super) fn all(values: impl IntoIterator<Item = Truth>) -> Truth {
    values.into_iter().fold(Truth::Yes, Truth::and)
}
