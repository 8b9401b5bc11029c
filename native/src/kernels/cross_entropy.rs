//! Cross-entropy of softmax(x · Wᵀ), fused with the linear layer: chunks of rows, so that no [N, V] matrix is ever held (the
//! method of Liger's fused linear cross-entropy, Hsu et al., 2024). The gradient is made in the same pass.
use super::arithmetic::{Arithmetic, multiversion};
use super::linear::{self, Activations};
use super::math::{exp, larger};
use super::packed::Packed;
use super::scratch::{Scratch, with_scratch};
use crate::pool::{SharedMut, for_rows};
use crate::simd::Isa;

/// Bytes of a chunk's logits, at most.
const CHUNK_BYTES: usize = 32 << 20;
/// Fewer rows would wait for the weight, which each chunk reads once.
const CHUNK_ROWS: usize = 64;

/// Where the results of N rows go.
pub struct Results<'a> {
    /// [N] −log p(target), unweighted.
    pub losses: &'a mut [f32],
    /// [N, D] weight · d loss / dx.
    pub dx: Option<&'a mut [f32]>,
    /// [N] 1 where no logit is higher than the target's.
    pub is_top: Option<&'a mut [u8]>,
}

/// x is [N, D], the weight [V, D], targets and weights [N]. Panics on a target outside the vocabulary.
pub fn linear_cross_entropy(
    isa: Isa,
    activations: Activations,
    results: Results<'_>,
    x: &[f32],
    weight: &Packed,
    targets: &[i32],
    weights: &[f32],
) {
    thread_local!(static LOGITS: Scratch = const { Scratch::new() });
    let (n, width, vocabulary) = (targets.len(), weight.inputs, weight.out);
    let Results { losses, mut dx, mut is_top } = results;
    assert_eq!((x.len(), weights.len(), losses.len()), (n * width, n, n));
    assert!(dx.as_ref().is_none_or(|dx| dx.len() == n * width) && is_top.as_ref().is_none_or(|top| top.len() == n));
    assert!(targets.iter().all(|&target| usize::try_from(target).is_ok_and(|target| target < vocabulary)));
    // Where few rows have a loss, their logits should not be most of what a step holds.
    let chunk = n.div_ceil(3).max(CHUNK_ROWS).min(CHUNK_BYTES / 4 / vocabulary.max(1)).clamp(1, n.max(1));
    with_scratch(&LOGITS, chunk * vocabulary, |buffer| {
        for start in (0..n).step_by(chunk) {
            let rows = start..n.min(start + chunk);
            let logits = &mut buffer[..rows.len() * vocabulary];
            let x = &x[rows.start * width..rows.end * width];
            linear::forward(isa, activations, logits, x, weight, rows.len(), false);

            let shared_logits = SharedMut::new(logits);
            let shared_losses = SharedMut::new(&mut losses[rows.clone()]);
            let shared_top = is_top.as_mut().map(|is_top| SharedMut::new(&mut is_top[rows.clone()]));
            let with_gradient = dx.is_some();
            for_rows(rows.len(), 1, |part| {
                for row in part {
                    // SAFETY: parts are disjoint rows.
                    let (logits, loss) = unsafe {
                        let logits = shared_logits.slice(row * vocabulary..(row + 1) * vocabulary);
                        (logits, &mut shared_losses.slice(row..row + 1)[0])
                    };
                    let target = targets[rows.start + row] as usize;
                    let (row_loss, top) = softmax_loss(isa, logits, target, weights[rows.start + row], with_gradient);
                    *loss = row_loss;
                    if let Some(is_top) = &shared_top {
                        // SAFETY: as above.
                        unsafe { is_top.slice(row..row + 1)[0] = u8::from(top) };
                    }
                }
            });
            if let Some(dx) = dx.as_mut() {
                let dx = &mut dx[rows.start * width..rows.end * width];
                linear::backward(isa, activations, dx, logits, weight, rows.len(), false);
            }
        }
    });
}

multiversion! {
    /// The loss of one row and whether its target is on top; with a gradient, the logits become weight · (p − onehot).
    fn softmax_loss(logits: &mut [f32], target: usize, weight: f32, with_gradient: bool) -> (f32, bool) = softmax_loss_body;
}

/// Partial sums, so that additions do not wait for one another.
const LANES: usize = 16;

#[inline(always)]
fn softmax_loss_body<A: Arithmetic>(
    logits: &mut [f32],
    target: usize,
    weight: f32,
    with_gradient: bool,
) -> (f32, bool) {
    let mut highest = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = logits.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            highest[lane] = larger(highest[lane], block[lane]);
        }
    }
    let highest = rest.iter().chain(&highest).fold(f32::NEG_INFINITY, |a, &b| larger(a, b));

    // A sum over the vocabulary is kept in float64: tens of thousands of small terms.
    let mut sums = [0.0_f64; LANES];
    for block in blocks {
        for lane in 0..LANES {
            sums[lane] += f64::from(exp::<A>(block[lane] - highest));
        }
    }
    for (lane, &logit) in rest.iter().enumerate() {
        sums[lane] += f64::from(exp::<A>(logit - highest));
    }
    let sum = sums.iter().sum::<f64>();
    let target_logit = logits[target];
    let loss = (sum.ln() + f64::from(highest) - f64::from(target_logit)) as f32;
    if with_gradient {
        // p = exp(logit - highest) / sum: the logarithm of the sum as a float32 would lose p's last bits. A weight of 0 gives a
        // gradient of 0 even where a logit is infinite.
        let scale = (f64::from(weight) / sum) as f32;
        for logit in logits.iter_mut() {
            *logit = if weight == 0.0 { 0.0 } else { scale * exp::<A>(*logit - highest) };
        }
        logits[target] -= weight;
    }
    (loss, target_logit >= highest)
}

#[cfg(test)]
mod tests;
