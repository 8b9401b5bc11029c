//! The gated activation y = silu(gate) · up (Shazeer, 2020) and its vjp, elementwise over [T, F].
use super::arithmetic::{Arithmetic, multiversion};
use super::math::exp;
use crate::pool::{SharedMut, for_rows};
use crate::simd::Isa;
use std::ops::Range;

/// Elements that are worth a thread's while.
const GRAIN: usize = 8192;

pub fn swiglu_forward(isa: Isa, y: &mut [f32], gate: &[f32], up: &[f32]) {
    let length = y.len();
    let y = SharedMut::new(y);
    for_rows(length, GRAIN, |range| {
        // SAFETY: the ranges of two parts do not overlap.
        let y = unsafe { y.slice(range.clone()) };
        forward_range(isa, y, &gate[range.clone()], &up[range]);
    });
}

/// Where [`swiglu_backward`] reads and writes: pointers, since a gradient may be written over `dy`.
#[derive(Clone, Copy)]
pub struct SwigluGradients {
    pub dgate: *mut f32,
    pub dup: *mut f32,
    pub dy: *const f32,
}

// SAFETY: the parts of `swiglu_backward` use disjoint ranges of the pointers.
unsafe impl Sync for SwigluGradients {}

/// Writes dgate and dup from dy.
///
/// # Safety
/// The three pointers are valid for `gate.len()` elements. Each output either is `dy` or does not overlap it, and the two
/// do not overlap each other, nor `gate` and `up`.
pub unsafe fn swiglu_backward(isa: Isa, gradients: SwigluGradients, gate: &[f32], up: &[f32]) {
    for_rows(gate.len(), GRAIN, |range| backward_range(isa, &gradients, range, gate, up));
}

multiversion! {
    fn forward_range(y: &mut [f32], gate: &[f32], up: &[f32]) = forward_body;
    fn backward_range(gradients: &SwigluGradients, range: Range<usize>, gate: &[f32], up: &[f32]) = backward_body;
}

#[inline(always)]
fn sigmoid<A: Arithmetic>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

#[inline(always)]
fn forward_body<A: Arithmetic>(y: &mut [f32], gate: &[f32], up: &[f32]) {
    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
        *y = gate * sigmoid::<A>(*gate) * up;
    }
}

