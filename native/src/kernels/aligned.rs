//! Memory that begins at a cache line, zero at first; and where memory lies.
use std::ops::Range;

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line(#[allow(dead_code)] [u8; 64]); // Only ever seen as bytes or floats.

#[derive(Default)]
pub struct Aligned(Vec<Line>);

impl Aligned {
    pub const EMPTY: Self = Self(Vec::new());

    /// At least `bytes` bytes, and whole lines.
    pub fn grow(&mut self, bytes: usize) {
        let lines = bytes.div_ceil(64);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0; 64]));
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a line is 64 bytes without padding.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 64) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 64) }
    }

    pub fn floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: a line is 16 floats without padding, and all bits are a float.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 16) }
    }
}

/// Where the elements lie, to compare or to ask for: nobody may read by it.
pub fn addresses<T>(slice: &[T]) -> Range<usize> {
    let start = slice.as_ptr().addr();
    start..start + size_of_val(slice)
}
