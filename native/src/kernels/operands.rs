//! How a tile sees its operands: rows on the left, one value at a time; panels of sixteen columns on the right.
use super::lanes::{Lanes, Vector, WIDTH};

/// The left operand: one value per row and k.
pub trait Rows: Copy {
    /// # Safety
    /// `row` and `k` lie inside the operand.
    unsafe fn at(&self, row: usize, k: usize) -> f32;
    /// The operand without its first `row` rows.
    fn skip_rows(&self, row: usize) -> Self;
    /// The operand without its first `k` values of each row.
    fn skip_depth(&self, k: usize) -> Self;
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

    fn skip_depth(&self, k: usize) -> Self {
        Self { data: self.data.wrapping_add(k), ..*self }
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

    fn skip_depth(&self, k: usize) -> Self {
        Self { data: self.data.wrapping_add(k * self.stride), ..*self }
    }
}

/// The right operand: as many columns as there are lanes, read two k at a time (bfloat16 is stored so).
pub trait Panel<L: Vector>: Copy {
    /// # Safety
    /// k = 2 · pair and the one after it lie inside the panel.
    unsafe fn pair(&self, pair: usize) -> (L, L);
    /// # Safety
    /// k = 2 · pair lies inside the panel.
    unsafe fn even(&self, pair: usize) -> L;
}

/// Float32 rows of columns, `stride` apart.
#[derive(Clone, Copy)]
pub struct FloatPanel {
    pub data: *const f32,
    pub stride: usize,
}

impl<L: Vector> Panel<L> for FloatPanel {
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

/// Words of two bfloat16, those of an even k and of the one after it: rows of columns, `stride` words apart.
#[derive(Clone, Copy)]
pub struct Bf16Pairs {
    pub data: *const u32,
    pub stride: usize,
}

impl<L: Vector> Panel<L> for Bf16Pairs {
    #[inline(always)]
    unsafe fn pair(&self, pair: usize) -> (L, L) {
        unsafe { L::from_bf16_pairs(self.data.add(pair * self.stride)) }
    }

    #[inline(always)]
    unsafe fn even(&self, pair: usize) -> L {
        unsafe { L::from_bf16_pairs(self.data.add(pair * self.stride)).0 }
    }
}

/// A panel that lies beside its right neighbour, which is asked for in passing.
#[derive(Clone, Copy)]
pub struct Adjacent(pub FloatPanel);

impl<L: Lanes> Panel<L> for Adjacent {
    #[inline(always)]
    unsafe fn pair(&self, pair: usize) -> (L, L) {
        let next = self.0.data.wrapping_add(2 * pair * self.0.stride + WIDTH);
        unsafe {
            L::prefetch(next.cast());
            L::prefetch(next.wrapping_add(self.0.stride).cast());
            self.0.pair(pair)
        }
    }

    #[inline(always)]
    unsafe fn even(&self, pair: usize) -> L {
        unsafe { self.0.even(pair) }
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
