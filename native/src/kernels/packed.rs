//! Frozen weights: one packed copy of W [out, in] that serves x · Wᵀ and dy · W, in memory of our own or in a mapped file.
//!
//! Layout, in bytes from a multiple of 64: first what the codec keeps per output row (int8: one float32 scale each), then
//! panels of sixteen output rows. A panel holds, for each pair of inputs (2p, 2p + 1), the codes of its sixteen rows: see the
//! codec. Rows and inputs that do not exist are zero. The layout is the same on every instruction set.
use super::aligned::Aligned;
use super::codec::{Bf16, Codec, Encode, F32, Int8, Nf4};
use super::lanes::WIDTH;
use super::nf4::{self, Quantised};
use crate::pool::{SharedMut, for_rows};
use memmap2::Mmap;
use std::sync::Arc;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    F32,
    Bf16,
    Int8,
    Nf4,
}

/// Runs `$body` with `$C` bound to the codec of `$format`.
macro_rules! with_codec {
    ($format:expr, $C:ident => $body:expr) => {{
        use crate::kernels::codec;
        use crate::kernels::packed::Format;
        match $format {
            Format::F32 => {
                type $C = codec::F32;
                $body
            }
            Format::Bf16 => {
                type $C = codec::Bf16;
                $body
            }
            Format::Int8 => {
                type $C = codec::Int8;
                $body
            }
            Format::Nf4 => {
                type $C = codec::Nf4;
                $body
            }
        }
    }};
}
pub(crate) use with_codec;

impl Format {
    pub const ALL: [Format; 4] = [Format::F32, Format::Bf16, Format::Int8, Format::Nf4];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub fn name(self) -> &'static str {
        with_codec!(self, C => C::NAME)
    }

    /// Names the byte layout: a packed file with another name cannot be read.
    pub fn layout(self) -> &'static str {
        match self {
            Format::F32 => "f32-panel16-1",
            Format::Bf16 => "bf16-panel16x2-1",
            Format::Int8 => "int8-panel16x4-1",
            Format::Nf4 => "nf4-panel16x2-1",
        }
    }
}

/// Sizes of a packed matrix.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub panels: usize,
    /// Inputs, two at a time, and as many more as the codec needs.
    pub pairs: usize,
    pub header_bytes: usize,
    pub panel_bytes: usize,
}

impl Layout {
    pub fn new(out: usize, inputs: usize, format: Format) -> Self {
        let panels = out.div_ceil(WIDTH);
        let (row_bytes, pair_bytes, together) =
            with_codec!(format, C => (C::row_bytes(inputs), C::PAIR_BYTES, C::PAIRS_TOGETHER));
        let pairs = inputs.div_ceil(2).next_multiple_of(together);
        Self { panels, pairs, header_bytes: panels * WIDTH * row_bytes, panel_bytes: pairs * pair_bytes }
    }

    /// Bytes of the whole matrix, a multiple of 64.
    pub fn bytes(&self) -> usize {
        (self.header_bytes + self.panels * self.panel_bytes).next_multiple_of(64)
    }
}

enum Storage {
    Owned(Aligned),
    Mapped { file: Arc<Mmap>, offset: usize },
}

pub struct Packed {
    pub out: usize,
    pub inputs: usize,
    pub format: Format,
    pub layout: Layout,
    /// What output rows are multiplied by in products in int8: see `linear::int8_words`.
    #[cfg(target_arch = "x86_64")]
    pub int8_scales: OnceLock<Box<[f32]>>,
    storage: Storage,
}

impl Packed {
    /// A packed copy of the dense `weights` [out, inputs].
    pub fn new(weights: &[f32], out: usize, inputs: usize, format: Format) -> Self {
        let layout = Layout::new(out, inputs, format);
        let mut memory = Aligned::EMPTY;
        memory.grow(layout.bytes());
        pack(memory.bytes_mut(), weights, out, inputs, format);
        Self::stored(Storage::Owned(memory), out, inputs, format)
    }

    /// The matrix [out, inputs] of NF4 codes that were made before: see [`pack_nf4`].
    pub fn from_nf4(codes: &[u8], magnitudes: &[f32], out: usize, inputs: usize) -> Self {
        let format = Format::Nf4;
        let layout = Layout::new(out, inputs, format);
        let mut memory = Aligned::EMPTY;
        memory.grow(layout.bytes());
        pack_nf4(memory.bytes_mut(), codes, magnitudes, out, inputs);
        Self::stored(Storage::Owned(memory), out, inputs, format)
    }

    /// The matrix that [`pack`] wrote at `offset` of a file.
    pub fn mapped(file: Arc<Mmap>, offset: usize, out: usize, inputs: usize, format: Format) -> Result<Self, String> {
        let layout = Layout::new(out, inputs, format);
        if !offset.is_multiple_of(64) {
            return Err(format!("a packed matrix begins at a multiple of 64 bytes, not at {offset}"));
        }
        if offset.checked_add(layout.bytes()).is_none_or(|end| end > file.len()) {
            let (bytes, length) = (layout.bytes(), file.len());
            return Err(format!("the packed file has {length} bytes: too short for {bytes} bytes at {offset}"));
        }
        Ok(Self::stored(Storage::Mapped { file, offset }, out, inputs, format))
    }

