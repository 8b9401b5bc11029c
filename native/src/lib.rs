//! Kernels of Espalier, and the grammars of constrained decoding. This file and `surface/` are the only ones that know Node: they
//! check lengths, borrow slices and call a kernel. No I/O but the mmap of a packed file, no knowledge of models.
mod grammar;
mod kernels;
mod pool;
mod simd;
#[cfg_attr(test, allow(dead_code))]
mod surface;
