//! c (+)= alpha · A · B for small float32 matrices, such as those of a low-rank adapter and their gradients.
//!
//! A tile runs through all of k at once. B is read where it lies if its columns are side by side, else a panel of sixteen
//! columns is copied first. Where both operands have k as their slow axis (the gradients, with k the rows of a batch), the
//! roles are exchanged if N < M, so that the lanes run along the longer side: cᵀ = Bᵀ · Aᵀ, with the same sums.
use super::lanes::{Job, Lanes, WIDTH, with_lanes};
use super::scratch::{Scratch, with_scratch};
use super::split::for_blocks;
use super::tile::{ColumnMajor, Finish, FloatPanel, RowMajor, Rows, Target, for_tiles, multiply};
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

fn product<L: Lanes, A: Rows>(a: A, num_rows: usize, columns: Columns<'_>, output: Output, finish: Finish) {
    thread_local!(static PANELS: Scratch = const { Scratch::new() });
    let depth = columns.depth;
    let size = depth.next_multiple_of(WIDTH) * WIDTH;
    let shared = Shared(a);
    let shared = &shared;
    for_blocks(num_rows, columns.count, depth, WIDTH * L::PANELS, |rows, part| {
        with_scratch(&PANELS, L::PANELS * size, |buffer| {
            let last = part.end.div_ceil(WIDTH);
            for panel in (part.start / WIDTH..last).step_by(L::PANELS) {
                let count = L::PANELS.min(last - panel);
                let mut panels = [FloatPanel { data: std::ptr::null(), stride: 0 }; 4];
                for (i, target) in panels.iter_mut().enumerate().take(count) {
                    *target = columns.panel::<L>(panel + i, &mut buffer[i * size..(i + 1) * size]);
                }
                for_tiles(rows.clone(), L::ROWS, |row, rows| {
                    let target = |panel: usize| Target {
                        data: output
                            .c
                            .as_ptr()
                            .wrapping_add(row * output.row_stride + panel * WIDTH * output.column_stride),
                        row_stride: output.row_stride,
                        column_stride: output.column_stride,
                        columns: columns.count - panel * WIDTH,
                    };
                    // SAFETY: rows, columns and depth are those of the operands.
                    unsafe {
                        let a = shared.0.skip_rows(row);
                        if L::PANELS == 4 && count == 4 {
                            multiply::<L, _, _, 4>(rows, a, panels, depth, target(panel), finish);
                        } else {
                            for (i, one) in panels.into_iter().enumerate().take(count) {
                                multiply::<L, _, _, 1>(rows, a, [one], depth, target(panel + i), finish);
                            }
                        }
                    }
                });
            }
        });
    });
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
