//! [`Lanes`] in NEON: four registers, and half of them.
use super::lanes::{Job, Lanes, Vector};
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub struct Neon<const N: usize>([float32x4_t; N]);

impl<const N: usize> Vector for Neon<N> {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([unsafe { vdupq_n_f32(value) }; N])
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        Self(std::array::from_fn(|i| unsafe { vld1q_f32(source.add(4 * i)) }))
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        for i in 0..N {
            unsafe { vst1q_f32(target.add(4 * i), self.0[i]) };
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| unsafe { vfmaq_f32(self.0[i], a.0[i], b.0[i]) }))
    }

    #[inline(always)]
    unsafe fn from_bf16_pairs(source: *const u32) -> (Self, Self) {
        let words: [uint32x4_t; N] = std::array::from_fn(|i| unsafe { vld1q_u32(source.add(4 * i)) });
        let even = words.map(|four| unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(four)) });
        let odd = words.map(|four| unsafe { vreinterpretq_f32_u32(vandq_u32(four, vdupq_n_u32(0xffff_0000))) });
        (Self(even), Self(odd))
    }
}

impl Lanes for Neon<4> {
    type Half = Neon<2>;
    // 6 rows of 4 registers are 24 sums; 8 of the 32 registers remain.
    const ROWS: usize = 6;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn vectorize<J: Job<Self>>(job: J) -> J::Output {
        #[target_feature(enable = "neon")]
        unsafe fn enter<J: Job<Neon<4>>>(job: J) -> J::Output {
            unsafe { job.run() }
        }
        unsafe { enter(job) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| unsafe { vaddq_f32(self.0[i], other.0[i]) }))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| unsafe { vmulq_f32(self.0[i], other.0[i]) }))
    }

    #[inline(always)]
    unsafe fn from_i8_quads(source: *const i8, half: usize) -> (Self, Self) {
        unsafe {
            let (even, odd) = (vdupq_n_s32(24 - 16 * half as i32), vdupq_n_s32(16 - 16 * half as i32));
            let words: [int32x4_t; 4] = std::array::from_fn(|i| vld1q_s32(source.cast::<i32>().add(4 * i)));
            let take = |up| Self(words.map(|four| vcvtq_f32_s32(vshrq_n_s32::<24>(vshlq_s32(four, up)))));
            (take(even), take(odd))
        }
    }

    #[inline(always)]
    unsafe fn from_nibbles(source: *const u8, table: &[f32; 16]) -> (Self, Self) {
        unsafe {
            let table = vld1q_u8_x4(table.as_ptr().cast());
            let bytes = vld1q_u8(source);
            // The four bytes of entry n are bytes 4n to 4n + 3 of the table.
            let in_entry = vreinterpretq_u8_u32(vdupq_n_u32(0x0302_0100));
            let look_up = |codes: uint8x16_t| {
                let starts = vshlq_n_u8::<2>(codes);
                Self(std::array::from_fn(|i| {
                    let lanes: [u8; 16] = std::array::from_fn(|byte| (4 * i + byte / 4) as u8);
                    let repeated = vqtbl1q_u8(starts, vld1q_u8(lanes.as_ptr()));
                    vreinterpretq_f32_u8(vqtbl4q_u8(table, vaddq_u8(repeated, in_entry)))
                }))
            };
            (look_up(vandq_u8(bytes, vdupq_n_u8(0xf))), look_up(vshrq_n_u8::<4>(bytes)))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // The intrinsic is not stable yet.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{address}]", address = in(reg) address, options(readonly, nostack, preserves_flags))
        }
    }

    #[inline(always)]
    unsafe fn transpose(source: *const f32, target: *mut f32) {
        for i in (0..16).step_by(4) {
            for j in (0..16).step_by(4) {
                unsafe {
                    let row = |r: usize| vld1q_f32(source.add((i + r) * 16 + j));
                    let (a, b, c, d) = (row(0), row(1), row(2), row(3));
                    let (ab_even, ab_odd) = (vtrn1q_f32(a, b), vtrn2q_f32(a, b));
                    let (cd_even, cd_odd) = (vtrn1q_f32(c, d), vtrn2q_f32(c, d));
                    let join = |low, high, first: bool| {
                        let (low, high) = (vreinterpretq_f64_f32(low), vreinterpretq_f64_f32(high));
                        vreinterpretq_f32_f64(if first { vtrn1q_f64(low, high) } else { vtrn2q_f64(low, high) })
                    };
                    vst1q_f32(target.add(j * 16 + i), join(ab_even, cd_even, true));
                    vst1q_f32(target.add((j + 1) * 16 + i), join(ab_odd, cd_odd, true));
                    vst1q_f32(target.add((j + 2) * 16 + i), join(ab_even, cd_even, false));
                    vst1q_f32(target.add((j + 3) * 16 + i), join(ab_odd, cd_odd, false));
                }
            }
        }
    }
}
