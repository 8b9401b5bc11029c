//! c (+)= alpha · A · B for small float32 matrices, such as those of a low-rank adapter and their gradients.
//!
//! B is read where it lies if its columns are side by side, in blocks of k whose sums wait in a buffer; else panels of sixteen
//! columns are copied first, and a tile runs through all of k at once. Where both operands have k as their slow axis (the gradients, with k the rows of a batch), the
//! roles are exchanged if N < M, so that the lanes run along the longer side: cᵀ = Bᵀ · Aᵀ, with the same sums.
use super::lanes::{Job, Lanes, WIDTH, with_lanes};
use super::operands::{Adjacent, ColumnMajor, FloatPanel, Panel, RowMajor, Rows};
use super::scratch::{Scratch, with_scratch};
use super::split::for_blocks;
use super::tile::{Finish, Target, for_tiles, multiply};
use crate::pool::SharedMut;
use crate::simd::Isa;

/// The sizes and the storage of a product: see `GemmShape` in kernels.ts.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// A is stored [k, m].
    pub transpose_a: bool,
    /// B is stored [n, k].
    pub transpose_b: bool,
    pub alpha: f32,
    pub accumulate: bool,
}

/// c [m, n] (+)= alpha · A · B.
pub fn gemm(isa: Isa, c: &mut [f32], a: &[f32], b: &[f32], shape: Shape) {
    let Shape { m, n, k, transpose_a, transpose_b, alpha, accumulate } = shape;
    assert_eq!((c.len(), a.len(), b.len()), (m * n, m * k, k * n));
    assert!(isa.is_available());
    let c = SharedMut::new(c);
    let finish = if accumulate { Finish::AddScaled(alpha) } else { Finish::Scale(alpha) };
    let (rows_a, columns_b) = (a.as_ptr(), Columns { data: b, count: n, depth: k, are_rows: transpose_b });
    with_lanes!(isa, L => if transpose_a && !transpose_b && n < m {
        let columns = Columns { data: a, count: m, depth: k, are_rows: false };
        product::<L, _>(ColumnMajor { data: b.as_ptr(), stride: n }, n, columns, Output { c, row_stride: 1, column_stride: n }, finish)
    } else {
        let output = Output { c, row_stride: n, column_stride: 1 };
        if transpose_a {
            product::<L, _>(ColumnMajor { data: rows_a, stride: m }, m, columns_b, output, finish)
        } else {
            product::<L, _>(RowMajor { data: rows_a, stride: k }, m, columns_b, output, finish)
        }
    });
}

#[derive(Clone, Copy)]
struct Output {
    c: SharedMut<f32>,
    row_stride: usize,
    column_stride: usize,
}

/// The right operand: stored [depth, count], or [count, depth] if the columns `are_rows`.
#[derive(Clone, Copy)]
struct Columns<'a> {
    data: &'a [f32],
    count: usize,
    depth: usize,
    are_rows: bool,
}

/// Raw pointers to operands that nobody writes during the call.
struct Shared<T>(T);
unsafe impl<T> Sync for Shared<T> {}

/// Floats of copied panels that are kept at once: a quarter of a mebibyte, half of a second-level cache.
const COPIED: usize = 1 << 16;
/// Panels of a block, at most.
const BLOCK_PANELS: usize = 32;
/// Rows of a block: c is written row by row, for so many rows at a time.
const BLOCK_ROWS: usize = 48;
/// k of a block where the right operand is read in place: its rows are then visited once, not once for every panel.
const BLOCK_DEPTH: usize = 128;

