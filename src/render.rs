//! Reports for people.

pub mod explanation;
pub mod text;
