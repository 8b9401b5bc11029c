//! The #[napi] surface: checks lengths, borrows slices, calls a kernel.
mod arguments;
pub mod grammars;
pub mod matrices;
pub mod memory;
pub mod nf4;
pub mod pages;
pub mod programs;
pub mod rows;
