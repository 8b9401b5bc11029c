//! The right operand of the products in int8: panels of sixteen columns as words of four k, [k / 4][16][4], and a scale for each
//! output row of the weight. int8 weights are multiplied as they lie; those in another format are rounded to int8, with the scale that
//! their row would have if it were held so.
use super::int8_rows::{BLOCK, OFFSET};
use crate::kernels::codec::int8::QUAD;
use crate::kernels::codec::{Bf16, Codec, F32, Int8, Nf4};
use crate::kernels::lanes::WIDTH;
use crate::kernels::lanes_x86::Avx512;
use crate::kernels::operands::Panel;
use crate::kernels::packed::{Packed, PanelBytes};
use crate::pool::{SharedMut, for_rows};
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

/// A format that can be rounded to int8. Nobody asks it of float32.
pub(super) trait ByteCodec: Codec {
    /// Whether its codes are the words that the products read.
    const ARE_WORDS: bool = false;

    /// What the codes of an output row are multiplied by; its weights fit into `room`.
    fn row_scale(panel: PanelBytes<'_>, row: usize, room: &mut [f32]) -> f32 {
        Self::decode_row(panel, row, room);
        room.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs())) / 127.0
    }
}

impl ByteCodec for F32 {}
impl ByteCodec for Bf16 {}
impl ByteCodec for Nf4 {}

impl ByteCodec for Int8 {
    const ARE_WORDS: bool = true;

    fn row_scale(panel: PanelBytes<'_>, row: usize, _room: &mut [f32]) -> f32 {
        Int8::scale(panel, row)
    }
}

/// The scales of all output rows of a weight, and zeros that fill its last panel: made when they are asked for first.
fn row_scales<C: ByteCodec>(weight: &Packed) -> &[f32] {
    weight.int8_scales.get_or_init(|| {
        let mut scales = vec![0.0; weight.layout.panels * WIDTH].into_boxed_slice();
        let shared = SharedMut::new(&mut scales);
        for_rows(weight.out, WIDTH, |rows| {
            let mut room = vec![0.0; weight.inputs];
            // SAFETY: parts are disjoint rows.
            let scales = unsafe { shared.slice(rows.clone()) };
            for (row, scale) in rows.zip(scales) {
                *scale = C::row_scale(weight.panel(row / WIDTH), row % WIDTH, &mut room);
            }
        });
        scales
    })
}

pub(super) trait Words: Sync {
    /// Whether `words` finds them in the weight itself.
    fn are_in_place(&self) -> bool;

    /// The words of k in `depth` (which begins at a multiple of 32), where they lie, or with `OFFSET` added to each code in `buffer`. What of
    /// the last block lies behind them is anything: the left operand's codes are zero there.
    ///
    /// # Safety
    /// The processor has AVX-512 VNNI; panel and depth exist, the buffer holds them.
    unsafe fn words(&self, panel: usize, depth: &Range<usize>, buffer: *mut i32) -> *const i32;

    /// What the sums of a panel's sixteen columns are multiplied by.
    fn column_scales(&self, panel: usize) -> &[f32; WIDTH];

    /// What the left operand is to be multiplied by, k by k; none if empty.
    fn factors(&self) -> &[f32];
}

/// Wᵀ: k are inputs, columns are output rows, as packed.
pub(super) struct WidenedWords<'a, C> {
    weight: &'a Packed,
    scales: &'a [f32],
    codec: PhantomData<fn() -> C>,
}

impl<'a, C: ByteCodec> WidenedWords<'a, C> {
    pub fn new(weight: &'a Packed) -> Self {
        Self { weight, scales: row_scales::<C>(weight), codec: PhantomData }
    }
}

impl<C: ByteCodec> Words for WidenedWords<'_, C> {
    fn are_in_place(&self) -> bool {
        C::ARE_WORDS && self.weight.layout.pairs.is_multiple_of(BLOCK / 2)
    }

    unsafe fn words(&self, panel: usize, depth: &Range<usize>, buffer: *mut i32) -> *const i32 {
        let first = depth.start / QUAD;
        if self.are_in_place() {
            return self.weight.panel(panel).codes.as_ptr().wrapping_add(first * QUAD * WIDTH).cast();
        }
        let count = depth.len().div_ceil(QUAD);
        unsafe {
            let reader = Reader::<C>::new(self.weight, panel, self.column_scales(panel), first);
            widen(&reader, count, buffer);
        }
        buffer
    }

    fn column_scales(&self, panel: usize) -> &[f32; WIDTH] {
        sixteen(self.scales, panel)
    }

    fn factors(&self) -> &[f32] {
        &[]
    }
}

/// W: k are output rows, columns are inputs; blocks of 16 × 16 are transposed. The rows' scales are taken into the left operand.
pub(super) struct TransposedWords<'a, C> {
    weight: &'a Packed,
    scales: &'a [f32],
    codec: PhantomData<fn() -> C>,
}

impl<'a, C: ByteCodec> TransposedWords<'a, C> {
    pub fn new(weight: &'a Packed) -> Self {
        Self { weight, scales: row_scales::<C>(weight), codec: PhantomData }
    }
}

