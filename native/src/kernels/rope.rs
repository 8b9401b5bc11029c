//! Rotary positions (Su et al., 2021) in the half-split layout of Hugging Face's Llama. x_THE in place, positions_T.
use super::arithmetic::{Arithmetic, multiversion};
use crate::pool::{SharedMut, for_rows};
use crate::simd::Isa;

/// Rotates the pairs (x[i], x[i + E/2]) of every head by the angle that row `positions[t]` of `cos_sin` holds: E/2 cosines,
/// then E/2 sines. `inverse` rotates back, which is the vjp. Every position must lie in `cos_sin`.
pub fn rope(isa: Isa, x: &mut [f32], positions: &[i32], cos_sin: &[f32], heads: usize, width: usize, inverse: bool) {
    let row = heads * width;
    let x = SharedMut::new(x);
    for_rows(positions.len(), (8192 / row.max(1)).max(1), |range| {
        // SAFETY: the ranges of two parts do not overlap.
        let x = unsafe { x.slice(range.start * row..range.end * row) };
        rotate_rows(isa, x, &positions[range], cos_sin, heads, width, inverse);
    });
}

multiversion! {
    fn rotate_rows(x: &mut [f32], positions: &[i32], cos_sin: &[f32], heads: usize, width: usize, inverse: bool) = body;
}

#[inline(always)]
fn body<A: Arithmetic>(x: &mut [f32], positions: &[i32], cos_sin: &[f32], heads: usize, width: usize, inverse: bool) {
    let sign = if inverse { -1.0 } else { 1.0 };
    for (t, position) in positions.iter().enumerate() {
        let (cos, sin) = cos_sin[*position as usize * width..][..width].split_at(width / 2);
        for head in 0..heads {
            let (low, high) = x[(t * heads + head) * width..][..width].split_at_mut(width / 2);
            for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                let sin = sin * sign;
                (*a, *b) = (A::mul_add(*a, *cos, -(*b * sin)), A::mul_add(*b, *cos, *a * sin));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, each_setting, random};

    #[test]
    fn rotation_matches_float64_and_its_inverse_undoes_it() {
        each_setting(|isa| {
            for (rows, heads, width) in [(0, 1, 2), (1, 1, 2), (3, 2, 6), (67, 3, 64), (31, 9, 34)] {
                let angles = random(1, 101 * width / 2);
                let cos_sin: Vec<f32> = angles
                    .chunks(width / 2)
                    .flat_map(|row| row.iter().map(|a| a.cos()).chain(row.iter().map(|a| a.sin())))
                    .collect();
                let positions: Vec<i32> = (0..rows).map(|t| (t as i32 * 37) % 101).collect();
                let x = random(2, rows * heads * width);
                let mut rotated = x.clone();
                rope(isa, &mut rotated, &positions, &cos_sin, heads, width, false);
                let mut exact = vec![0.0; x.len()];
                for (i, exact) in exact.iter_mut().enumerate() {
                    let (t, e) = (i / (heads * width), i % width);
                    let row = &cos_sin[positions[t] as usize * width..][..width];
                    let half = width / 2;
                    let (cos, sin) = (f64::from(row[e % half]), f64::from(row[half + e % half]));
                    let (own, other) = if e < half { (x[i], -x[i + half]) } else { (x[i], x[i - half]) };
                    *exact = f64::from(own) * cos + f64::from(other) * sin;
                }
                assert_close(&rotated, &exact, 1e-6);
                for t in 0..rows {
                    let at = t * heads * width..(t + 1) * heads * width;
                    let mut alone = x[at.clone()].to_vec();
                    rope(isa, &mut alone, &positions[t..=t], &cos_sin, heads, width, false);
                    assert_eq!(alone, rotated[at]);
                }
                rope(isa, &mut rotated, &positions, &cos_sin, heads, width, true);
                let original: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
                assert_close(&rotated, &original, 1e-6);
            }
        });
    }
}
