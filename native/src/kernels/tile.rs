//! The inner loop of every matrix product: a tile of R rows times P panels of sixteen columns, whose sums stay in registers
//! while k rises. The order of a sum is that of k, whatever R and P are: a row alone and a row in a batch get the same bits.
use super::lanes::{Job, Lanes, WIDTH};

/// Rows of the largest tile of any instruction set.
pub const MAX_ROWS: usize = 6;
const MAX_PANELS: usize = 4;

/// The left operand: one value per row and k.
pub trait Rows: Copy {
    /// # Safety
    /// `row` and `k` lie inside the operand.
    unsafe fn at(&self, row: usize, k: usize) -> f32;
    /// The operand without its first `row` rows.
    fn skip_rows(&self, row: usize) -> Self;
}

/// Rows whose k lie side by side.
#[derive(Clone, Copy)]
pub struct RowMajor {
    pub data: *const f32,
    pub stride: usize,
}

impl Rows for RowMajor {
    #[inline(always)]
    unsafe fn at(&self, row: usize, k: usize) -> f32 {
        unsafe { *self.data.add(row * self.stride + k) }
    }

    fn skip_rows(&self, row: usize) -> Self {
        Self { data: self.data.wrapping_add(row * self.stride), ..*self }
    }
}

/// Rows whose values for one k lie side by side: a transposed operand.
#[derive(Clone, Copy)]
pub struct ColumnMajor {
    pub data: *const f32,
    pub stride: usize,
}

impl Rows for ColumnMajor {
    #[inline(always)]
    unsafe fn at(&self, row: usize, k: usize) -> f32 {
        unsafe { *self.data.add(k * self.stride + row) }
    }

    fn skip_rows(&self, row: usize) -> Self {
        Self { data: self.data.wrapping_add(row), ..*self }
    }
}

/// The right operand: sixteen columns, read two k at a time (bfloat16 is stored so).
pub trait Panel<L: Lanes>: Copy {
    /// # Safety
    /// k = 2 · pair and the one after it lie inside the panel.
    unsafe fn pair(&self, pair: usize) -> (L, L);
    /// # Safety
    /// k = 2 · pair lies inside the panel.
    unsafe fn even(&self, pair: usize) -> L;
}

/// Float32 rows of sixteen columns, `stride` apart.
#[derive(Clone, Copy)]
pub struct FloatPanel {
    pub data: *const f32,
    pub stride: usize,
}

impl<L: Lanes> Panel<L> for FloatPanel {
    #[inline(always)]
    unsafe fn pair(&self, pair: usize) -> (L, L) {
        unsafe {
            let even = self.data.add(2 * pair * self.stride);
            (L::load(even), L::load(even.add(self.stride)))
        }
    }

    #[inline(always)]
    unsafe fn even(&self, pair: usize) -> L {
        unsafe { L::load(self.data.add(2 * pair * self.stride)) }
    }
}

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
    let columns = target.columns.min(width);
    let place = |row: usize, column: usize| unsafe {
        &mut *target.data.add(row * target.row_stride + column * target.column_stride)
    };
    let each = |visit: &mut dyn FnMut(&mut f32, usize)| {
        for row in 0..rows {
            for column in 0..columns {
                visit(place(row, column), row * width + column);
            }
        }
    };
    let in_buffer = if matches!(finish, Finish::Continue) { Finish::Continue } else { Finish::Store };
    if matches!(finish, Finish::Continue) {
        each(&mut |c, i| buffer[i] = *c);
    }
    unsafe { multiply_whole(rows, a, panels, depth, buffer.as_mut_ptr(), width, in_buffer) };
    each(&mut |c, i| match finish {
        Finish::Store | Finish::Continue => *c = buffer[i],
        Finish::Scale(alpha) => *c = alpha * buffer[i],
        Finish::AddScaled(alpha) => *c += alpha * buffer[i],
    });
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

struct Tile<A, B, const R: usize, const P: usize> {
    a: A,
    panels: [B; P],
    depth: usize,
    target: *mut f32,
    stride: usize,
    finish: Finish,
}

impl<L: Lanes, A: Rows, B: Panel<L>, const R: usize, const P: usize> Job<L> for Tile<A, B, R, P> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // Plain loops: a closure is one more function that must be inlined to have the instruction set.
    unsafe fn run(self) {
        let Tile { a, panels, depth, target, stride, finish } = self;
        unsafe {
            let mut sums = [[L::splat(0.0); P]; R];
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

/// A panel in memory that is read for the first time: asks for the lines `ahead` bytes further on.
#[derive(Clone, Copy)]
pub struct Streamed<B> {
    pub panel: B,
    pub ahead: *const u8,
    pub pair_bytes: usize,
}

impl<L: Lanes, B: Panel<L>> Panel<L> for Streamed<B> {
    #[inline(always)]
    unsafe fn pair(&self, pair: usize) -> (L, L) {
        let line = self.ahead.wrapping_add(pair * self.pair_bytes);
        unsafe {
            L::prefetch(line);
            if self.pair_bytes > 64 {
                L::prefetch(line.wrapping_add(64));
            }
            self.panel.pair(pair)
        }
    }

    #[inline(always)]
    unsafe fn even(&self, pair: usize) -> L {
        unsafe { self.panel.even(pair) }
    }
}