fn product<L: Lanes, A: Rows>(a: A, num_rows: usize, columns: Columns<'_>, output: Output, finish: Finish) {
    thread_local!(static PANELS: Scratch = const { Scratch::new() });
    thread_local!(static SUMS: Scratch = const { Scratch::new() });
    let depth = columns.depth;
    let size = depth.next_multiple_of(WIDTH).max(WIDTH) * WIDTH;
    let block_panels = (COPIED / size / L::PANELS * L::PANELS).clamp(L::PANELS, BLOCK_PANELS);
    let shared = Shared(a);
    let shared = &shared;
    for_blocks(num_rows, columns.count, depth, WIDTH * L::PANELS, |rows, part| {
        let last = part.end.div_ceil(WIDTH);
        for first in (part.start / WIDTH..last).step_by(block_panels) {
            let count = block_panels.min(last - first);
            with_scratch(&PANELS, count * size, |buffer| {
                let mut panels = [FloatPanel { data: std::ptr::null(), stride: 0 }; BLOCK_PANELS];
                for (i, target) in buffer.chunks_exact_mut(size).enumerate() {
                    panels[i] = columns.panel::<L>(first + i, target);
                }
                let panels = &panels[..count];
                for_tiles(rows.clone(), BLOCK_ROWS, |row, rows| {
                    let column = first * WIDTH;
                    let target = Target {
                        data: output.c.as_ptr().wrapping_add(row * output.row_stride + column * output.column_stride),
                        row_stride: output.row_stride,
                        column_stride: output.column_stride,
                        columns: columns.count - column,
                    };
                    let a = shared.0.skip_rows(row);
                    // SAFETY: rows, columns and depth are those of the operands.
                    unsafe {
                        if columns.are_rows || depth <= 2 * BLOCK_DEPTH {
                            return block::<L, _, _>(rows, a, panels, depth, target, finish);
                        }
                        with_scratch(&SUMS, rows * count * WIDTH, |sums| {
                            let width = count * WIDTH;
                            let sums_target =
                                Target { data: sums.as_mut_ptr(), row_stride: width, column_stride: 1, columns: width };
                            for k in (0..depth).step_by(BLOCK_DEPTH) {
                                let mut later = [Adjacent(panels[0]); BLOCK_PANELS];
                                for (later, panel) in later.iter_mut().zip(panels) {
                                    later.0 = FloatPanel { data: panel.data.wrapping_add(k * panel.stride), ..*panel };
                                }
                                let start = if k > 0 { Finish::Continue } else { Finish::Store };
                                let block_depth = BLOCK_DEPTH.min(depth - k);
                                block::<L, _, _>(
                                    rows,
                                    a.skip_depth(k),
                                    &later[..count],
                                    block_depth,
                                    sums_target,
                                    start,
                                );
                            }
                            target.write(rows, sums, width, finish);
                        });
                    }
                });
            });
        }
    });
}

/// Multiplies rows by panels, all k at once.
///
/// # Safety
/// As for [`multiply`].
unsafe fn block<L: Lanes, A: Rows, B: Panel<L>>(
    rows: usize,
    a: A,
    panels: &[B],
    depth: usize,
    target: Target,
    finish: Finish,
) {
    let mut done = 0;
    while done < panels.len() {
        let group = if L::PANELS == 4 && panels.len() - done >= 4 { 4 } else { 1 };
        for_tiles(0..rows, L::ROWS, |row, rows| unsafe {
            let (a, target) = (a.skip_rows(row), target.skip(row, done * WIDTH));
            if group == 4 {
                let panels = [panels[done], panels[done + 1], panels[done + 2], panels[done + 3]];
                multiply::<L, _, _, 4>(rows, a, panels, depth, target, finish);
            } else {
                multiply::<L, _, _, 1>(rows, a, [panels[done]], depth, target, finish);
            }
        });
        done += group;
    }
}

impl Columns<'_> {
    /// Sixteen columns, in place or copied into `buffer` (with zeros for those that do not exist).
    fn panel<L: Lanes>(&self, panel: usize, buffer: &mut [f32]) -> FloatPanel {
        let first = panel * WIDTH;
        let count = WIDTH.min(self.count - first);
        if !self.are_rows && count == WIDTH {
            return FloatPanel { data: self.data.as_ptr().wrapping_add(first), stride: self.count };
        }
        if self.are_rows {
            let rows = &self.data[first * self.depth..(first + count) * self.depth];
            unsafe { L::vectorize(TransposeRows { rows, depth: self.depth, target: buffer }) };
        } else {
            for (k, target) in buffer.chunks_exact_mut(WIDTH).enumerate().take(self.depth) {
                let source = &self.data[k * self.count + first..][..count];
                target[..count].copy_from_slice(source);
                target[count..].fill(0.0);
            }
        }
        FloatPanel { data: buffer.as_ptr(), stride: WIDTH }
    }
}

/// Writes up to sixteen rows of `depth` values as [depth][16].
struct TransposeRows<'a> {
    rows: &'a [f32],
    depth: usize,
    target: &'a mut [f32],
}

impl<L: Lanes> Job<L> for TransposeRows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let mut block = [0.0_f32; WIDTH * WIDTH];
        for (k, target) in (0..self.depth).step_by(WIDTH).zip(self.target.chunks_exact_mut(WIDTH * WIDTH)) {
            let count = WIDTH.min(self.depth - k);
            for (row, block) in self.rows.chunks_exact(self.depth).zip(block.chunks_exact_mut(WIDTH)) {
                if count == WIDTH {
                    block.copy_from_slice(&row[k..k + WIDTH]);
                } else {
                    block[..count].copy_from_slice(&row[k..k + count]);
                }
            }
            unsafe { L::transpose(block.as_ptr(), target.as_mut_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests;
