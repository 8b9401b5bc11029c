//! Double quantisation (section 3 of Dettmers et al., 2023): the magnitudes of blocks, less their mean, in 8-bit codes of
//! bitsandbytes' dynamic map, 256 of which share a magnitude of their own.
use std::sync::OnceLock;

/// Magnitudes that share one of the second level.
pub const BLOCK: usize = 256;

pub struct Nested {
    pub codes: Vec<u8>,
    /// The magnitude of each block of magnitudes.
    pub absmax: Vec<f32>,
    /// The mean of all magnitudes.
    pub offset: f32,
}

/// Quantises the magnitudes of blocks.
pub fn nest(magnitudes: &[f32]) -> Nested {
    let (middles, offset) = (middles(), mean(magnitudes));
    let mut codes = Vec::with_capacity(magnitudes.len());
    let mut absmax = Vec::with_capacity(magnitudes.len().div_ceil(BLOCK));
    for block in magnitudes.chunks(BLOCK) {
        let largest = block.iter().fold(0.0_f32, |largest, magnitude| largest.max((magnitude - offset).abs()));
        let inverse = 1.0 / largest;
        codes.extend(
            block.iter().map(
                |magnitude| {
                    if largest == 0.0 { 0 } else { nearest(&middles, (magnitude - offset) * inverse) }
                },
            ),
        );
        absmax.push(largest);
    }
    Nested { codes, absmax, offset }
}

impl Nested {
    /// The magnitudes that the codes stand for.
    pub fn magnitudes(&self) -> Vec<f32> {
        let map = dynamic_map();
        let values = self.codes.iter().enumerate();
        values.map(|(i, &code)| map[usize::from(code)] * self.absmax[i / BLOCK] + self.offset).collect()
    }
}

/// The code of `value` in −1..1 as bitsandbytes' table of 65,536 has it: the one nearest to the table's place for `value`.
fn nearest(middles: &[f64; 255], value: f32) -> u8 {
    const LAST: f32 = 65_535.0;
    let place = ((value.clamp(-1.0, 1.0) + 1.0) * 0.5 * LAST + 0.5).floor();
    let value = f64::from(place) / f64::from(LAST) * 2.0 - 1.0;
    middles.partition_point(|&middle| middle < value) as u8
}

fn middles() -> [f64; 255] {
    let map = dynamic_map();
    std::array::from_fn(|i| (f64::from(map[i]) + f64::from(map[i + 1])) / 2.0)
}

/// bitsandbytes' signed dynamic map (Dettmers et al., 2022): seven decades, of which decade d has 2^d fractions of each sign, the
/// middles of equal parts of 0.1..1; with 0 and 1. Rounded to float32 at every step as PyTorch's `linspace` and products round.
pub fn dynamic_map() -> &'static [f32; 256] {
    static MAP: OnceLock<[f32; 256]> = OnceLock::new();
    MAP.get_or_init(|| {
        let mut entries = vec![0.0, 1.0];
        for decade in 0..7_u32 {
            let fractions = 1_usize << decade;
            let step = (1.0 - 0.1_f32) / fractions as f32;
            // The lower half is counted from 0.1 up, the upper one from 1 down.
            let bound = |i: usize| {
                if i < fractions.div_ceil(2) {
                    step.mul_add(i as f32, 0.1)
                } else {
                    (-step).mul_add((fractions - i) as f32, 1.0)
                }
            };
            for i in 0..fractions {
                let entry = 10_f64.powi(decade as i32 - 6) as f32 * ((bound(i) + bound(i + 1)) / 2.0);
                entries.extend([entry, -entry]);
            }
        }
        entries.sort_by(f32::total_cmp);
        std::array::from_fn(|i| entries[i])
    })
}

