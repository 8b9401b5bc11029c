//! NF4 with float32 magnitudes: per output row, one magnitude for every so many inputs as surely lie in one block of 64 (64 where the
//! inputs are a multiple of it, as in real models; fewer where blocks straddle rows), then [in / 2][16] bytes, the code of the even
//! input in the low half. The weight is code · magnitude rounded to float32, as bitsandbytes dequantises it.
//!
//! Magnitudes that were quantised twice are kept as the float32 that they stand for: 4 bytes for 64 weights instead of 1, for one
//! multiplication in the inner loop instead of a second table.
use super::Codec;
use crate::kernels::lanes::{Lanes, WIDTH};
use crate::kernels::nf4::{BLOCK, CODE_BOOK, ZERO_CODE, code_at};
use crate::kernels::operands::Panel;
use crate::kernels::packed::PanelBytes;

pub struct Nf4;

impl Codec for Nf4 {
    const NAME: &'static str = "nf4";
    const PAIR_BYTES: usize = WIDTH;
    /// One tile: what is looked up for a tile is not looked up for the next one.
    const FEW_ROWS: usize = 6;

    type Reader<L: Lanes> = Nf4Panel;

    fn row_bytes(inputs: usize) -> usize {
        4 * inputs.next_multiple_of(2).div_ceil(1 << run_shift(inputs))
    }

    fn decode_row(panel: PanelBytes<'_>, row: usize, target: &mut [f32]) {
        let shift = run_shift(panel.inputs);
        for (i, target) in target.iter_mut().enumerate() {
            let byte = panel.codes[i / 2 * WIDTH + row];
            let code = if i % 2 == 0 { byte & 0xf } else { byte >> 4 };
            let bytes = &panel.rows[4 * ((i >> shift) * WIDTH + row)..][..4];
            *target = CODE_BOOK[usize::from(code)] * f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }

    #[inline(always)]
    fn reader<L: Lanes>(panel: PanelBytes<'_>, first_pair: usize) -> Nf4Panel {
        Nf4Panel {
            codes: panel.codes.as_ptr().wrapping_add(first_pair * Self::PAIR_BYTES),
            magnitudes: panel.rows.as_ptr().cast(),
            first_input: 2 * first_pair,
            shift: run_shift(panel.inputs),
        }
    }
}

impl Nf4 {
    /// Arranges the rows `first_row..` of a matrix [out, inputs] as one panel. `codes` and `magnitudes` are the flattened matrix's
    /// (see `kernels::nf4`), magnitudes as the numbers that they stand for. Writes every byte.
    pub fn arrange(
        panel: (&mut [u8], &mut [u8]),
        first_row: usize,
        codes: &[u8],
        magnitudes: &[f32],
        out: usize,
        inputs: usize,
    ) {
        let (rows, target) = panel;
        let shift = run_shift(inputs);
        for (run, bytes) in rows.chunks_exact_mut(4 * WIDTH).enumerate() {
            for (row, bytes) in bytes.chunks_exact_mut(4).enumerate() {
                let (row, input) = (first_row + row, run << shift);
                let exists = row < out && input < inputs;
                let magnitude = if exists { magnitudes[(row * inputs + input) / BLOCK] } else { 0.0 };
                bytes.copy_from_slice(&magnitude.to_le_bytes());
            }
        }
        let code = |row: usize, input: usize| {
            if row < out && input < inputs { code_at(codes, row * inputs + input) } else { ZERO_CODE }
        };
        for (pair, bytes) in target.chunks_exact_mut(WIDTH).enumerate() {
            for (row, byte) in bytes.iter_mut().enumerate() {
                *byte = code(first_row + row, 2 * pair) | code(first_row + row, 2 * pair + 1) << 4;
            }
        }
    }
}

/// log2 of the inputs of a run: the longest power of two, at most a block, that divides a row.
#[inline(always)]
fn run_shift(inputs: usize) -> u32 {
    inputs.trailing_zeros().min(BLOCK.trailing_zeros())
}

#[derive(Clone, Copy)]
pub struct Nf4Panel {
    codes: *const u8,
    magnitudes: *const f32,
    first_input: usize,
    shift: u32,
}

impl Nf4Panel {
    #[inline(always)]
    unsafe fn magnitudes<L: Lanes>(&self, k: usize) -> L {
        unsafe { L::load(self.magnitudes.add(((self.first_input + k) >> self.shift) * WIDTH)) }
    }
}

impl<L: Lanes> Panel<L> for Nf4Panel {
    #[inline(always)]
    unsafe fn pair(&self, pair: usize) -> (L, L) {
        unsafe {
            let (even, odd) = L::from_nibbles(self.codes.add(pair * WIDTH), &CODE_BOOK);
            (even.mul(self.magnitudes(2 * pair)), odd.mul(self.magnitudes(2 * pair + 1)))
        }
    }

    #[inline(always)]
    unsafe fn even(&self, pair: usize) -> L {
        unsafe { L::from_nibbles(self.codes.add(pair * WIDTH), &CODE_BOOK).0.mul(self.magnitudes(2 * pair)) }
    }
}
