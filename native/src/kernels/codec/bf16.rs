//! bfloat16, rounded to nearest even: [in / 2][16][2]. A pair of inputs shares a 32-bit word, so that a shift and a mask widen
//! it, and so that AVX-512's dot product of bfloat16 pairs can take it as it is.
use super::{Codec, Encode};
use crate::kernels::lanes::{Lanes, WIDTH};
use crate::kernels::operands::Panel;
use crate::kernels::packed::PanelBytes;

pub struct Bf16;

impl Codec for Bf16 {
    const NAME: &'static str = "bf16";
    const PAIR_BYTES: usize = 2 * WIDTH * 2;
    #[cfg(target_arch = "x86_64")]
    const ARE_BF16_WORDS: bool = true;

    type Reader<L: Lanes> = Bf16Panel;

    fn row_bytes(_inputs: usize) -> usize {
        0
    }

    fn decode_row(panel: PanelBytes<'_>, row: usize, target: &mut [f32]) {
        for (targets, codes) in target.chunks_mut(2).zip(panel.codes.chunks_exact(Self::PAIR_BYTES)) {
            for (i, target) in targets.iter_mut().enumerate() {
                let code = &codes[4 * row + 2 * i..4 * row + 2 * i + 2];
                *target = f32::from_bits(u32::from(u16::from_le_bytes([code[0], code[1]])) << 16);
            }
        }
    }

    #[inline(always)]
    fn reader<L: Lanes>(panel: PanelBytes<'_>, first_pair: usize) -> Bf16Panel {
        Bf16Panel(panel.codes.as_ptr().wrapping_add(first_pair * Self::PAIR_BYTES).cast())
    }
}

impl Encode for Bf16 {
    fn encode(_rows: &mut [u8], codes: &mut [u8], weights: &[f32], inputs: usize) {
        for (pair, codes) in codes.chunks_exact_mut(Self::PAIR_BYTES).enumerate() {
            for (position, code) in codes.chunks_exact_mut(2).enumerate() {
                let (row, i) = (position / 2, 2 * pair + position % 2);
                let weight = if i < inputs { weights.get(row * inputs + i).copied().unwrap_or(0.0) } else { 0.0 };
                code.copy_from_slice(&round_to_bf16(weight).to_le_bytes());
            }
        }
    }
}

/// The upper half of the nearest float32 with an empty lower half. NaN stays NaN.
#[inline(always)]
pub fn round_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[derive(Clone, Copy)]
pub struct Bf16Panel(pub *const u32);

impl<L: Lanes> Panel<L> for Bf16Panel {
    #[inline(always)]
    unsafe fn pair(&self, pair: usize) -> (L, L) {
        unsafe { L::from_bf16_pairs(self.0.add(pair * WIDTH)) }
    }

    #[inline(always)]
    unsafe fn even(&self, pair: usize) -> L {
        unsafe { L::from_bf16_pairs(self.0.add(pair * WIDTH)).0 }
    }
}
