//! Documents for people and for other tools.

pub mod explanation;
#[cfg(feature = "operator")]
pub mod hcl;
#[cfg(feature = "operator")]
pub mod template;
pub mod text;
#[cfg(feature = "operator")]
pub mod tree;
