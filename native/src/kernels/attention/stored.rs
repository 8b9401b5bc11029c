//! How a cache keeps keys and values: as they come, or rounded to bfloat16, which halves the memory that a step of decoding reads. What is read is
//! widened, and all sums are of float32.
use crate::kernels::arithmetic::{Arithmetic, multiversion};
use crate::kernels::codec::bf16::round_to_bf16;
use crate::simd::Isa;

/// A bfloat16, by its bits.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Bf16(u16);

/// A number of a cache.
pub trait Element: Copy + Send + Sync {
    fn round(value: f32) -> Self;
    /// The same of all numbers.
    fn round_all(isa: Isa, target: &mut [Self], source: &[f32]);
    fn widen(self) -> f32;
    fn stored(numbers: &[Self]) -> Stored<'_>;
}

impl Element for f32 {
    #[inline(always)]
    fn round(value: f32) -> Self {
        value
    }

    fn round_all(_isa: Isa, target: &mut [Self], source: &[f32]) {
        target.copy_from_slice(source);
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    fn stored(numbers: &[Self]) -> Stored<'_> {
        Stored::F32(numbers)
    }
}

impl Element for Bf16 {
    #[inline(always)]
    fn round(value: f32) -> Self {
        Self(round_to_bf16(value))
    }

    fn round_all(isa: Isa, target: &mut [Self], source: &[f32]) {
        round_to_words(isa, target, source);
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    fn stored(numbers: &[Self]) -> Stored<'_> {
        Stored::Bf16(numbers)
    }
}

impl Bf16 {
    pub fn of_bits(bits: &[u16]) -> &[Self] {
        // SAFETY: the same size, and every number is a bfloat16.
        unsafe { std::slice::from_raw_parts(bits.as_ptr().cast(), bits.len()) }
    }

    pub fn of_bits_mut(bits: &mut [u16]) -> &mut [Self] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(bits.as_mut_ptr().cast(), bits.len()) }
    }
}

multiversion! {
    fn round_to_words(target: &mut [Bf16], source: &[f32]) = round_to_words_body;
}

#[inline(always)]
fn round_to_words_body<A: Arithmetic>(target: &mut [Bf16], source: &[f32]) {
    assert_eq!(target.len(), source.len());
    target.iter_mut().zip(source).for_each(|(target, value)| *target = Bf16::round(*value));
}

/// Numbers of a cache, or float32 beside it.
#[derive(Clone, Copy)]
pub enum Stored<'a> {
    F32(&'a [f32]),
    Bf16(&'a [Bf16]),
}

impl<'a> Stored<'a> {
    /// From the element `start` on.
    pub fn from(self, start: usize) -> Self {
        match self {
            Self::F32(numbers) => Self::F32(&numbers[start..]),
            Self::Bf16(numbers) => Self::Bf16(&numbers[start..]),
        }
    }
}

/// Keys [blocks, G, E, block_size] and values [blocks, G, block_size, E] of a cache.
#[derive(Clone, Copy)]
pub enum Cache<'a> {
    F32 { k: &'a [f32], v: &'a [f32] },
    Bf16 { k: &'a [Bf16], v: &'a [Bf16] },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bfloat16_is_the_nearest_float_with_an_empty_half() {
        let widened = |value| Bf16::round(value).widen();
        assert_eq!([1.0, -2.5, 0.0, f32::INFINITY].map(widened), [1.0, -2.5, 0.0, f32::INFINITY]);
        assert_eq!(widened(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(widened(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert!(widened(f32::NAN).is_nan());
    }
}
