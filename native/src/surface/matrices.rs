//! Frozen weights and products of matrices as Node sees them: `src/numeric/kernels.ts` says what each computes. An error thrown
//! here is a bug of the TypeScript face, never of a user: it checks arguments first.
#![allow(clippy::too_many_arguments)] // JavaScript calls with flat arguments cost least.
use super::arguments::{addresses, check_apart, check_lengths, chosen_isa, invalid};
use super::memory::map_in_large_pages;
use crate::kernels::cross_entropy::{self, Results};
use crate::kernels::linear::Activations;
use crate::kernels::packed::{Format, Layout, Packed, pack};
use crate::kernels::{embedding, gemm as matrices, linear};
use crate::pool;
use memmap2::Mmap;
use napi::bindgen_prelude::{
    External, Float32ArraySlice as Floats, Int32ArraySlice as Integers, Uint8ArraySlice as Bytes,
};
use napi::{Error, Result};
use napi_derive::napi;
use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;

/// A frozen weight, and what its products round activations to.
pub struct Matrix {
    packed: Packed,
    activations: Activations,
}

impl Matrix {
    /// Fails where the instruction set has no such products.
    pub fn new(packed: Packed, compute: &str) -> Result<Self> {
        let activations = Activations::from_name(compute);
        let activations = activations.ok_or_else(|| invalid(format!("there are no products in {compute}")))?;
        let isa = chosen_isa()?;
        if !activations.is_available(isa) {
            return Err(invalid(format!("the instruction set {} has no products in {compute}", isa.name())));
        }
        Ok(Self { packed, activations })
    }

    /// The collector must know how much memory goes with the handle.
    pub fn external(self) -> External<Self> {
        let size = self.packed.heap_bytes();
        External::new_with_size_hint(self, size)
    }
}

impl Deref for Matrix {
    type Target = Packed;

    fn deref(&self) -> &Packed {
        &self.packed
    }
}

fn format_named(name: &str) -> Result<Format> {
    Format::from_name(name).ok_or_else(|| invalid(format!("{name} is no format of weights")))
}

/// Panics of a kernel become errors: see `catch_unwind`.
#[napi(catch_unwind)]
pub fn instruction_set() -> Result<&'static str> {
    Ok(chosen_isa()?.name())
}

/// What products can round activations to with the instruction set in use.
#[napi(catch_unwind)]
pub fn compute_dtypes() -> Result<Vec<&'static str>> {
    Ok(Activations::available(chosen_isa()?).map(Activations::name).collect())
}

#[napi(catch_unwind)]
pub fn set_threads(threads: u32) {
    pool::set_threads(threads as usize);
}

/// Kernels that the calling thread calls from now on run on it alone.
#[napi(catch_unwind)]
pub fn leave_pool() {
    pool::leave_pool();
}

#[napi(catch_unwind)]
pub fn threads() -> u32 {
    pool::threads() as u32
}

/// Names the bytes that [`pack_into`] writes, for the key of a cached file.
#[napi(catch_unwind)]
pub fn packed_layout(format: String) -> Result<&'static str> {
    Ok(format_named(&format)?.layout())
}

#[napi(catch_unwind)]
pub fn packed_bytes(out: u32, inputs: u32, format: String) -> Result<f64> {
    Ok(Layout::new(out as usize, inputs as usize, format_named(&format)?).bytes() as f64)
}

#[napi(catch_unwind)]
pub fn pack_into(mut target: Bytes, weight: Floats, out: u32, inputs: u32, format: String) -> Result<()> {
    let (out, inputs, format) = (out as usize, inputs as usize, format_named(&format)?);
    check_lengths(&[
        ("weight", weight.len(), &[out, inputs]),
        ("target", target.len(), &[Layout::new(out, inputs, format).bytes()]),
    ])?;
    check_apart(&[addresses(&target)], &[addresses(&weight)])?;
    // SAFETY: the target overlaps nothing, and JavaScript waits for this call.
    pack(unsafe { target.as_mut() }, &weight, out, inputs, format);
    Ok(())
}

#[napi(catch_unwind)]
pub fn freeze(weight: Floats, out: u32, inputs: u32, format: String, compute: String) -> Result<External<Matrix>> {
    let (out, inputs, format) = (out as usize, inputs as usize, format_named(&format)?);
    check_lengths(&[("weight", weight.len(), &[out, inputs])])?;
    Ok(Matrix::new(Packed::new(&weight, out, inputs, format), &compute)?.external())
}

#[napi(catch_unwind)]
pub fn thaw(mut target: Floats, weight: &External<Matrix>) -> Result<()> {
    check_lengths(&[("target", target.len(), &[weight.out, weight.inputs])])?;
    // SAFETY: the packed weight is not JavaScript's memory, and JavaScript waits for this call.
    weight.thaw(unsafe { target.as_mut() });
    Ok(())
}

