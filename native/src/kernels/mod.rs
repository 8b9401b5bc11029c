//! One kernel a file, forward beside backward. Kernels of rows are portable code over [`arithmetic`]; products of matrices are
//! written over [`lanes`] and share one inner loop, [`tile`].
pub mod adamw;
pub mod aligned;
pub mod arithmetic;
pub mod attention;
pub mod codec;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod gemm;
pub mod lanes;
#[cfg(target_arch = "aarch64")]
pub mod lanes_neon;
#[cfg(target_arch = "x86_64")]
pub mod lanes_x86;
pub mod linear;
pub mod math;
pub mod nf4;
pub mod operands;
pub mod packed;
pub mod rms_norm;
pub mod rope;
pub mod row_operations;
pub mod row_program;
pub mod scratch;
pub mod split;
pub mod swiglu;
#[cfg(test)]
pub mod testing;
pub mod tile;
