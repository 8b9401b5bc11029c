//! NormalFloat 4 (Dettmers et al., 2023) as bitsandbytes stores it, bit for bit: the row-major matrix is cut into blocks of 64
//! numbers, whatever its rows are; a block keeps its largest magnitude and, for each number, the nearest of sixteen codes of
//! x / magnitude. The magnitudes are quantised in turn: [`nested`]. How a product reads all this is `codec::nf4`'s.
pub mod nested;

use crate::pool::{SharedMut, for_rows};

/// Numbers that share a magnitude.
pub const BLOCK: usize = 64;

/// What the codes stand for: quantiles of a normal distribution between −1 and 1, with an exact 0 (appendix E of the paper).
pub const CODE_BOOK: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The code of 0.
pub const ZERO_CODE: u8 = 7;

pub struct Quantised {
    /// Two codes a byte, the first in the high half; a last one without a partner is followed by [`ZERO_CODE`].
    pub codes: Vec<u8>,
    /// The magnitude of each block.
    pub absmax: Vec<f32>,
}

/// Quantises a flattened matrix.
pub fn quantise(weights: &[f32]) -> Quantised {
    let mut codes = vec![0; weights.len().div_ceil(2)];
    let mut absmax = vec![0.0; weights.len().div_ceil(BLOCK)];
    let (shared_codes, shared_absmax) = (SharedMut::new(&mut codes), SharedMut::new(&mut absmax));
    for_rows(weights.len().div_ceil(BLOCK), 16, |blocks| {
        for block in blocks {
            let weights = &weights[block * BLOCK..weights.len().min((block + 1) * BLOCK)];
            // SAFETY: parts are disjoint blocks, and a block begins at a whole byte.
            let (codes, absmax) = unsafe {
                let first = block * BLOCK / 2;
                (shared_codes.slice(first..first + weights.len().div_ceil(2)), shared_absmax.slice(block..block + 1))
            };
            absmax[0] = quantise_block(weights, codes);
        }
    });
    Quantised { codes, absmax }
}

/// Magnitudes below this are raised to it before a number is divided by one.
const LEAST_MAGNITUDE: f32 = 1e-38;

/// Writes the codes of at most [`BLOCK`] numbers and returns their magnitude. A last block that is not whole is divided, others are
/// multiplied by the inverse, and its magnitude is never 0: as in bitsandbytes.
fn quantise_block(weights: &[f32], codes: &mut [u8]) -> f32 {
    let magnitude = weights.iter().fold(0.0_f32, |largest, weight| {
        let weight = weight.abs();
        // Not `max`, which drops a NaN.
        if weight > largest || weight.is_nan() { weight } else { largest }
    });
    let raised = if magnitude < LEAST_MAGNITUDE { LEAST_MAGNITUDE } else { magnitude };
    let mut scaled = [0.0_f32; BLOCK];
    let is_whole = weights.len() == BLOCK;
    let inverse = 1.0 / raised;
    for (scaled, weight) in scaled.iter_mut().zip(weights) {
        *scaled = (if is_whole { weight * inverse } else { weight / raised }).clamp(-1.0, 1.0);
    }
    let nearest = nearest(&scaled);
    for (byte, pair) in codes.iter_mut().zip(nearest.chunks_exact(2)) {
        *byte = (pair[0] << 4 | pair[1]) as u8;
    }
    if is_whole { magnitude } else { raised }
}

/// The nearest codes: how many of the middles between two codes a number exceeds. NaN, which an infinite magnitude gives, exceeds all.
fn nearest(scaled: &[f32; BLOCK]) -> [u32; BLOCK] {
    let mut nearest = [0; BLOCK];
    for pair in CODE_BOOK.windows(2) {
        let middle = (pair[0] + pair[1]) / 2.0;
        for lane in 0..BLOCK {
            // Not `middle < scaled`, which is false for NaN.
            #[allow(clippy::neg_cmp_op_on_partial_ord)]
            let exceeds = !(middle >= scaled[lane]);
            nearest[lane] += u32::from(exceeds);
        }
    }
    nearest
}

/// The code of element `index` of a flattened matrix.
pub fn code_at(codes: &[u8], index: usize) -> u8 {
    let byte = codes[index / 2];
    if index.is_multiple_of(2) { byte >> 4 } else { byte & 0xf }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{each_setting, random};

    #[test]
    fn every_number_gets_the_nearest_code_of_its_block() {
        for count in [0, 1, 2, 63, 64, 65, 127, 1000] {
            let weights = random(1, count);
            each_setting(|_| {
                let Quantised { codes, absmax } = quantise(&weights);
                assert_eq!((codes.len(), absmax.len()), (count.div_ceil(2), count.div_ceil(64)));
                for (block, weights) in weights.chunks(64).enumerate() {
                    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
                    assert_eq!(absmax[block], largest);
                    for (i, weight) in weights.iter().enumerate() {
                        let distance = |value: f32| f64::from(weight / largest - value).abs();
                        let code = code_at(&codes, 64 * block + i);
                        let least = CODE_BOOK.into_iter().map(distance).fold(f64::INFINITY, f64::min);
                        assert!(distance(CODE_BOOK[usize::from(code)]) <= least + 1e-7);
                    }
                }
                if count % 2 == 1 {
                    assert_eq!(codes[count / 2] & 0xf, ZERO_CODE);
                }
            });
        }
    }

    #[test]
    fn zeros_subnormals_and_infinities_have_a_place() {
        let tiny = f32::from_bits(1);
        let block = |first: f32, second: f32| {
            let mut weights = [0.0_f32; 64];
            (weights[0], weights[1]) = (first, second);
            let Quantised { codes, absmax } = quantise(&weights);
            (codes[0], codes[31], absmax[0])
        };
        assert_eq!(block(0.0, -0.0), (0x77, 0x77, 0.0));
        // 2⁻¹⁴⁹ over the least magnitude is nearly 0; 10⁻³⁹ over it is a tenth.
        assert_eq!(block(tiny, -tiny), (0x77, 0x77, tiny));
        assert_eq!(block(1e-39, -1e-39), (0x86, 0x77, 1e-39));
        assert_eq!(block(f32::MAX, -f32::MAX), (0xf0, 0x77, f32::MAX));
        // Infinity times 0 is NaN.
        assert_eq!(block(1.0, f32::INFINITY), (0x7f, 0x77, f32::INFINITY));
        assert_eq!(quantise(&[0.0, 0.0, 0.0]).absmax, [LEAST_MAGNITUDE]);
        assert!(block(f32::NAN, 1.0).2.is_nan());
    }
}
