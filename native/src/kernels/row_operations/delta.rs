//! y += scale · (x · Aᵀ) · Bᵀ: u = x · Aᵀ over rising inputs, then the rest over rising ranks, as two products of `gemm` would.
use crate::kernels::lanes::{Job, Lanes, Vector, WIDTH};
use crate::kernels::operands::{Bf16Pairs, FloatPanel, Panel, RowMajor};
use crate::kernels::row_program::Codes;
use crate::kernels::scratch::{Scratch, with_scratch};
use crate::kernels::tile::{Finish, Target, Tile, for_tiles, multiply};
use std::marker::PhantomData;

/// Single rows that are worked on together: as many as an addition takes cycles.
pub const SIDE_BY_SIDE: usize = 4;
/// How far ahead of their use A's first numbers are asked for.
const PREFETCH_BYTES: usize = 1024;
const LINE_BYTES: usize = 64;

thread_local!(static SUMS: Scratch = const { Scratch::new() });

/// How the numbers of A and B are stored.
pub trait Stored: Copy {
    const CODES: Codes;
    type Columns<V: Vector>: Panel<V>;

    /// Columns of the rows of k that begin at the byte `start`, `width` columns to a row, from the `first` column on.
    fn columns<V: Vector>(data: *const u8, start: usize, first: usize, width: usize) -> Self::Columns<V>;
}

#[derive(Clone, Copy)]
pub struct F32;

impl Stored for F32 {
    const CODES: Codes = Codes::F32;
    type Columns<V: Vector> = FloatPanel;

    #[inline(always)]
    fn columns<V: Vector>(data: *const u8, start: usize, first: usize, width: usize) -> FloatPanel {
        FloatPanel { data: data.wrapping_add(start).cast::<f32>().wrapping_add(first), stride: width }
    }
}

#[derive(Clone, Copy)]
pub struct Bf16;

impl Stored for Bf16 {
    const CODES: Codes = Codes::Bf16;
    type Columns<V: Vector> = Bf16Pairs;

    #[inline(always)]
    fn columns<V: Vector>(data: *const u8, start: usize, first: usize, width: usize) -> Bf16Pairs {
        Bf16Pairs { data: data.wrapping_add(start).cast::<u32>().wrapping_add(first), stride: width }
    }
}

/// A, then B in panels of sixteen outputs: see `src/numeric/delta-layout.ts`.
#[derive(Clone, Copy)]
pub struct Delta {
    pub rank: usize,
    pub scale: f32,
    pub inputs: usize,
    pub out: usize,
    pub data: *const u8,
}

// SAFETY: nobody writes a program's memory.
unsafe impl Send for Delta {}
unsafe impl Sync for Delta {}

impl Delta {
    /// y [rows, out] += scale · (x · Aᵀ) · Bᵀ.
    pub fn add<L: Lanes, S: Stored>(self, y: &mut [f32], x: &[f32], rows: usize) {
        if rows == 1 {
            return add_each::<L, S>(vec![SingleRow { delta: self, x, y }]);
        }
        assert_eq!((y.len(), x.len()), (rows * self.out, rows * self.inputs));
        let width = self.rank.next_multiple_of(WIDTH);
        with_scratch(&SUMS, rows * width, |sums| {
            // SAFETY: the program's check and the lengths above cover what is read and written.
            unsafe { self.add_rows::<L, S>(y, x, sums, rows, width) }
        });
    }

    fn columns_of_a<V: Vector, S: Stored>(&self, first: usize) -> S::Columns<V> {
        S::columns::<V>(self.data, 0, first, self.rank)
    }

    /// The panel of B at output `first`, a multiple of sixteen.
    fn columns_of_b<L: Lanes, S: Stored>(&self, first: usize) -> S::Columns<L> {
        let start = S::CODES.bytes(self.inputs, self.rank) + S::CODES.bytes(self.rank, first);
        S::columns::<L>(self.data, start, 0, WIDTH.min(self.out - first))
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

/// A row, and what is added to it.
pub struct SingleRow<'a> {
    pub delta: Delta,
    pub x: &'a [f32],
    pub y: &'a mut [f32],
}

/// [`Delta::add`] of at most [`SIDE_BY_SIDE`] rows whose deltas are of one shape.
pub fn add_each<L: Lanes, S: Stored>(rows: Vec<SingleRow<'_>>) {
    let Delta { rank, inputs, out, .. } = rows[0].delta;
    for SingleRow { delta, x, y } in &rows {
        assert_eq!((delta.rank, delta.inputs, delta.out), (rank, inputs, out));
        assert_eq!((x.len(), y.len()), (inputs, out));
    }
    with_scratch(&SUMS, rows.len() * rank.next_multiple_of(WIDTH), |sums| {
        macro_rules! side_by_side {
            ($N:literal) => {{
                let rows: [SingleRow<'_>; $N] = rows.try_into().unwrap_or_else(|_| unreachable!("as many rows"));
                // SAFETY: the program's check and the lengths above cover what is read and written.
                unsafe { L::vectorize(SingleRows { rows, sums, codes: PhantomData::<S> }) }
            }};
        }
        match rows.len() {
            1 => side_by_side!(1),
            2 => side_by_side!(2),
            3 => side_by_side!(3),
            SIDE_BY_SIDE => side_by_side!(4),
            count => unreachable!("{count} rows side by side"),
        }
    });
}

/// Rows with a delta each, the usual case in a batch of many adapters. A sum is one chain of additions, each of which waits for the one
/// before: the rows' chains go side by side. N = 1 takes two panels of a large rank at once instead.
struct SingleRows<'a, S, const N: usize> {
    rows: [SingleRow<'a>; N],
    sums: &'a mut [f32],
    codes: PhantomData<S>,
}

impl<L: Lanes, S: Stored, const N: usize> Job<L> for SingleRows<'_, S, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let SingleRows { rows, sums, .. } = self;
        let rank = rows[0].delta.rank;
        let width = rank.next_multiple_of(WIDTH);
        let mut first = 0;
        while first < rank {
            if rank - first <= WIDTH / 2 {
                unsafe { sum_inputs::<L, L::Half, S, N, 1>(&rows, sums, first) };
                first += WIDTH;
            } else if N == 1 && rank - first > WIDTH {
                unsafe { sum_inputs::<L, L, S, N, 2>(&rows, sums, first) };
                first += 2 * WIDTH;
            } else {
                unsafe { sum_inputs::<L, L, S, N, 1>(&rows, sums, first) };
                first += WIDTH;
            }
        }
        for (n, SingleRow { delta, y, .. }) in rows.into_iter().enumerate() {
            unsafe { add_outputs::<L, S>(delta, y, &sums[n * width..]) };
        }
    }
}