    fn stored(storage: Storage, out: usize, inputs: usize, format: Format) -> Self {
        Self {
            out,
            inputs,
            format,
            layout: Layout::new(out, inputs, format),
            #[cfg(target_arch = "x86_64")]
            int8_scales: OnceLock::new(),
            storage,
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match &self.storage {
            Storage::Owned(memory) => memory.bytes().len(),
            Storage::Mapped { .. } => 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Owned(memory) => memory.bytes(),
            Storage::Mapped { file, offset } => &file[*offset..*offset + self.layout.bytes()],
        }
    }

    /// The codes of one panel and what the codec keeps of its sixteen rows.
    pub fn panel(&self, panel: usize) -> PanelBytes<'_> {
        let Layout { header_bytes, panel_bytes, panels, .. } = self.layout;
        let bytes = self.bytes();
        let row_bytes = header_bytes / panels.max(1);
        PanelBytes {
            inputs: self.inputs,
            rows: &bytes[row_bytes * panel..row_bytes * (panel + 1)],
            codes: &bytes[header_bytes + panel_bytes * panel..header_bytes + panel_bytes * (panel + 1)],
        }
    }

    /// Writes the dense values [out, inputs] that the codes stand for.
    pub fn thaw(&self, target: &mut [f32]) {
        assert_eq!(target.len(), self.out * self.inputs);
        let shared = SharedMut::new(target);
        for_rows(self.out, WIDTH, |rows| {
            // SAFETY: parts are disjoint rows.
            let target = unsafe { shared.slice(rows.start * self.inputs..rows.end * self.inputs) };
            with_codec!(self.format, C => for (row, target) in rows.zip(target.chunks_exact_mut(self.inputs.max(1))) {
                C::decode_row(self.panel(row / WIDTH), row % WIDTH, target);
            });
        });
    }
}

#[derive(Clone, Copy)]
pub struct PanelBytes<'a> {
    pub inputs: usize,
    pub rows: &'a [u8],
    pub codes: &'a [u8],
}

/// Packs `weights` [out, inputs] into `target`, which has exactly `Layout::bytes` bytes of any alignment. NF4 is quantised twice.
pub fn pack(target: &mut [u8], weights: &[f32], out: usize, inputs: usize, format: Format) {
    assert_eq!(weights.len(), out * inputs);
    match format {
        Format::F32 => encode::<F32>(target, weights, out, inputs, format),
        Format::Bf16 => encode::<Bf16>(target, weights, out, inputs, format),
        Format::Int8 => encode::<Int8>(target, weights, out, inputs, format),
        Format::Nf4 => {
            let Quantised { codes, absmax } = nf4::quantise(weights);
            pack_nf4(target, &codes, &nf4::nested::nest(&absmax).magnitudes(), out, inputs);
        }
    }
}

fn encode<C: Encode>(target: &mut [u8], weights: &[f32], out: usize, inputs: usize, format: Format) {
    for_panels(target, &Layout::new(out, inputs, format), |panel, rows, codes| {
        let last = out.min((panel + 1) * WIDTH);
        C::encode(rows, codes, &weights[panel * WIDTH * inputs..last * inputs], inputs);
    });
}

/// Packs the NF4 `codes` of a flattened matrix [out, inputs], two a byte, with the magnitudes of its blocks as the numbers that they
/// stand for.
pub fn pack_nf4(target: &mut [u8], codes: &[u8], magnitudes: &[f32], out: usize, inputs: usize) {
    let count = out * inputs;
    assert_eq!((codes.len(), magnitudes.len()), (count.div_ceil(2), count.div_ceil(nf4::BLOCK)));
    for_panels(target, &Layout::new(out, inputs, Format::Nf4), |panel, rows, panel_codes| {
        Nf4::arrange((rows, panel_codes), panel * WIDTH, codes, magnitudes, out, inputs);
    });
}

/// Calls `body` with each panel's number, what the codec keeps of its rows, and its codes.
fn for_panels(target: &mut [u8], layout: &Layout, body: impl Fn(usize, &mut [u8], &mut [u8]) + Sync) {
    assert_eq!(target.len(), layout.bytes());
    target[layout.header_bytes + layout.panels * layout.panel_bytes..].fill(0);
    let shared = SharedMut::new(target);
    let row_bytes = layout.header_bytes / layout.panels.max(1);
    for_rows(layout.panels, 1, |panels| {
        for panel in panels {
            let begin = layout.header_bytes + panel * layout.panel_bytes;
            // SAFETY: parts are disjoint panels, headers lie before all panels.
            let (rows, codes) = unsafe {
                (
                    shared.slice(panel * row_bytes..(panel + 1) * row_bytes),
                    shared.slice(begin..begin + layout.panel_bytes),
                )
            };
            body(panel, rows, codes);
        }
    });
}

#[cfg(test)]
mod tests;
