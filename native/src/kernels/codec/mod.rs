//! How weights are stored. A format is one [`Codec`], one file; the products in float32 know no other difference between formats:
//! they multiply by the float32 that a code stands for, so W in any format gives the bits of its thawed copy. Those in bfloat16 round
//! that number first.
pub mod bf16;
mod f32;
pub mod int8;
mod nf4;

pub use bf16::Bf16;
pub use f32::F32;
pub use int8::Int8;
pub use nf4::Nf4;

use super::lanes::Lanes;
use super::operands::Panel;
use super::packed::PanelBytes;

pub trait Codec: 'static {
    const NAME: &'static str;
    /// Bytes of the codes of sixteen output rows at two inputs.
    const PAIR_BYTES: usize;
    /// Pairs whose codes cannot be told apart by their place: a panel has a multiple of so many, and is read from such a multiple on.
    const PAIRS_TOGETHER: usize = 1;
    /// Up to so many rows, widening weights into a buffer costs more than it saves.
    const FEW_ROWS: usize = 12;
    /// Whether the codes of a pair are sixteen words of two bfloat16.
    #[cfg(target_arch = "x86_64")]
    const ARE_BF16_WORDS: bool = false;

    type Reader<L: Lanes>: Panel<L>;

    /// Bytes of what is kept for each output row, such as its scale.
    fn row_bytes(inputs: usize) -> usize;
    /// The values of output row `row` (0 to 15) of a panel.
    fn decode_row(panel: PanelBytes<'_>, row: usize, target: &mut [f32]);
    /// Reads a panel from input `2 · first_pair` on.
    fn reader<L: Lanes>(panel: PanelBytes<'_>, first_pair: usize) -> Self::Reader<L>;
}

/// A format in which rows are encoded without a look at others.
pub trait Encode: Codec {
    /// Encodes one panel: `weights` holds up to sixteen rows of `inputs`. Writes every byte.
    fn encode(rows: &mut [u8], codes: &mut [u8], weights: &[f32], inputs: usize);
}
