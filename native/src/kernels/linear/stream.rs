//! x · Wᵀ for few rows, such as a step of decoding: the time is that of reading W once.
use super::Product;
use crate::kernels::codec::Codec;
use crate::kernels::lanes::{Lanes, WIDTH};
use crate::kernels::operands::Streamed;
use crate::kernels::packed::Packed;
use crate::kernels::split::for_blocks;
use crate::kernels::tile::{for_tiles, multiply};

/// Panels that all rows visit before the next ones: they stay in the second-level cache meanwhile.
const GROUP: usize = 4;
/// How far ahead of its use a panel is asked for: half a page.
const PREFETCH_BYTES: usize = 2048;

impl Product<'_> {
    pub(super) fn stream<L: Lanes, C: Codec>(&self, weight: &Packed) {
        for_blocks(1, self.columns, self.depth * self.rows, WIDTH, |_, columns| {
            let (first, last) = (columns.start / WIDTH, columns.end.div_ceil(WIDTH));
            for group in (first..last).step_by(GROUP) {
                for_tiles(0..self.rows, L::ROWS, |row, rows| {
                    let mut panels = group..last.min(group + GROUP);
                    while !panels.is_empty() {
                        // One row has few sums under way: more panels at once hide the latency of an addition.
                        panels.start += match panels.len() {
                            4.. if rows == 1 || L::PANELS >= 4 => {
                                self.streamed::<L, C, 4>(weight, panels.start, row, rows)
                            }
                            2.. if rows <= 2 => self.streamed::<L, C, 2>(weight, panels.start, row, rows),
                            _ => self.streamed::<L, C, 1>(weight, panels.start, row, rows),
                        };
                    }
                });
            }
        });
    }

    /// Multiplies a tile of rows by the P panels from `panel` on, which lie inside the weight. Returns P.
    fn streamed<L: Lanes, C: Codec, const P: usize>(
        &self,
        weight: &Packed,
        panel: usize,
        row: usize,
        rows: usize,
    ) -> usize {
        let panels: [Streamed<C::Reader<L>>; P] = std::array::from_fn(|i| {
            let bytes = weight.panel(panel + i);
            let ahead = bytes.codes.as_ptr().wrapping_add(PREFETCH_BYTES);
            Streamed { panel: C::reader::<L>(bytes, 0), ahead, pair_bytes: C::PAIR_BYTES }
        });
        // SAFETY: rows, panels and depth are inside the operands.
        unsafe {
            multiply::<L, _, _, P>(rows, self.a(row, 0), panels, self.depth, self.target(row, panel), self.finish(0))
        };
        P
    }
}
