//! The operations of adapters as Node sees them: `src/numeric/kernels.ts` says what each computes, `src/numeric/row-program.ts` how
//! they are packed. An error thrown here is a bug of the TypeScript face, never of a user: it checks arguments first.
//!
//! A program points into the memory of its `bytes`, and bound rows into their programs': the TypeScript face keeps the arrays for as long as
//! it keeps the handles. They are backed by a SharedArrayBuffer, which cannot be detached.
use super::arguments::{addresses, check_apart, check_lengths, chosen_isa, invalid};
use crate::kernels::row_operations;
use crate::kernels::row_program::{Bound, Program, Span};
use napi::Result;
use napi::bindgen_prelude::{
    External, Float32ArraySlice as Floats, Float64ArraySlice as Doubles, Int32ArraySlice as Integers,
    Uint8ArraySlice as Bytes,
};
use napi_derive::napi;
use std::sync::Arc;

#[napi(catch_unwind)]
pub fn open_program(bytes: Bytes, records: Integers, scales: Doubles) -> Result<External<Arc<Program>>> {
    Ok(External::new(Arc::new(Program::new(&bytes, &records, &scales).map_err(invalid)?)))
}

/// Rows that follow no program yet.
#[napi(catch_unwind)]
pub fn new_bound_rows() -> External<Bound> {
    External::new(Bound::default())
}

/// Adds rows that come after all that are bound already.
#[napi(catch_unwind)]
pub fn bind_rows(bound: &mut External<Bound>, program: &External<Arc<Program>>, begin: u32, end: u32) -> Result<()> {
    let program = Arc::clone(program);
    bound.push(Span { rows: begin as usize..end as usize, program }).map_err(invalid)
}

/// The width of an array of `rows` rows.
fn width(length: usize, rows: usize) -> usize {
    length.checked_div(rows).unwrap_or(0)
}

#[napi(catch_unwind)]
pub fn scale_inputs(mut out: Floats, x: Floats, bound: &External<Bound>, slot: u32, rows: u32) -> Result<()> {
    let (t, slot) = (rows as usize, slot as usize);
    let inputs = width(x.len(), t);
    check_lengths(&[("x", x.len(), &[t, inputs]), ("out", out.len(), &[t, inputs])])?;
    check_apart(&[addresses(&out)], &[addresses(&x)])?;
    bound.check(slot, t, inputs, None).map_err(invalid)?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    row_operations::scale_inputs(chosen_isa()?, unsafe { out.as_mut() }, &x, bound, slot, inputs);
    Ok(())
}

#[napi(catch_unwind)]
pub fn apply_rows(mut y: Floats, x: Floats, bound: &External<Bound>, slot: u32, rows: u32) -> Result<()> {
    let (t, slot) = (rows as usize, slot as usize);
    let (inputs, out) = (width(x.len(), t), width(y.len(), t));
    check_lengths(&[("x", x.len(), &[t, inputs]), ("y", y.len(), &[t, out])])?;
    check_apart(&[addresses(&y)], &[addresses(&x)])?;
    bound.check(slot, t, inputs, Some(out)).map_err(invalid)?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    row_operations::apply(chosen_isa()?, unsafe { y.as_mut() }, &x, bound, slot, inputs, out);
    Ok(())
}
