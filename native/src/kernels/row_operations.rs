//! What adapters do to their rows beside a layer: factors of the input before it; low-rank deltas, factors and biases of the output
//! after it. All spans of a batch in one call, each adapter's numbers read once from end to end.
//!
//! A delta's sums are those of `gemm`: u = x · Aᵀ over rising inputs, then y + scale · (u · Bᵀ) over rising ranks. So a row has the bits
//! that it has alone, and those of training.
mod delta;

use super::arithmetic::{Arithmetic, multiversion};
use super::lanes::with_lanes;
use super::row_program::{Bound, Codes, Kind, Operation};
use super::split::for_runs;
use super::tile::for_tiles;
use crate::pool::SharedMut;
use crate::simd::Isa;
use delta::{Bf16, Delta, F32, SIDE_BY_SIDE, SingleRow, add_each};
use std::ops::Range;

/// Rows of one span that are worked on together, at most: more make fewer parts for the threads, fewer read A and B more often.
const UNIT_ROWS: usize = 18;
/// Multiplications under which a second thread costs more than it saves.
const SMALL: usize = 1 << 16;

/// out = x [T, inputs], times the factors that rows have before the layer of `slot`. `rows` must have passed `Bound::check`.
pub fn scale_inputs(isa: Isa, out: &mut [f32], x: &[f32], rows: &Bound, slot: usize, inputs: usize) {
    out.copy_from_slice(x);
    for (span, operations) in rows.at(slot) {
        for operation in operations.iter().filter(|operation| operation.kind == Kind::ScaleInput) {
            // SAFETY: whoever calls keeps the programs alive.
            let factor = unsafe { operation.vector() };
            multiply_rows(isa, &mut out[span.start * inputs..span.end * inputs], factor);
        }
    }
}

/// What a thread does in one go.
enum Unit<'a> {
    /// Rows of one adapter.
    Rows { rows: Range<usize>, operations: &'a [Operation] },
    /// Rows that are each alone with an adapter, which does no more than add a delta, all of one rank and format.
    Singles { rows: Vec<(usize, Delta)>, codes: Codes },
}

impl<'a> Unit<'a> {
    fn num_rows(&self) -> usize {
        match self {
            Self::Rows { rows, .. } => rows.len(),
            Self::Singles { rows, .. } => rows.len(),
        }
    }

    /// Adds a span's rows to the units.
    fn add(units: &mut Vec<Self>, span: Range<usize>, operations: &'a [Operation], inputs: usize, out: usize) {
        if let (1, [Operation { kind: Kind::Delta { rank, scale, codes }, data, .. }]) = (span.len(), operations) {
            let delta = Delta { rank: *rank, scale: *scale, inputs, out, data: *data };
            match units.last_mut() {
                Some(Self::Singles { rows, codes: same })
                    if same == codes && rows[0].1.rank == *rank && rows.len() < SIDE_BY_SIDE =>
                {
                    rows.push((span.start, delta));
                }
                _ => units.push(Self::Singles { rows: vec![(span.start, delta)], codes: *codes }),
            }
            return;
        }
        for_tiles(span, UNIT_ROWS, |row, count| units.push(Self::Rows { rows: row..row + count, operations }));
    }
}

/// What rows do after the layer of `slot`, to y [T, out]; x [T, inputs] is the layer's own input. `rows` must have passed `Bound::check`.
pub fn apply(isa: Isa, y: &mut [f32], x: &[f32], rows: &Bound, slot: usize, inputs: usize, out: usize) {
    assert!(isa.is_available());
    let mut units = Vec::new();
    let mut work = 0;
    for (span, operations) in rows.at(slot) {
        work += span.len() * operations.iter().map(work_of).sum::<usize>();
        Unit::add(&mut units, span, operations, inputs, out);
    }
    let y = SharedMut::new(y);
    for_runs(&units, work < SMALL, Unit::num_rows, |unit| match unit {
        Unit::Rows { rows, operations } => {
            // SAFETY: no row is in two units.
            let y = unsafe { y.slice(rows.start * out..rows.end * out) };
            apply_to_rows(isa, y, &x[rows.start * inputs..rows.end * inputs], operations, inputs, out);
        }
        Unit::Singles { rows, codes } => {
            let rows = rows.iter().map(|&(row, delta)| {
                // SAFETY: as above, and no row is there twice.
                let y = unsafe { y.slice(row * out..(row + 1) * out) };
                SingleRow { delta, x: &x[row * inputs..(row + 1) * inputs], y }
            });
            let rows = rows.collect();
            with_lanes!(isa, L => match codes {
                Codes::F32 => add_each::<L, F32>(rows),
                Codes::Bf16 => add_each::<L, Bf16>(rows),
            });
        }
    });
}

fn apply_to_rows(isa: Isa, y: &mut [f32], x: &[f32], operations: &[Operation], inputs: usize, out: usize) {
    let rows = y.len() / out;
    for operation in operations {
        match operation.kind {
            Kind::ScaleInput => {}
            Kind::Delta { rank, scale, codes } => {
                let delta = Delta { rank, scale, inputs, out, data: operation.data };
                with_lanes!(isa, L => match codes {
                    Codes::F32 => delta.add::<L, F32>(y, x, rows),
                    Codes::Bf16 => delta.add::<L, Bf16>(y, x, rows),
                });
            }
            // SAFETY: whoever calls keeps the programs alive.
            Kind::ScaleOutput => multiply_rows(isa, y, unsafe { operation.vector() }),
            Kind::Bias => add_rows(isa, y, unsafe { operation.vector() }),
        }
    }
}

fn work_of(operation: &Operation) -> usize {
    match operation.kind {
        Kind::Delta { rank, .. } => rank * (operation.inputs + operation.out),
        _ => operation.out,
    }
}

multiversion! {
    /// Every row of y times `factor`.
    fn multiply_rows(y: &mut [f32], factor: &[f32]) = multiply_rows_body;
    /// Every row of y plus `bias`.
    fn add_rows(y: &mut [f32], bias: &[f32]) = add_rows_body;
}

#[inline(always)]
fn multiply_rows_body<A: Arithmetic>(y: &mut [f32], factor: &[f32]) {
    for row in y.chunks_exact_mut(factor.len().max(1)) {
        for (y, factor) in row.iter_mut().zip(factor) {
            *y *= factor;
        }
    }
}

#[inline(always)]
fn add_rows_body<A: Arithmetic>(y: &mut [f32], bias: &[f32]) {
    for row in y.chunks_exact_mut(bias.len().max(1)) {
        for (y, bias) in row.iter_mut().zip(bias) {
            *y += bias;
        }
    }
}

#[cfg(test)]
mod tests;
