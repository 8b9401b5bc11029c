//! [`Lanes`] in AVX2 with FMA (two registers) and in AVX-512 (one register).
use super::lanes::{Job, Lanes, Vector};
use std::arch::x86_64::*;

/// Half a panel: one register of AVX2, also on AVX-512.
#[derive(Clone, Copy)]
pub struct Eight(__m256);

impl Vector for Eight {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        Self(unsafe { _mm256_loadu_ps(source) })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        unsafe { _mm256_storeu_ps(target, self.0) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn from_bf16_pairs(source: *const u32) -> (Self, Self) {
        unsafe {
            let words = _mm256_loadu_si256(source.cast());
            let odd = _mm256_and_si256(words, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            (Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))), Self(_mm256_castsi256_ps(odd)))
        }
    }
}

#[derive(Clone, Copy)]
pub struct Avx2(__m256, __m256);

impl Vector for Avx2 {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        let register = unsafe { _mm256_set1_ps(value) };
        Self(register, register)
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        unsafe { Self(_mm256_loadu_ps(source), _mm256_loadu_ps(source.add(8))) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        unsafe {
            _mm256_storeu_ps(target, self.0);
            _mm256_storeu_ps(target.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
    }

    #[inline(always)]
    unsafe fn from_bf16_pairs(source: *const u32) -> (Self, Self) {
        unsafe {
            let (low, high) = (_mm256_loadu_si256(source.cast()), _mm256_loadu_si256(source.add(8).cast()));
            let mask = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let even = Self(
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
            );
            let odd = Self(
                _mm256_castsi256_ps(_mm256_and_si256(low, mask)),
                _mm256_castsi256_ps(_mm256_and_si256(high, mask)),
            );
            (even, odd)
        }
    }
}

impl Lanes for Avx2 {
    type Half = Eight;
    // 6 rows of 2 registers are 12 sums; 4 of the 16 registers remain for weights and the broadcast.
    const ROWS: usize = 6;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn vectorize<J: Job<Self>>(job: J) -> J::Output {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn enter<J: Job<Avx2>>(job: J) -> J::Output {
            unsafe { job.run() }
        }
        unsafe { enter(job) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn from_i8_quads(source: *const i8, half: usize) -> (Self, Self) {
        unsafe {
            let down = _mm_cvtsi32_si128(16 * half as i32);
            let word = |at: usize| _mm256_srl_epi32(_mm256_loadu_si256(source.add(at).cast()), down);
            let even = |word| _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(_mm256_slli_epi32::<24>(word)));
            let odd = |word| _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(_mm256_slli_epi32::<16>(word)));
            let (low, high) = (word(0), word(32));
            (Self(even(low), even(high)), Self(odd(low), odd(high)))
        }
    }

    #[inline(always)]
    unsafe fn from_nibbles(source: *const u8, table: &[f32; 16]) -> (Self, Self) {
        unsafe {
            let below = _mm256_loadu_ps(table.as_ptr());
            let above = _mm256_loadu_ps(table.as_ptr().add(8));
            // A permutation looks at the lowest three bits of a word, a blend at its highest: no nibble is cut out.
            let pick = |words: __m256i, fourth_bit_on_top: __m256i| {
                let low = _mm256_permutevar8x32_ps(below, words);
                let high = _mm256_permutevar8x32_ps(above, words);
                _mm256_blendv_ps(low, high, _mm256_castsi256_ps(fourth_bit_on_top))
            };
            let (first, second) = (
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(source.cast())),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(source.add(8).cast())),
            );
            let low = Self(pick(first, _mm256_slli_epi32::<28>(first)), pick(second, _mm256_slli_epi32::<28>(second)));
            let high = Self(
                pick(_mm256_srli_epi32::<4>(first), _mm256_slli_epi32::<24>(first)),
                pick(_mm256_srli_epi32::<4>(second), _mm256_slli_epi32::<24>(second)),
            );
            (low, high)
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose(source: *const f32, target: *mut f32) {
        unsafe {
            transpose_8x8(source, target);
            transpose_8x8(source.add(8), target.add(8 * 16));
            transpose_8x8(source.add(8 * 16), target.add(8));
            transpose_8x8(source.add(8 * 16 + 8), target.add(8 * 16 + 8));
        }
    }
}

/// A quarter of a 16 × 16 block: the strides of source and target are 16.
#[inline(always)]
unsafe fn transpose_8x8(source: *const f32, target: *mut f32) {
    for j in [0, 4] {
        unsafe {
            let (a, b) = (rows_i_and_i_plus_4(source.add(j)), rows_i_and_i_plus_4(source.add(16 + j)));
            let (c, d) = (rows_i_and_i_plus_4(source.add(32 + j)), rows_i_and_i_plus_4(source.add(48 + j)));
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            _mm256_storeu_ps(target.add(j * 16), _mm256_shuffle_ps::<0x44>(ab_low, cd_low));
            _mm256_storeu_ps(target.add((j + 1) * 16), _mm256_shuffle_ps::<0xee>(ab_low, cd_low));
            _mm256_storeu_ps(target.add((j + 2) * 16), _mm256_shuffle_ps::<0x44>(ab_high, cd_high));
            _mm256_storeu_ps(target.add((j + 3) * 16), _mm256_shuffle_ps::<0xee>(ab_high, cd_high));
        }
    }
}

/// Four values of a row and of the row four below in the halves of one register: only in-lane shuffles remain to be done.
#[inline(always)]
unsafe fn rows_i_and_i_plus_4(source: *const f32) -> __m256 {
    unsafe {
        let low = _mm256_castps128_ps256(_mm_loadu_ps(source));
        _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(source.add(4 * 16)))
    }
}

#[derive(Clone, Copy)]
pub struct Avx512(__m512);

impl Avx512 {
    pub fn register(self) -> __m512 {
        self.0
    }
}

impl Vector for Avx512 {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        Self(unsafe { _mm512_loadu_ps(source) })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        unsafe { _mm512_storeu_ps(target, self.0) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn from_bf16_pairs(source: *const u32) -> (Self, Self) {
        unsafe {
            let words = _mm512_loadu_si512(source.cast());
            let odd = _mm512_and_si512(words, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            (Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))), Self(_mm512_castsi512_ps(odd)))
        }
    }
}

