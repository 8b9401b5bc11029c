//! What adapters do to their rows beside a layer: factors of the input before it; low-rank deltas, factors and biases of the output
//! after it. All spans of a batch in one call, each adapter's numbers read once from end to end.
//!
//! A delta's sums are those of `gemm`: u = x · Aᵀ over rising inputs, then y + scale · (u · Bᵀ) over rising ranks. So a row has the bits
//! that it has alone, and those of training.
use super::arithmetic::{Arithmetic, multiversion};
use super::lanes::{Job, Lanes, WIDTH, with_lanes};
use super::operands::{Bf16Columns, FloatPanel, Panel, RowMajor, Streamed};
use super::row_program::{Bound, Codes, Kind, Operation};
use super::scratch::{Scratch, with_scratch};
use super::split::for_units;
use super::tile::{Finish, Target, Tile, for_tiles, multiply};
use crate::pool::SharedMut;
use crate::simd::Isa;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows of one span that are worked on together, at most: more make fewer parts for the threads, fewer read A and B more often.
const UNIT_ROWS: usize = 18;
/// Multiplications under which a second thread costs more than it saves.
const SMALL: usize = 1 << 16;
/// How far ahead of its use A is asked for.
const PREFETCH_BYTES: usize = 1024;

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

struct Unit<'a> {
    rows: Range<usize>,
    operations: &'a [Operation],
}

/// What rows do after the layer of `slot`, to y [T, out]; x [T, inputs] is the layer's own input. `rows` must have passed `Bound::check`.
pub fn apply(isa: Isa, y: &mut [f32], x: &[f32], rows: &Bound, slot: usize, inputs: usize, out: usize) {
    assert!(isa.is_available());
    let mut units = Vec::new();
    let mut work = 0;
    for (span, operations) in rows.at(slot) {
        work += span.len() * operations.iter().map(work_of).sum::<usize>();
        for_tiles(span, UNIT_ROWS, |row, count| units.push(Unit { rows: row..row + count, operations }));
    }
    let y = SharedMut::new(y);
    for_units(
        &units,
        work < SMALL,
        || (),
        |unit, ()| {
            // SAFETY: no row is in two units.
            let y = unsafe { y.slice(unit.rows.start * out..unit.rows.end * out) };
            let x = &x[unit.rows.start * inputs..unit.rows.end * inputs];
            for operation in unit.operations {
                match operation.kind {
                    Kind::ScaleInput => {}
                    Kind::Delta { rank, scale, codes } => {
                        let delta = Delta { rank, scale, inputs, out, data: operation.data };
                        with_lanes!(isa, L => match codes {
                            Codes::F32 => delta.add::<L, F32>(y, x, unit.rows.len()),
                            Codes::Bf16 => delta.add::<L, Bf16>(y, x, unit.rows.len()),
                        });
                    }
                    // SAFETY: whoever calls keeps the programs alive.
                    Kind::ScaleOutput => multiply_rows(isa, y, unsafe { operation.vector() }),
                    Kind::Bias => add_rows(isa, y, unsafe { operation.vector() }),
                }
            }
        },
    );
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

/// How the numbers of A and B are stored.
trait Stored: Copy {
    const BYTES: usize;
    type Columns<L: Lanes>: Panel<L>;

    /// Sixteen columns whose rows are `stride` numbers apart, from the `first` number on.
    fn columns<L: Lanes>(data: *const u8, first: usize, stride: usize) -> Self::Columns<L>;
}

#[derive(Clone, Copy)]
struct F32;

impl Stored for F32 {
    const BYTES: usize = 4;
    type Columns<L: Lanes> = FloatPanel;

    #[inline(always)]
    fn columns<L: Lanes>(data: *const u8, first: usize, stride: usize) -> FloatPanel {
        FloatPanel { data: data.cast::<f32>().wrapping_add(first), stride }
    }
}

#[derive(Clone, Copy)]
struct Bf16;

impl Stored for Bf16 {
    const BYTES: usize = 2;
    type Columns<L: Lanes> = Bf16Columns;

    #[inline(always)]
    fn columns<L: Lanes>(data: *const u8, first: usize, stride: usize) -> Bf16Columns {
        Bf16Columns { data: data.cast::<u16>().wrapping_add(first), stride }
    }
}

/// A as [inputs][rank], then B in panels [rank][16]: see `src/numeric/row-program.ts`.
#[derive(Clone, Copy)]
struct Delta {
    rank: usize,
    scale: f32,
    inputs: usize,
    out: usize,
    data: *const u8,
}

impl Delta {
    /// y [rows, out] += scale · (x · Aᵀ) · Bᵀ.
    fn add<L: Lanes, S: Stored>(self, y: &mut [f32], x: &[f32], rows: usize) {
        thread_local!(static SUMS: Scratch = const { Scratch::new() });
        assert_eq!((y.len(), x.len()), (rows * self.out, rows * self.inputs));
        let width = self.rank.next_multiple_of(WIDTH);
        with_scratch(&SUMS, rows * width, |sums| {
            // SAFETY: the program's check and the lengths above cover what is read and written.
            unsafe {
                if rows == 1 {
                    L::vectorize(OneRow { delta: self, y, x, sums, codes: PhantomData::<S> });
                } else {
                    self.add_rows::<L, S>(y, x, sums, rows, width);
                }
            }
        });
    }

    fn columns_of_a<L: Lanes, S: Stored>(&self, first: usize) -> S::Columns<L> {
        S::columns::<L>(self.data, first, self.rank)
    }

    /// The panel of B at output `first`, a multiple of sixteen.
    fn columns_of_b<L: Lanes, S: Stored>(&self, first: usize) -> S::Columns<L> {
        let start = self.rank * (self.inputs + first);
        S::columns::<L>(self.data, start, WIDTH.min(self.out - first))
    }

    /// # Safety
    /// The delta's memory is there; `sums` holds `rows` rows of `width`.
    unsafe fn add_rows<L: Lanes, S: Stored>(
        &self,
        y: &mut [f32],
        x: &[f32],
        sums: &mut [f32],
        rows: usize,
        width: usize,
    ) {
        let x = RowMajor { data: x.as_ptr(), stride: self.inputs };
        let (u, y) = (sums.as_mut_ptr(), y.as_mut_ptr());
        for_tiles(0..rows, L::ROWS, |row, count| {
            let skip = |stride: usize| row * stride;
            for first in (0..self.rank).step_by(WIDTH) {
                let target = Target {
                    data: u.wrapping_add(skip(width) + first),
                    row_stride: width,
                    column_stride: 1,
                    columns: WIDTH,
                };
                let (x, a) =
                    (RowMajor { data: x.data.wrapping_add(skip(x.stride)), ..x }, self.columns_of_a::<L, S>(first));
                unsafe { multiply::<L, _, _, 1>(count, x, [a], self.inputs, target, Finish::Store) };
            }
        });
        for first in (0..self.out).step_by(WIDTH) {
            for_tiles(0..rows, L::ROWS, |row, count| {
                let target = Target {
                    data: y.wrapping_add(row * self.out + first),
                    row_stride: self.out,
                    column_stride: 1,
                    columns: self.out - first,
                };
                let u = RowMajor { data: u.wrapping_add(row * width), stride: width };
                let b = self.columns_of_b::<L, S>(first);
                unsafe { multiply::<L, _, _, 1>(count, u, [b], self.rank, target, Finish::AddScaled(self.scale)) };
            });
        }
    }
}

/// One row, the usual case in a batch of many adapters: everything in one function, with many sums under way at once.
struct OneRow<'a, S> {
    delta: Delta,
    y: &'a mut [f32],
    x: &'a [f32],
    sums: &'a mut [f32],
    codes: PhantomData<S>,
}

