//! int8 with one float32 scale per output row, symmetric: scale = max|w| / 127, code = round(w / scale) with ties to even;
//! [in / 4][16][4]: four inputs of an output row are one word, as dot products of bytes take them. The weight is code · scale rounded
//! to float32.
use super::{Codec, Encode};
use crate::kernels::lanes::{Lanes, WIDTH};
use crate::kernels::operands::Panel;
use crate::kernels::packed::PanelBytes;

pub struct Int8;

/// Inputs of one word.
pub const QUAD: usize = 4;

impl Codec for Int8 {
    const NAME: &'static str = "int8";
    const PAIR_BYTES: usize = 2 * WIDTH;
    const PAIRS_TOGETHER: usize = 2;

    type Reader<L: Lanes> = Int8Panel;

    fn row_bytes(_inputs: usize) -> usize {
        4
    }

    fn decode_row(panel: PanelBytes<'_>, row: usize, target: &mut [f32]) {
        let scale = Self::scale(panel, row);
        for (target, codes) in target.chunks_mut(QUAD).zip(panel.codes.chunks_exact(QUAD * WIDTH)) {
            for (target, code) in target.iter_mut().zip(&codes[QUAD * row..]) {
                *target = f32::from(*code as i8) * scale;
            }
        }
    }

    #[inline(always)]
    fn reader<L: Lanes>(panel: PanelBytes<'_>, first_pair: usize) -> Int8Panel {
        debug_assert!(first_pair.is_multiple_of(2));
        let codes = panel.codes.as_ptr().wrapping_add(first_pair * Self::PAIR_BYTES).cast();
        Int8Panel { codes, scales: panel.rows.as_ptr().cast() }
    }
}

impl Int8 {
    /// The scale of output row `row` (0 to 15) of a panel.
    pub fn scale(panel: PanelBytes<'_>, row: usize) -> f32 {
        let bytes = &panel.rows[4 * row..4 * row + 4];
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl Encode for Int8 {
    fn encode(rows: &mut [u8], codes: &mut [u8], weights: &[f32], inputs: usize) {
        let mut scales = [0.0_f32; WIDTH];
        if inputs > 0 {
            for (scale, weights) in scales.iter_mut().zip(weights.chunks_exact(inputs)) {
                *scale = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs())) / 127.0;
            }
        }
        for (bytes, scale) in rows.chunks_exact_mut(4).zip(scales) {
            bytes.copy_from_slice(&scale.to_le_bytes());
        }
        for (quad, codes) in codes.chunks_exact_mut(QUAD * WIDTH).enumerate() {
            for (place, code) in codes.iter_mut().enumerate() {
                let (row, i) = (place / QUAD, QUAD * quad + place % QUAD);
                let weight = if i < inputs { weights.get(row * inputs + i).copied().unwrap_or(0.0) } else { 0.0 };
                let steps = if scales[row] > 0.0 { weight / scales[row] } else { 0.0 };
                *code = steps.round_ties_even().clamp(-127.0, 127.0) as i8 as u8;
            }
        }
    }
}

#[derive(Clone, Copy)]
pub struct Int8Panel {
    codes: *const i8,
    scales: *const f32,
}

impl Int8Panel {
    /// Two inputs, the first two or the last two of a word.
    #[inline(always)]
    unsafe fn inputs<L: Lanes>(&self, pair: usize) -> (L, L) {
        unsafe {
            let (even, odd) = L::from_i8_quads(self.codes.add(pair / 2 * QUAD * WIDTH), pair % 2);
            let scales = L::load(self.scales);
            (even.mul(scales), odd.mul(scales))
        }
    }
}

impl<L: Lanes> Panel<L> for Int8Panel {
    #[inline(always)]
    unsafe fn pair(&self, pair: usize) -> (L, L) {
        unsafe { self.inputs(pair) }
    }

    #[inline(always)]
    unsafe fn even(&self, pair: usize) -> L {
        unsafe { self.inputs(pair).0 }
    }
}
