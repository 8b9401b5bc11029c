//! One kernel a file, forward beside backward, the portable version first.
pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod embedding;
pub mod gemm;
pub mod linear;
pub mod math;
pub mod packed;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;
