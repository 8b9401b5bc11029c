//! Root-mean-square normalisation of rows (Zhang and Sennrich, 2019) and its vjp. x_TD, gain_D, rstd_T.
use super::arithmetic::{Arithmetic, multiversion};
use super::math::{dot, dot3};
use crate::pool::{SharedMut, for_rows};
use crate::simd::Isa;

/// Rows that are worth a thread's while.
fn grain(width: usize) -> usize {
    (8192 / width.max(1)).max(1)
}

/// y = x · rstd · gain, with rstd_T = 1/sqrt(mean(x²) + epsilon), which is written too.
pub fn rms_norm_forward(isa: Isa, y: &mut [f32], rstd: &mut [f32], x: &[f32], gain: &[f32], epsilon: f32) {
    let width = gain.len();
    let rows = rstd.len();
    let (y, rstd) = (SharedMut::new(y), SharedMut::new(rstd));
    for_rows(rows, grain(width), |range| {
        let elements = range.start * width..range.end * width;
        // SAFETY: the ranges of two parts do not overlap.
        let (y, rstd) = unsafe { (y.slice(elements.clone()), rstd.slice(range)) };
        forward_rows(isa, y, rstd, &x[elements], gain, epsilon);
    });
}

/// dx (+)= the vjp of [`rms_norm_forward`] at dy, with the forward's rstd. The gain is frozen and gets no gradient.
#[allow(clippy::too_many_arguments)]
pub fn rms_norm_backward(
    isa: Isa,
    dx: &mut [f32],
    dy: &[f32],
    x: &[f32],
    rstd: &[f32],
    gain: &[f32],
    accumulate: bool,
) {
    let width = gain.len();
    let dx = SharedMut::new(dx);
    for_rows(rstd.len(), grain(width), |range| {
        let elements = range.start * width..range.end * width;
        // SAFETY: the ranges of two parts do not overlap.
        let dx = unsafe { dx.slice(elements.clone()) };
        backward_rows(isa, dx, &dy[elements.clone()], &x[elements], &rstd[range], gain, accumulate);
    });
}

multiversion! {
    fn forward_rows(y: &mut [f32], rstd: &mut [f32], x: &[f32], gain: &[f32], epsilon: f32) = forward_body;
    fn backward_rows(dx: &mut [f32], dy: &[f32], x: &[f32], rstd: &[f32], gain: &[f32], accumulate: bool) = backward_body;
}

#[inline(always)]
fn forward_body<A: Arithmetic>(y: &mut [f32], rstd: &mut [f32], x: &[f32], gain: &[f32], epsilon: f32) {
    let width = gain.len();
    for (row, rstd) in rstd.iter_mut().enumerate() {
        let x = &x[row * width..][..width];
        let y = &mut y[row * width..][..width];
        *rstd = 1.0 / (dot::<A>(x, x) / width as f32 + epsilon).sqrt();
        for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
            *y = x * *rstd * gain;
        }
    }
}

/// With x̂ = x·rstd and g = dy·gain: dx = rstd · (g − x̂ · mean(g · x̂)).
#[inline(always)]
fn backward_body<A: Arithmetic>(dx: &mut [f32], dy: &[f32], x: &[f32], rstd: &[f32], gain: &[f32], accumulate: bool) {
    let width = gain.len();
    for (row, rstd) in rstd.iter().enumerate() {
        let x = &x[row * width..][..width];
        let dy = &dy[row * width..][..width];
        let dx = &mut dx[row * width..][..width];
        let mean = dot3::<A>(dy, gain, x) * rstd / width as f32;
        let along_x = -mean * rstd * rstd;
        let terms = dx.iter_mut().zip(dy).zip(x).zip(gain);
        if accumulate {
            for (((dx, dy), x), gain) in terms {
                *dx += A::mul_add(*x, along_x, dy * gain * rstd);
            }
        } else {
            for (((dx, dy), x), gain) in terms {
                *dx = A::mul_add(*x, along_x, dy * gain * rstd);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, each_setting, random};

    const EPSILON: f32 = 1e-5;

    fn forward(isa: Isa, x: &[f32], gain: &[f32], rows: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut y, mut rstd) = (vec![f32::NAN; x.len()], vec![f32::NAN; rows]);
        rms_norm_forward(isa, &mut y, &mut rstd, x, gain, EPSILON);
        (y, rstd)
    }

    #[test]
    fn forward_and_backward_match_float64() {
        each_setting(|isa| {
            for (rows, width) in [(0, 4), (1, 1), (3, 7), (5, 64), (67, 97), (129, 576)] {
                let [x, dy, before] = [1, 2, 3].map(|seed| random(seed, rows * width));
                let gain = random(4, width);
                let (y, rstd) = forward(isa, &x, &gain, rows);
                let mut dx = [before.clone(), before.clone()];
                for (dx, accumulate) in dx.iter_mut().zip([false, true]) {
                    rms_norm_backward(isa, dx, &dy, &x, &rstd, &gain, accumulate);
                }
                let (mut exact_y, mut exact_dx) = (Vec::new(), Vec::new());
                for row in 0..rows {
                    let [x, dy] = [&x, &dy].map(|a| a[row * width..][..width].iter().map(|v| f64::from(*v)));
                    let gain = gain.iter().map(|v| f64::from(*v));
                    let mean = x.clone().map(|x| x * x).sum::<f64>() / width as f64;
                    let r = 1.0 / (mean + f64::from(EPSILON)).sqrt();
                    exact_y.extend(x.clone().zip(gain.clone()).map(|(x, g)| x * r * g));
                    let along = x.clone().zip(dy.clone()).zip(gain.clone()).map(|((x, d), g)| x * r * d * g);
                    let along = along.sum::<f64>() / width as f64;
                    exact_dx.extend(x.zip(dy).zip(gain).map(|((x, d), g)| r * (d * g - x * r * along)));
                }
                assert_close(&y, &exact_y, 2e-6);
                // A row of one element is normalised to its sign, so that its gradient is rounding noise around 0.
                if width > 1 {
                    assert_close(&dx[0], &exact_dx, 4e-6);
                }
                let sum: Vec<f64> = exact_dx.iter().zip(&before).map(|(a, b)| a + f64::from(*b)).collect();
                assert_close(&dx[1], &sum, 1e-5);
            }
        });
    }

    #[test]
    fn a_row_alone_is_the_row_in_a_batch() {
        each_setting(|isa| {
            let (rows, width) = (41, 576);
            let (x, dy, gain) = (random(1, rows * width), random(2, rows * width), random(3, width));
            let (y, rstd) = forward(isa, &x, &gain, rows);
            let mut dx = vec![f32::NAN; x.len()];
            rms_norm_backward(isa, &mut dx, &dy, &x, &rstd, &gain, false);
            for row in 0..rows {
                let at = row * width..(row + 1) * width;
                let (y_alone, rstd_alone) = forward(isa, &x[at.clone()], &gain, 1);
                let mut dx_alone = vec![f32::NAN; width];
                rms_norm_backward(isa, &mut dx_alone, &dy[at.clone()], &x[at.clone()], &rstd_alone, &gain, false);
                assert_eq!(y_alone, y[at.clone()]);
                assert_eq!(dx_alone, dx[at]);
            }
        });
    }
}
