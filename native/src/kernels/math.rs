//! Functions of numbers and sums of slices in a fixed order, written so that loops over them vectorise.
use super::arithmetic::Arithmetic;

/// Partial sums that [`dot`] and its like keep: wide enough to hide the latency of additions, the same on every machine.
pub const LANES: usize = 32;

/// e^x to within 2 units in the last place. Results under the smallest normal number are 0; NaN stays NaN.
///
/// Cody and Waite's reduction: x = n·ln 2 + r with |r| <= ln(2)/2, then a polynomial in r (Cephes' minimax coefficients),
/// then 2^n by adding n to the exponent's bits. There are no branches.
#[inline(always)]
pub fn exp<A: Arithmetic>(x: f32) -> f32 {
    /// ln of the largest float, and of the smallest normal one.
    const HIGHEST: f32 = 88.722_84;
    const LOWEST: f32 = -87.336_54;
    /// Adding and subtracting 1.5 · 2^23 rounds to the nearest integer, which is left in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few enough bits that n times it is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;

    let shifted = A::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = A::mul_add(n, -LN2_LOW, A::mul_add(n, -LN2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    p = A::mul_add(p, r, 1.398_199_9e-3);
    p = A::mul_add(p, r, 8.333_452e-3);
    p = A::mul_add(p, r, 4.166_579_6e-2);
    p = A::mul_add(p, r, 1.666_666_6e-1);
    p = A::mul_add(p, r, 0.5);
    p = A::mul_add(p, r * r, r) + 1.0;
    let y = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    let y = if x > HIGHEST { f32::INFINITY } else { y };
    let y = if x < LOWEST { 0.0 } else { y };
    if x.is_nan() { x } else { y }
}

/// The larger of two numbers; `a` if either is NaN. (`f32::max` takes three instructions instead of one.)
#[inline(always)]
pub fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Adds (or combines otherwise) lanes pairwise: the first half with the second, until one is left.
#[inline(always)]
pub fn reduce<const N: usize>(mut lanes: [f32; N], combine: impl Fn(f32, f32) -> f32) -> f32 {
    const { assert!(N.is_power_of_two()) };
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = combine(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Σ term(i) over `0..n`: element i goes to lane i mod [`LANES`] by `term(i, sum so far)`, then the lanes are added pairwise.
#[inline(always)]
fn sum_lanes(n: usize, term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let whole = n - n % LANES;
    let mut start = 0;
    while start < whole {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = term(start + lane, *sum);
        }
        start += LANES;
    }
    for (lane, sum) in sums.iter_mut().enumerate().take(n - whole) {
        *sum = term(whole + lane, *sum);
    }
    reduce(sums, |a, b| a + b)
}

/// Σ a_i · b_i in a fixed order.
#[inline(always)]
pub fn dot<A: Arithmetic>(a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    sum_lanes(a.len(), |i, sum| A::mul_add(a[i], b[i], sum))
}

/// Σ a_i · b_i · c_i in a fixed order.
#[inline(always)]
pub fn dot3<A: Arithmetic>(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let (b, c) = (&b[..a.len()], &c[..a.len()]);
    sum_lanes(a.len(), |i, sum| A::mul_add(a[i] * b[i], c[i], sum))
}

#[cfg(test)]
mod tests {
    use super::super::arithmetic::multiversion;
    use super::*;
    use crate::simd::Isa;

    multiversion! {
        fn exp_all(values: &mut [f32]) = exp_all_body;
        fn dot_once(a: &[f32], b: &[f32]) -> f32 = dot;
        fn dot3_once(a: &[f32], b: &[f32], c: &[f32]) -> f32 = dot3;
    }

    #[inline(always)]
    fn exp_all_body<A: Arithmetic>(values: &mut [f32]) {
        for value in values {
            *value = exp::<A>(*value);
        }
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for isa in Isa::available() {
            let inputs: Vec<f32> = (0..400_000).map(|i| -87.33 + i as f32 * (88.72 + 87.33) / 400_000.0).collect();
            let mut outputs = inputs.clone();
            exp_all(isa, &mut outputs);
            for (x, y) in inputs.iter().zip(&outputs) {
                let exact = f64::from(*x).exp();
                let unit = f64::from(f32::from_bits((exact as f32).to_bits() + 1)) - f64::from(exact as f32);
                let error = (f64::from(*y) - exact).abs() / unit;
                assert!(error <= 2.0, "{isa:?}: exp({x}) = {y}, {error} units off");
            }
        }
    }

    #[test]
    fn exp_at_the_ends() {
        for isa in Isa::available() {
            let inf = f32::INFINITY;
            let mut values =
                [-inf, -1e30, -104.0, -87.4, -0.0, 0.0, 88.73, 1e30, inf, f32::NAN, f32::from_bits(0xffff_ffff)];
            exp_all(isa, &mut values);
            assert_eq!(values[..9], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, inf, inf, inf], "{isa:?}");
            assert!(values[9].is_nan() && values[10].is_nan(), "{isa:?}");
        }
    }

    #[test]
    fn dots_match_float64_sums() {
        for isa in Isa::available() {
            for n in [0, 1, 2, 31, 32, 33, 97, 576, 1000] {
                let [a, b, c] =
                    [3, 5, 7].map(|k| (0..n).map(|i| ((i * k % 11) as f32 - 5.0) / 4.0).collect::<Vec<f32>>());
                let exact: f64 = (0..n).map(|i| f64::from(a[i]) * f64::from(b[i])).sum();
                let exact3: f64 = (0..n).map(|i| f64::from(a[i]) * f64::from(b[i]) * f64::from(c[i])).sum();
                assert!((f64::from(dot_once(isa, &a, &b)) - exact).abs() <= 1e-4, "{isa:?} n={n}");
                assert!((f64::from(dot3_once(isa, &a, &b, &c)) - exact3).abs() <= 1e-4, "{isa:?} n={n}");
            }
        }
    }

    #[test]
    fn larger_keeps_the_first_when_unordered() {
        assert_eq!(larger(1.0, 2.0), 2.0);
        assert_eq!(larger(2.0, f32::NAN), 2.0);
    }
}