/// Maps a packed file read-only. Whoever changes it meanwhile changes the weights: packed files are replaced, never edited.
#[napi(catch_unwind)]
pub fn map_weights(path: String) -> Result<External<Arc<Mmap>>> {
    let opened = File::open(&path).and_then(|file| unsafe { Mmap::map(&file) });
    let file = opened.map_err(|error| Error::from_reason(format!("cannot map {path}: {error}")))?;
    map_in_large_pages(&file);
    Ok(External::new(Arc::new(file)))
}

#[napi(catch_unwind)]
pub fn mapped_matrix(
    file: &External<Arc<Mmap>>,
    byte_offset: f64,
    out: u32,
    inputs: u32,
    format: String,
    compute: String,
) -> Result<External<Matrix>> {
    let (out, inputs, format) = (out as usize, inputs as usize, format_named(&format)?);
    let packed = Packed::mapped(Arc::clone(file), byte_offset as usize, out, inputs, format);
    Ok(Matrix::new(packed.map_err(invalid)?, &compute)?.external())
}

#[napi(catch_unwind)]
pub fn linear_forward(mut y: Floats, x: Floats, weight: &External<Matrix>, rows: u32, accumulate: bool) -> Result<()> {
    let t = rows as usize;
    check_lengths(&[("y", y.len(), &[t, weight.out]), ("x", x.len(), &[t, weight.inputs])])?;
    check_apart(&[addresses(&y)], &[addresses(&x)])?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    linear::forward(chosen_isa()?, weight.activations, unsafe { y.as_mut() }, &x, weight, t, accumulate);
    Ok(())
}

#[napi(catch_unwind)]
pub fn linear_backward(
    mut dx: Floats,
    dy: Floats,
    weight: &External<Matrix>,
    rows: u32,
    accumulate: bool,
) -> Result<()> {
    let t = rows as usize;
    check_lengths(&[("dx", dx.len(), &[t, weight.inputs]), ("dy", dy.len(), &[t, weight.out])])?;
    check_apart(&[addresses(&dx)], &[addresses(&dy)])?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    linear::backward(chosen_isa()?, weight.activations, unsafe { dx.as_mut() }, &dy, weight, t, accumulate);
    Ok(())
}

#[napi(catch_unwind)]
pub fn gemm(
    mut c: Floats,
    a: Floats,
    b: Floats,
    m: u32,
    n: u32,
    k: u32,
    transpose_a: bool,
    transpose_b: bool,
    alpha: f64,
    accumulate: bool,
) -> Result<()> {
    let (m, n, k, alpha) = (m as usize, n as usize, k as usize, alpha as f32);
    check_lengths(&[("c", c.len(), &[m, n]), ("a", a.len(), &[m, k]), ("b", b.len(), &[k, n])])?;
    check_apart(&[addresses(&c)], &[addresses(&a), addresses(&b)])?;
    let shape = matrices::Shape { m, n, k, transpose_a, transpose_b, alpha, accumulate };
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    matrices::gemm(chosen_isa()?, unsafe { c.as_mut() }, &a, &b, shape);
    Ok(())
}

#[napi(catch_unwind)]
pub fn embedding_forward(mut y: Floats, table: &External<Matrix>, token_ids: Integers) -> Result<()> {
    check_lengths(&[("y", y.len(), &[token_ids.len(), table.inputs])])?;
    check_apart(&[addresses(&y)], &[addresses(&token_ids)])?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    embedding::forward(unsafe { y.as_mut() }, table, &token_ids);
    Ok(())
}

#[napi(catch_unwind)]
pub fn linear_cross_entropy(
    mut losses: Floats,
    dx: Option<Floats>,
    is_top: Option<Bytes>,
    x: Floats,
    weight: &External<Matrix>,
    targets: Integers,
    weights: Floats,
) -> Result<()> {
    let (n, width) = (targets.len(), weight.inputs);
    let (mut dx, mut is_top) = (dx, is_top);
    check_lengths(&[
        ("losses", losses.len(), &[n]),
        ("dx", dx.as_ref().map_or(n * width, |dx| dx.len()), &[n, width]),
        ("isTop", is_top.as_ref().map_or(n, |is_top| is_top.len()), &[n]),
        ("x", x.len(), &[n, width]),
        ("weights", weights.len(), &[n]),
    ])?;
    let mut outputs = vec![addresses(&losses)];
    outputs.extend(dx.as_ref().map(|dx| addresses(dx)));
    outputs.extend(is_top.as_ref().map(|is_top| addresses(is_top)));
    check_apart(&outputs, &[addresses(&x), addresses(&targets), addresses(&weights)])?;
    // SAFETY: the outputs overlap nothing, and JavaScript waits for this call.
    let results = unsafe {
        Results {
            losses: losses.as_mut(),
            dx: dx.as_mut().map(|dx| dx.as_mut()),
            is_top: is_top.as_mut().map(|is_top| is_top.as_mut()),
        }
    };
    cross_entropy::linear_cross_entropy(chosen_isa()?, weight.activations, results, &x, weight, &targets, &weights);
    Ok(())
}
