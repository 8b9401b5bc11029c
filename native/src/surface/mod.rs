//! The #[napi] surface: checks lengths, borrows slices, calls a kernel.
pub mod matrices;
pub mod rows;
