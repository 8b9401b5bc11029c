//! The inner loop of every matrix product: a tile of R rows times P panels of sixteen columns, whose sums stay in registers
//! while k rises. The order of a sum is that of k, whatever R and P are: a row alone and a row in a batch get the same bits.
use super::lanes::{Job, Lanes, WIDTH};
use super::operands::{Panel, Rows};

/// Rows of the largest tile of any instruction set.
pub const MAX_ROWS: usize = 6;
const MAX_PANELS: usize = 4;

/// What becomes of a tile's sums.
#[derive(Clone, Copy)]
pub enum Finish {
    /// c = sum
    Store,
    /// c = c + sum, the sum having begun with c: a product may be interrupted between two k and goes on exactly.
    Continue,
    /// c = alpha · sum
    Scale(f32),
    /// c = c + alpha · sum
    AddScaled(f32),
}

/// Where a tile goes.
#[derive(Clone, Copy)]
pub struct Target {
    pub data: *mut f32,
    pub row_stride: usize,
    /// 1, or more for a transposed result.
    pub column_stride: usize,
    /// How many columns from `data` on exist: fewer than the panels have at the right edge.
    pub columns: usize,
}

impl Target {
    /// The target without its first rows and columns.
    pub fn skip(&self, row: usize, column: usize) -> Self {
        let data = self.data.wrapping_add(row * self.row_stride + column * self.column_stride);
        Self { data, columns: self.columns - column, ..*self }
    }

    /// # Safety
    /// The target has the row and the column.
    #[allow(clippy::mut_from_ref)] // A target is a pointer.
    unsafe fn place(&self, row: usize, column: usize) -> &mut f32 {
        unsafe { &mut *self.data.add(row * self.row_stride + column * self.column_stride) }
    }

    /// Finishes sums [rows, width] that were made elsewhere, as a tile finishes its own.
    ///
    /// # Safety
    /// The target has the rows, and its columns.
    pub unsafe fn write(&self, rows: usize, sums: &[f32], width: usize, finish: Finish) {
        for (row, sums) in sums.chunks_exact(width).enumerate().take(rows) {
            for (column, &sum) in sums.iter().enumerate().take(self.columns) {
                let c = unsafe { self.place(row, column) };
                match finish {
                    Finish::Store | Finish::Continue => *c = sum,
                    Finish::Scale(alpha) => *c = alpha * sum,
                    Finish::AddScaled(alpha) => *c += alpha * sum,
                }
            }
        }
    }
}

/// Multiplies `rows` rows (at most `L::ROWS`) by P panels over `depth` k.
///
/// # Safety
/// The operands cover rows, columns and depth; the target covers rows and its columns; the instruction set is there.
pub unsafe fn multiply<L: Lanes, A: Rows, B: Panel<L>, const P: usize>(
    rows: usize,
    a: A,
    panels: [B; P],
    depth: usize,
    target: Target,
    finish: Finish,
) {
    let width = P * WIDTH;
    if target.columns >= width && target.column_stride == 1 {
        return unsafe { multiply_whole(rows, a, panels, depth, target.data, target.row_stride, finish) };
    }
    // An edge or a transposed result: the same tile, in a buffer.
    let mut buffer = [0.0_f32; MAX_ROWS * MAX_PANELS * WIDTH];
    let goes_on = matches!(finish, Finish::Continue);
    if goes_on {
        for (row, sums) in buffer.chunks_exact_mut(width).enumerate().take(rows) {
            for (column, sum) in sums.iter_mut().enumerate().take(target.columns) {
                *sum = *unsafe { target.place(row, column) };
            }
        }
    }
    let start = if goes_on { Finish::Continue } else { Finish::Store };
    unsafe {
        multiply_whole(rows, a, panels, depth, buffer.as_mut_ptr(), width, start);
        target.write(rows, &buffer, width, finish);
    }
}