impl<C: ByteCodec> Words for TransposedWords<'_, C> {
    fn are_in_place(&self) -> bool {
        false
    }

    unsafe fn words(&self, panel: usize, depth: &Range<usize>, buffer: *mut i32) -> *const i32 {
        let first = panel * WIDTH / QUAD;
        for (i, k) in depth.clone().step_by(WIDTH).enumerate() {
            let (row_panel, target) = (k / WIDTH, buffer.wrapping_add(i * WIDTH * WIDTH / QUAD));
            let scales = sixteen(self.scales, row_panel);
            unsafe { transpose(&Reader::<C>::new(self.weight, row_panel, scales, first), target) };
        }
        buffer
    }

    fn column_scales(&self, _panel: usize) -> &[f32; WIDTH] {
        &[1.0; WIDTH]
    }

    fn factors(&self) -> &[f32] {
        &self.scales[..self.weight.out]
    }
}

fn sixteen(scales: &[f32], panel: usize) -> &[f32; WIDTH] {
    &scales.as_chunks().0[panel]
}

/// Reads the words of a panel one by one; those of inputs that do not exist are zero.
struct Reader<'a, C: ByteCodec> {
    panel: PanelBytes<'a>,
    /// Of the weight, and the one that comes first.
    pairs: usize,
    first_pair: usize,
    values: C::Reader<Avx512>,
    /// 1 / scale of each row, 0 where that is no number.
    inverses: __m512,
}

impl<'a, C: ByteCodec> Reader<'a, C> {
    /// From the word `first` on.
    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn new(weight: &'a Packed, panel: usize, scales: &[f32; WIDTH], first: usize) -> Self {
        let (panel, first_pair) = (weight.panel(panel), first * QUAD / 2);
        // SAFETY: sixteen floats.
        let scales = unsafe { _mm512_loadu_ps(scales.as_ptr()) };
        let is_normal = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(scales, _mm512_set1_ps(f32::MIN_POSITIVE));
        let inverses = _mm512_maskz_div_ps(is_normal, _mm512_set1_ps(1.0), scales);
        let values = C::reader::<Avx512>(panel, first_pair);
        Self { panel, pairs: weight.layout.pairs, first_pair, values, inverses }
    }

    /// The codes of four inputs of sixteen output rows.
    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn word(&self, quad: usize) -> __m512i {
        let pair = 2 * quad;
        unsafe {
            if C::ARE_WORDS {
                if self.first_pair + pair >= self.pairs {
                    return _mm512_setzero_si512();
                }
                return _mm512_loadu_si512(
                    self.panel.codes.as_ptr().add((self.first_pair + pair) * C::PAIR_BYTES).cast(),
                );
            }
            let (first, second) = self.wholes(pair);
            let (third, fourth) = self.wholes(pair + 1);
            // In each 16 bytes: four columns of each of the four inputs, to four inputs of each of the four columns.
            let halves = [_mm512_packs_epi32(first, second), _mm512_packs_epi32(third, fourth)];
            let bytes = _mm512_packs_epi16(halves[0], halves[1]);
            _mm512_shuffle_epi8(bytes, _mm512_set4_epi32(0x0f0b_0703, 0x0e0a_0602, 0x0d09_0501, 0x0c08_0400))
        }
    }

    /// Two inputs, as whole numbers.
    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn wholes(&self, pair: usize) -> (__m512i, __m512i) {
        if self.first_pair + pair >= self.pairs {
            return (_mm512_setzero_si512(), _mm512_setzero_si512());
        }
        let (even, odd) = unsafe { self.values.pair(pair) };
        let [even, odd] = [_mm512_mul_ps(even.register(), self.inverses), _mm512_mul_ps(odd.register(), self.inverses)];
        (_mm512_cvtps_epi32(even), _mm512_cvtps_epi32(odd))
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn widen<C: ByteCodec>(reader: &Reader<'_, C>, count: usize, target: *mut i32) {
    let offset = _mm512_set1_epi8(OFFSET as i8);
    for quad in 0..count {
        unsafe {
            let word = _mm512_xor_si512(reader.word(quad), offset);
            _mm512_storeu_si512(target.add(quad * WIDTH).cast(), word);
        }
    }
}

/// Words [4 quads of inputs][16 rows] of four inputs become words [4 quads of rows][16 inputs] of four rows.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn transpose<C: ByteCodec>(reader: &Reader<'_, C>, target: *mut i32) {
    // In each 16 bytes, four rows of four inputs become four inputs of four rows.
    let exchange = _mm512_set4_epi32(0x0f0b_0703, 0x0e0a_0602, 0x0d09_0501, 0x0c08_0400);
    unsafe {
        let offset = _mm512_set1_epi8(OFFSET as i8);
        let mut words = [_mm512_setzero_si512(); 4];
        for (quad, word) in words.iter_mut().enumerate() {
            *word = _mm512_shuffle_epi8(reader.word(quad), exchange);
        }
        // What remains is to transpose a 4 × 4 matrix of 16 bytes each.
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        let [a, b, c, d] = words;
        let (ab, cd) = (_mm512_shuffle_i64x2::<EVEN>(a, b), _mm512_shuffle_i64x2::<EVEN>(c, d));
        let (ab_odd, cd_odd) = (_mm512_shuffle_i64x2::<ODD>(a, b), _mm512_shuffle_i64x2::<ODD>(c, d));
        let rows = [
            _mm512_shuffle_i64x2::<EVEN>(ab, cd),
            _mm512_shuffle_i64x2::<EVEN>(ab_odd, cd_odd),
            _mm512_shuffle_i64x2::<ODD>(ab, cd),
            _mm512_shuffle_i64x2::<ODD>(ab_odd, cd_odd),
        ];
        for (quad, row) in rows.into_iter().enumerate() {
            _mm512_storeu_si512(target.add(quad * WIDTH).cast(), _mm512_xor_si512(row, offset));
        }
    }
}