impl Lanes for Avx512 {
    type Half = Eight;
    // 6 rows of 4 registers are 24 sums; 8 of the 32 registers remain.
    const ROWS: usize = 6;
    const PANELS: usize = 4;

    #[inline(always)]
    unsafe fn vectorize<J: Job<Self>>(job: J) -> J::Output {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
        unsafe fn enter<J: Job<Avx512>>(job: J) -> J::Output {
            unsafe { job.run() }
        }
        unsafe { enter(job) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn from_i8_quads(source: *const i8, half: usize) -> (Self, Self) {
        unsafe {
            let words = _mm512_srl_epi32(_mm512_loadu_si512(source.cast()), _mm_cvtsi32_si128(16 * half as i32));
            let even = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(words));
            let odd = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<16>(words));
            (Self(_mm512_cvtepi32_ps(even)), Self(_mm512_cvtepi32_ps(odd)))
        }
    }

    #[inline(always)]
    unsafe fn from_nibbles(source: *const u8, table: &[f32; 16]) -> (Self, Self) {
        unsafe {
            let table = _mm512_loadu_ps(table.as_ptr());
            // A permutation looks at the lowest four bits of a word.
            let words = _mm512_cvtepu8_epi32(_mm_loadu_si128(source.cast()));
            let high = _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(words), table);
            (Self(_mm512_permutexvar_ps(words, table)), Self(high))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose(source: *const f32, target: *mut f32) {
        unsafe { Avx2::transpose(source, target) }
    }
}
