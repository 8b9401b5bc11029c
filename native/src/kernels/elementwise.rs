//! Sums over whole arrays: y += alpha · x, and the squared norm of a gradient; and the place of a row's highest number.
use super::arithmetic::{Arithmetic, multiversion};
use super::math::{larger, reduce};
use crate::pool::{SharedMut, for_rows};
use crate::simd::Isa;

/// y += alpha · x
pub fn axpy(isa: Isa, y: &mut [f32], x: &[f32], alpha: f32) {
    let length = y.len();
    let y = SharedMut::new(y);
    for_rows(length, 16_384, |range| {
        // SAFETY: the ranges of two parts do not overlap.
        let y = unsafe { y.slice(range.clone()) };
        axpy_range(isa, y, &x[range], alpha);
    });
}

/// Σ x² in float64. The array is cut into chunks of one fixed size, whose sums are added in order: threads cannot change it.
pub fn sum_squares(isa: Isa, x: &[f32]) -> f64 {
    const CHUNK: usize = 8192;
    let mut sums = vec![0.0; x.len().div_ceil(CHUNK)];
    let count = sums.len();
    let shared = SharedMut::new(&mut sums);
    for_rows(count, 1, |range| {
        // SAFETY: the ranges of two parts do not overlap.
        let sums = unsafe { shared.slice(range.clone()) };
        for (sum, chunk) in sums.iter_mut().zip(x.chunks(CHUNK).skip(range.start)) {
            *sum = sum_squares_chunk(isa, chunk);
        }
    });
    // Not `sum()`: that of nothing is -0.
    sums.iter().fold(0.0, |total, sum| total + sum)
}

/// best[n] = the first place of the highest of row n of x, or -1 where the row has a NaN: it has no highest then.
pub fn argmax_rows(isa: Isa, best: &mut [i32], x: &[f32]) {
    let rows = best.len();
    let width = x.len().checked_div(rows).unwrap_or(0);
    let best = SharedMut::new(best);
    for_rows(rows, (16_384 / width.max(1)).max(1), |range| {
        // SAFETY: the ranges of two parts do not overlap.
        let best = unsafe { best.slice(range.clone()) };
        for (best, row) in best.iter_mut().zip(range) {
            *best = argmax(isa, &x[row * width..(row + 1) * width]);
        }
    });
}

multiversion! {
    fn argmax(x: &[f32]) -> i32 = argmax_body;
    fn axpy_range(y: &mut [f32], x: &[f32], alpha: f32) = axpy_body;
    fn sum_squares_chunk(x: &[f32]) -> f64 = sum_squares_body;
}

/// First the highest, by lanes; then where it is.
#[inline(always)]
fn argmax_body<A: Arithmetic>(x: &[f32]) -> i32 {
    const LANES: usize = 32;
    let mut highest = [f32::NEG_INFINITY; LANES];
    // Not 0 where a lane has met a NaN.
    let mut unordered = [0u32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for ((highest, unordered), x) in highest.iter_mut().zip(&mut unordered).zip(chunk) {
            *highest = larger(*highest, *x);
            *unordered |= u32::from(x.is_nan());
        }
    }
    for ((highest, unordered), x) in highest.iter_mut().zip(&mut unordered).zip(rest) {
        *highest = larger(*highest, *x);
        *unordered |= u32::from(x.is_nan());
    }
    if unordered.iter().any(|lane| *lane != 0) {
        return -1;
    }
    let highest = reduce(highest, larger);
    let is_in = |chunk: &[f32; LANES]| chunk.iter().fold(false, |found, x| found | (*x == highest));
    let skipped = whole.iter().position(is_in).unwrap_or(whole.len()) * LANES;
    x[skipped..].iter().position(|x| *x == highest).map_or(0, |place| skipped + place) as i32
}

#[inline(always)]
fn axpy_body<A: Arithmetic>(y: &mut [f32], x: &[f32], alpha: f32) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = A::mul_add(alpha, *x, *y);
    }
}

/// Element i goes to lane i mod 16; the lanes are added in order. A float32's square is exact in float64.
#[inline(always)]
fn sum_squares_body<A: Arithmetic>(x: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 16];
    let (whole, rest) = x.as_chunks::<16>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*x) * f64::from(*x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*x) * f64::from(*x);
    }
    lanes.iter().fold(0.0, |total, lane| total + lane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, each_setting, random};

    #[test]
    fn axpy_matches_float64() {
        each_setting(|isa| {
            for n in [0, 1, 17, 50_021] {
                let (x, mut y) = (random(1, n), random(2, n));
                let exact: Vec<f64> = y.iter().zip(&x).map(|(y, x)| f64::from(*y) - 0.3 * f64::from(*x)).collect();
                axpy(isa, &mut y, &x, -0.3);
                assert_close(&y, &exact, 1e-6);
            }
        });
    }

    #[test]
    fn the_squared_norm_is_one_value_for_all_settings() {
        for n in [0, 1, 17, 8192, 8193, 100_003] {
            let x = random(1, n);
            let exact: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let first = sum_squares(Isa::Portable, &x);
            assert!((first - exact).abs() <= 1e-12 * exact, "{first} {exact}");
            each_setting(|isa| assert_eq!(sum_squares(isa, &x), first));
        }
        assert!(sum_squares(Isa::Portable, &[]).is_sign_positive());
        assert!(sum_squares(Isa::Portable, &[1.0, f32::NAN]).is_nan());
    }

    #[test]
    fn the_first_highest_is_found_wherever_it_is() {
        each_setting(|isa| {
            for width in [1, 2, 31, 32, 33, 64, 97, 1009] {
                for place in [0, width / 2, width - 1] {
                    let mut x = random(1, 3 * width);
                    x[width + place] = 2.0;
                    x[2 * width - 1] = 2.0;
                    x[2 * width + place] = f32::NAN;
                    let mut best = [-2; 3];
                    argmax_rows(isa, &mut best, &x);
                    let first = (0..width).fold(0, |best, i| if x[i] > x[best] { i } else { best });
                    assert_eq!(best, [first as i32, place as i32, -1]);
                }
            }
            argmax_rows(isa, &mut [], &[]);
        });
    }
}