/// The mean in the order in which PyTorch sums a row on one thread with vectors of eight: 32 partial sums, each in a cascade of four
/// levels, so that the offset's last bit is bitsandbytes' too.
fn mean(values: &[f32]) -> f32 {
    const LANES: usize = 8;
    if values.is_empty() {
        return 0.0;
    }
    let sum = if values.len() < LANES {
        sum_rows::<1>(values)[0]
    } else {
        let whole = values.len() / LANES * LANES;
        let lanes = sum_rows::<LANES>(&values[..whole]);
        let rest = values[whole..].iter().fold(0.0, |sum, value| sum + value);
        lanes.iter().fold(rest, |sum, lane| sum + lane)
    };
    sum / values.len() as f32
}

/// Sums of columns of a matrix [rows, L]: four rows side by side in cascades of their own, then the rest.
fn sum_rows<const L: usize>(values: &[f32]) -> [f32; L] {
    const SIDE_BY_SIDE: usize = 4;
    let rows = values.len() / L;
    let groups = rows / SIDE_BY_SIDE;
    let mut sums: [[f32; L]; SIDE_BY_SIDE] =
        std::array::from_fn(|k| cascade(groups, |group| &values[(group * SIDE_BY_SIDE + k) * L..][..L]));
    for row in groups * SIDE_BY_SIDE..rows {
        add(&mut sums[0], &values[row * L..][..L]);
    }
    let [mut total, rest @ ..] = sums;
    for sum in &rest {
        add(&mut total, sum);
    }
    total
}

/// Sums `count` rows in groups, the groups in groups, and so on, four levels in all.
fn cascade<'a, const L: usize>(count: usize, row: impl Fn(usize) -> &'a [f32]) -> [f32; L] {
    const LEVELS: u32 = 4;
    let power = 4.max(count.next_power_of_two().trailing_zeros() / LEVELS);
    let (step, mask) = (1 << power, (1_usize << power) - 1);
    let mut sums = [[0.0; L]; LEVELS as usize];
    let mut next = 0;
    while next + step <= count {
        for i in next..next + step {
            add(&mut sums[0], row(i));
        }
        next += step;
        for level in 1..LEVELS as usize {
            let lower = std::mem::replace(&mut sums[level - 1], [0.0; L]);
            add(&mut sums[level], &lower);
            if next & mask << (level as u32 * power) != 0 {
                break;
            }
        }
    }
    for i in next..count {
        add(&mut sums[0], row(i));
    }
    let [mut total, rest @ ..] = sums;
    for sum in &rest {
        add(&mut total, sum);
    }
    total
}

fn add<const L: usize>(sums: &mut [f32; L], row: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::random;

    #[test]
    fn the_map_rises_through_zero_to_one() {
        let map = dynamic_map();
        assert!(map.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((map[0], map[127], map[255]), (-0.992_968_74, 0.0, 1.0));
        assert_eq!(map[128], 5.500_000_4e-7);
    }

    #[test]
    fn magnitudes_come_back_within_half_a_step_of_the_map() {
        for count in [0, 1, 7, 8, 255, 256, 257, 13_824] {
            let magnitudes: Vec<f32> = random(1, count).iter().map(|value| 0.1 + 0.02 * value).collect();
            let nested = nest(&magnitudes);
            assert_eq!((nested.codes.len(), nested.absmax.len()), (count, count.div_ceil(BLOCK)));
            for ((actual, expected), i) in nested.magnitudes().iter().zip(&magnitudes).zip(0..) {
                // The widest step of the map is 0.9 / 64, and its table has steps of 2 / 65,535.
                let step = nested.absmax[i / BLOCK] * (0.9 / 128.0 + 2e-5);
                assert!((actual - expected).abs() <= step * 1.01 + 1e-7);
            }
        }
    }

    #[test]
    fn a_mean_is_that_of_float64_within_its_last_digits() {
        for count in [1, 3, 8, 31, 32, 33, 511, 512, 13_824, 100_003] {
            let values: Vec<f32> = random(2, count).iter().map(|value| value + 1.5).collect();
            let exact = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count as f64;
            assert!((f64::from(mean(&values)) - exact).abs() <= 2e-7 * exact);
        }
    }
}
