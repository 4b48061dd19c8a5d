//! Recording.
pub mod answered;
pub mod asked;
pub mod memory;
