//! Exact float32: [in][16].
use super::{Codec, Encode};
use crate::kernels::lanes::{Lanes, WIDTH};
use crate::kernels::operands::FloatPanel;
use crate::kernels::packed::PanelBytes;

pub struct F32;

impl Codec for F32 {
    const NAME: &'static str = "f32";
    const PAIR_BYTES: usize = 2 * WIDTH * 4;

    type Reader<L: Lanes> = FloatPanel;

    fn row_bytes(_inputs: usize) -> usize {
        0
    }

    fn decode_row(panel: PanelBytes<'_>, row: usize, target: &mut [f32]) {
        for (target, codes) in target.iter_mut().zip(panel.codes.chunks_exact(WIDTH * 4)) {
            let code = &codes[4 * row..4 * row + 4];
            *target = f32::from_le_bytes([code[0], code[1], code[2], code[3]]);
        }
    }

    #[inline(always)]
    fn reader<L: Lanes>(panel: PanelBytes<'_>, first_pair: usize) -> FloatPanel {
        FloatPanel { data: panel.codes.as_ptr().wrapping_add(first_pair * Self::PAIR_BYTES).cast(), stride: WIDTH }
    }
}

impl Encode for F32 {
    fn encode(_rows: &mut [u8], codes: &mut [u8], weights: &[f32], inputs: usize) {
        for (i, codes) in codes.chunks_exact_mut(WIDTH * 4).enumerate() {
            for (row, code) in codes.chunks_exact_mut(4).enumerate() {
                let weight = if i < inputs { weights.get(row * inputs + i).copied().unwrap_or(0.0) } else { 0.0 };
                code.copy_from_slice(&weight.to_le_bytes());
            }
        }
    }
}