/// silu'(g) = σ(g) · (1 + g · (1 − σ(g))). A chunk of dy is copied before the gradients are written over it.
#[inline(always)]
fn backward_body<A: Arithmetic>(gradients: &SwigluGradients, range: Range<usize>, gate: &[f32], up: &[f32]) {
    const CHUNK: usize = 256;
    let mut dgate = [0.0f32; CHUNK];
    let mut dup = [0.0f32; CHUNK];
    for start in range.clone().step_by(CHUNK) {
        let chunk = start..range.end.min(start + CHUNK);
        let count = chunk.len();
        // SAFETY: the caller vouches for the pointers; the chunk lies inside them.
        unsafe { std::ptr::copy_nonoverlapping(gradients.dy.add(start), dup.as_mut_ptr(), count) };
        let terms = dgate.iter_mut().zip(&mut dup).zip(&gate[chunk.clone()]).zip(&up[chunk]);
        for (((dgate, dup), gate), up) in terms {
            let (dy, sigma) = (*dup, sigmoid::<A>(*gate));
            *dup = dy * (gate * sigma);
            *dgate = dy * up * (sigma * A::mul_add(*gate, 1.0 - sigma, 1.0));
        }
        // SAFETY: as above; outputs do not overlap each other, and this chunk of dy has been read.
        unsafe {
            std::ptr::copy_nonoverlapping(dgate.as_ptr(), gradients.dgate.add(start), count);
            std::ptr::copy_nonoverlapping(dup.as_ptr(), gradients.dup.add(start), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, each_setting, random};

    fn spread(seed: u64, n: usize) -> Vec<f32> {
        random(seed, n).iter().map(|v| v * 9.0).collect()
    }

    fn backward(isa: Isa, dy: &[f32], gate: &[f32], up: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut dgate, mut dup) = (vec![f32::NAN; dy.len()], vec![f32::NAN; dy.len()]);
        let gradients = SwigluGradients { dgate: dgate.as_mut_ptr(), dup: dup.as_mut_ptr(), dy: dy.as_ptr() };
        // SAFETY: three separate arrays of the gate's length.
        unsafe { swiglu_backward(isa, gradients, gate, up) };
        (dgate, dup)
    }

    #[test]
    fn forward_and_backward_match_float64() {
        each_setting(|isa| {
            for n in [0, 1, 7, 255, 257, 20_011] {
                let (gate, up, dy) = (spread(1, n), random(2, n), random(3, n));
                let mut y = vec![f32::NAN; n];
                swiglu_forward(isa, &mut y, &gate, &up);
                let (dgate, dup) = backward(isa, &dy, &gate, &up);
                let exact = |term: fn(f64, f64, f64, f64) -> f64| -> Vec<f64> {
                    (0..n)
                        .map(|i| {
                            let [g, u, d] = [gate[i], up[i], dy[i]].map(f64::from);
                            term(g, u, d, 1.0 / (1.0 + (-g).exp()))
                        })
                        .collect()
                };
                assert_close(&y, &exact(|g, u, _, s| g * s * u), 1e-6);
                assert_close(&dgate, &exact(|g, u, d, s| d * u * s * (1.0 + g * (1.0 - s))), 1e-6);
                assert_close(&dup, &exact(|g, _, d, s| d * g * s), 1e-6);
            }
        });
    }

    #[test]
    fn gradients_may_be_written_over_dy() {
        each_setting(|isa| {
            let n = 20_011;
            let (gate, up, dy) = (spread(1, n), random(2, n), random(3, n));
            let expected = backward(isa, &dy, &gate, &up);
            for over_dgate in [true, false] {
                let (mut same, mut other) = (dy.clone(), vec![f32::NAN; n]);
                let (same_pointer, other_pointer) = (same.as_mut_ptr(), other.as_mut_ptr());
                let (dgate, dup) =
                    if over_dgate { (same_pointer, other_pointer) } else { (other_pointer, same_pointer) };
                // SAFETY: one output is dy itself, the other is separate.
                unsafe { swiglu_backward(isa, SwigluGradients { dgate, dup, dy: same_pointer }, &gate, &up) };
                let (dgate, dup) = if over_dgate { (same, other) } else { (other, same) };
                assert_eq!((dgate, dup), expected);
            }
        });
    }

    #[test]
    fn an_element_does_not_depend_on_its_place() {
        each_setting(|isa| {
            let n = 19_999;
            let (gate, up) = (spread(1, n), random(2, n));
            let (mut y, mut shifted) = (vec![0.0; n], vec![0.0; n - 3]);
            swiglu_forward(isa, &mut y, &gate, &up);
            swiglu_forward(isa, &mut shifted, &gate[3..], &up[3..]);
            assert_eq!(y[3..], shifted);
        });
    }

    #[test]
    fn extreme_gates_saturate() {
        each_setting(|isa| {
            let gate = [-200.0, -88.0, 0.0, 88.0, 200.0];
            let mut y = [f32::NAN; 5];
            swiglu_forward(isa, &mut y, &gate, &[1.0; 5]);
            assert!(y[..2].iter().all(|v| v.abs() <= 1e-30) && y[2] == 0.0 && y[3..] == gate[3..], "{y:?}");
            let (dgate, dup) = backward(isa, &[1.0; 5], &gate, &[1.0; 5]);
            assert!(dgate[..2].iter().chain(&dup[..3]).all(|v| v.abs() <= 1e-30), "{dgate:?} {dup:?}");
            assert_eq!((dgate[2], &dgate[3..], &dup[3..]), (0.5, &[1.0, 1.0][..], &gate[3..]));
        });
    }
}
