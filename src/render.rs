//! Documents for people and for other tools.

#[cfg(feature = "operator")]
pub mod cloudformation;
pub mod explanation;
#[cfg(feature = "operator")]
pub mod hcl;
#[cfg(feature = "operator")]
pub mod infrastructure;
pub mod plan;
#[cfg(feature = "operator")]
mod policy;
#[cfg(feature = "operator")]
pub mod template;
#[cfg(feature = "operator")]
pub mod terraform;
pub mod text;
#[cfg(feature = "operator")]
pub mod tree;