/// As [`multiply`], where all columns exist side by side.
unsafe fn multiply_whole<L: Lanes, A: Rows, B: Panel<L>, const P: usize>(
    rows: usize,
    a: A,
    panels: [B; P],
    depth: usize,
    target: *mut f32,
    stride: usize,
    finish: Finish,
) {
    macro_rules! tile {
        ($R:literal) => {{
            let tile: Tile<A, B, $R, P> = Tile { a, panels, depth, target, stride, finish };
            unsafe { L::vectorize(tile) }
        }};
    }
    match rows {
        0 => {}
        1 => tile!(1),
        2 => tile!(2),
        3 if L::ROWS > 2 => tile!(3),
        4 if L::ROWS > 2 => tile!(4),
        5 if L::ROWS > 2 => tile!(5),
        6 if L::ROWS > 2 => tile!(6),
        _ => unreachable!("a tile of {rows} rows"),
    }
}

/// A tile of whole panels, as a part of a larger [`Job`]: operands and target must cover rows, columns and depth.
pub struct Tile<A, B, const R: usize, const P: usize> {
    pub a: A,
    pub panels: [B; P],
    pub depth: usize,
    pub target: *mut f32,
    /// Floats from one row of the target to the next.
    pub stride: usize,
    pub finish: Finish,
}

impl<L: Lanes, A: Rows, B: Panel<L>, const R: usize, const P: usize> Job<L> for Tile<A, B, R, P> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // Plain loops: a closure is one more function that must be inlined to have the instruction set.
    unsafe fn run(self) {
        let Tile { a, panels, depth, target, stride, finish } = self;
        unsafe {
            let mut sums = [[L::splat(0.0); P]; R];
            for row in 0..R {
                // The tile that follows is the one to the right.
                L::prefetch(target.wrapping_add(row * stride + P * WIDTH).cast());
            }
            if matches!(finish, Finish::Continue) {
                for row in 0..R {
                    for panel in 0..P {
                        sums[row][panel] = L::load(target.add(row * stride + panel * WIDTH));
                    }
                }
            }
            for pair in 0..depth / 2 {
                let mut weights = [(L::splat(0.0), L::splat(0.0)); P];
                for panel in 0..P {
                    weights[panel] = panels[panel].pair(pair);
                }
                for row in 0..R {
                    let value = L::splat(a.at(row, 2 * pair));
                    for panel in 0..P {
                        sums[row][panel] = sums[row][panel].add_product(value, weights[panel].0);
                    }
                }
                for row in 0..R {
                    let value = L::splat(a.at(row, 2 * pair + 1));
                    for panel in 0..P {
                        sums[row][panel] = sums[row][panel].add_product(value, weights[panel].1);
                    }
                }
            }
            if depth % 2 == 1 {
                for row in 0..R {
                    let value = L::splat(a.at(row, depth - 1));
                    for panel in 0..P {
                        sums[row][panel] = sums[row][panel].add_product(value, panels[panel].even(depth / 2));
                    }
                }
            }
            for row in 0..R {
                for panel in 0..P {
                    let (sum, place) = (sums[row][panel], target.add(row * stride + panel * WIDTH));
                    match finish {
                        Finish::Store | Finish::Continue => sum.store(place),
                        Finish::Scale(alpha) => L::splat(alpha).mul(sum).store(place),
                        Finish::AddScaled(alpha) => L::load(place).add(L::splat(alpha).mul(sum)).store(place),
                    }
                }
            }
        }
    }
}

/// Calls `body(first, count)` for tiles of at most `most` rows, as even as can be.
pub fn for_tiles(rows: std::ops::Range<usize>, most: usize, mut body: impl FnMut(usize, usize)) {
    let tiles = rows.len().div_ceil(most);
    for tile in 0..tiles {
        let begin = rows.len() * tile / tiles;
        let end = rows.len() * (tile + 1) / tiles;
        body(rows.start + begin, end - begin);
    }
}