/// u = x · Aᵀ of P panels of ranks from `first` on, for each row, in the lanes of V.
///
/// # Safety
/// As [`Job::run`]; the deltas' memory is there, `sums` has a row of the rounded rank for each.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // As in `tile`.
unsafe fn sum_inputs<L: Lanes, V: Vector, S: Stored, const N: usize, const P: usize>(
    rows: &[SingleRow<'_>; N],
    sums: &mut [f32],
    first: usize,
) {
    let Delta { rank, inputs, out, .. } = rows[0].delta;
    let width = rank.next_multiple_of(WIDTH);
    let (a, x) = (rows.each_ref().map(|row| row.delta.data), rows.each_ref().map(|row| row.x.as_ptr()));
    // While A passes by for the first time, all of A and B is asked for, in even steps.
    let lines = (S::CODES.bytes(inputs, rank) + S::CODES.bytes(rank, out)).div_ceil(LINE_BYTES);
    let lines_a_pair = if first == 0 { lines.div_ceil((inputs / 2).max(1)) } else { 0 };
    // Both rise by one addition for all rows: what else a step computes takes as long as its products.
    let (mut start, mut ahead) = (0, PREFETCH_BYTES);
    unsafe {
        let mut totals = [[V::splat(0.0); P]; N];
        for pair in 0..inputs / 2 {
            for n in 0..N {
                L::prefetch(a[n].wrapping_add(ahead));
                let (even, odd) = (V::splat(*x[n].add(2 * pair)), V::splat(*x[n].add(2 * pair + 1)));
                for p in 0..P {
                    let (a, b) = S::columns::<V>(a[n], start, first + p * WIDTH, rank).pair(0);
                    totals[n][p] = totals[n][p].add_product(even, a).add_product(odd, b);
                }
            }
            for line in 1..lines_a_pair {
                (0..N).for_each(|n| L::prefetch(a[n].wrapping_add(ahead + line * LINE_BYTES)));
            }
            start += S::CODES.bytes(2, rank);
            ahead += lines_a_pair * LINE_BYTES;
        }
        for n in 0..N {
            for p in 0..P {
                if inputs % 2 == 1 {
                    let last: V = rows[n].delta.columns_of_a::<V, S>(first + p * WIDTH).even(inputs / 2);
                    totals[n][p] = totals[n][p].add_product(V::splat(rows[n].x[inputs - 1]), last);
                }
                totals[n][p].store(sums.as_mut_ptr().add(n * width + first + p * WIDTH));
            }
        }
    }
}

/// y += scale · (u · Bᵀ) of one row.
///
/// # Safety
/// As [`sum_inputs`].
#[inline(always)]
unsafe fn add_outputs<L: Lanes, S: Stored>(delta: Delta, y: &mut [f32], u: &[f32]) {
    let Delta { rank, scale, out, .. } = delta;
    let u = RowMajor { data: u.as_ptr(), stride: 0 };
    macro_rules! tile {
        ($panels:expr, $target:expr, $finish:expr) => {{
            let tile: Tile<RowMajor, _, 1, _> =
                Tile { a: u, panels: $panels, depth: rank, target: $target, stride: 0, finish: $finish };
            unsafe { Job::<L>::run(tile) }
        }};
    }
    let b = |first: usize| delta.columns_of_b::<L, S>(first);
    let mut first = 0;
    while out - first >= WIDTH {
        let target = y.as_mut_ptr().wrapping_add(first);
        if out - first >= 4 * WIDTH {
            let panels = [b(first), b(first + WIDTH), b(first + 2 * WIDTH), b(first + 3 * WIDTH)];
            tile!(panels, target, Finish::AddScaled(scale));
            first += 4 * WIDTH;
        } else {
            tile!([b(first)], target, Finish::AddScaled(scale));
            first += WIDTH;
        }
    }
    if first < out {
        let mut edge = [0.0_f32; WIDTH];
        tile!([b(first)], edge.as_mut_ptr(), Finish::Store);
        for (y, sum) in y[first..].iter_mut().zip(edge) {
            *y += scale * sum;
        }
    }
}