impl<L: Lanes, S: Stored> Job<L> for OneRow<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let OneRow { delta, y, x, sums, .. } = self;
        let Delta { rank, scale, inputs, out, data } = delta;
        let x = RowMajor { data: x.as_ptr(), stride: 0 };
        macro_rules! tile {
            ($a:expr, $panels:expr, $depth:expr, $target:expr, $finish:expr) => {{
                let tile: Tile<RowMajor, _, 1, _> =
                    Tile { a: $a, panels: $panels, depth: $depth, target: $target, stride: 0, finish: $finish };
                unsafe { Job::<L>::run(tile) }
            }};
        }
        let ahead = |first: usize| Streamed {
            panel: delta.columns_of_a::<L, S>(first),
            ahead: data.wrapping_add(first * S::BYTES + PREFETCH_BYTES),
            pair_bytes: 2 * rank * S::BYTES,
        };
        let mut first = 0;
        while first < rank {
            let target = sums.as_mut_ptr().wrapping_add(first);
            if rank - first > WIDTH {
                tile!(x, [ahead(first), ahead(first + WIDTH)], inputs, target, Finish::Store);
                first += 2 * WIDTH;
            } else {
                tile!(x, [ahead(first)], inputs, target, Finish::Store);
                first += WIDTH;
            }
        }
        let u = RowMajor { data: sums.as_ptr(), stride: 0 };
        let b = |first: usize| delta.columns_of_b::<L, S>(first);
        let mut first = 0;
        while out - first >= WIDTH {
            let target = y.as_mut_ptr().wrapping_add(first);
            if out - first >= 4 * WIDTH {
                let panels = [b(first), b(first + WIDTH), b(first + 2 * WIDTH), b(first + 3 * WIDTH)];
                tile!(u, panels, rank, target, Finish::AddScaled(scale));
                first += 4 * WIDTH;
            } else {
                tile!(u, [b(first)], rank, target, Finish::AddScaled(scale));
                first += WIDTH;
            }
        }
        if first < out {
            let mut edge = [0.0_f32; WIDTH];
            tile!(u, [b(first)], rank, edge.as_mut_ptr(), Finish::Store);
            for (y, sum) in y[first..].iter_mut().zip(edge) {
                *y += scale * sum;
            }
        }
    }
}

#[cfg(test)]
mod tests;
