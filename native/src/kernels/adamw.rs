//! One step of Adam with decoupled weight decay (Loshchilov and Hutter, 2019), in the form of `torch.optim.AdamW`.
use super::arithmetic::{Arithmetic, multiversion};
use crate::pool::{SharedMut, for_rows};
use crate::simd::Isa;

/// What a step needs besides the arrays. `step` is 1 for the first.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    pub step: f64,
    pub gradient_scale: f64,
}

/// The step's factors, worked out once in float64.
#[derive(Clone, Copy)]
struct Factors {
    gradient_scale: f32,
    decay: f32,
    keep1: f32,
    add1: f32,
    keep2: f32,
    add2: f32,
    /// 1 / sqrt(1 − beta2^step)
    correction2: f32,
    epsilon: f32,
    /// learning rate / (1 − beta1^step)
    rate: f32,
}

impl AdamW {
    fn factors(&self) -> Factors {
        Factors {
            gradient_scale: self.gradient_scale as f32,
            decay: (1.0 - self.learning_rate * self.weight_decay) as f32,
            keep1: self.beta1 as f32,
            add1: (1.0 - self.beta1) as f32,
            keep2: self.beta2 as f32,
            add2: (1.0 - self.beta2) as f32,
            correction2: (1.0 / (1.0 - self.beta2.powf(self.step)).sqrt()) as f32,
            epsilon: self.epsilon as f32,
            rate: (self.learning_rate / (1.0 - self.beta1.powf(self.step))) as f32,
        }
    }
}

/// Updates weights and both moments in place. Gradients are multiplied by `gradient_scale` first.
pub fn adamw(
    isa: Isa,
    weights: &mut [f32],
    gradients: &[f32],
    moment1: &mut [f32],
    moment2: &mut [f32],
    options: &AdamW,
) {
    let factors = options.factors();
    let length = weights.len();
    let [weights, moment1, moment2] = [weights, moment1, moment2].map(SharedMut::new);
    for_rows(length, 8192, |range| {
        // SAFETY: the ranges of two parts do not overlap.
        let [weights, moment1, moment2] =
            [&weights, &moment1, &moment2].map(|shared| unsafe { shared.slice(range.clone()) });
        step_range(isa, weights, &gradients[range], moment1, moment2, factors);
    });
}

multiversion! {
    fn step_range(
        weights: &mut [f32],
        gradients: &[f32],
        moment1: &mut [f32],
        moment2: &mut [f32],
        factors: Factors
    ) = body;
}

#[inline(always)]
fn body<A: Arithmetic>(weights: &mut [f32], gradients: &[f32], moment1: &mut [f32], moment2: &mut [f32], f: Factors) {
    for (((weight, gradient), m), v) in weights.iter_mut().zip(gradients).zip(moment1).zip(moment2) {
        let gradient = gradient * f.gradient_scale;
        *m = A::mul_add(*m, f.keep1, gradient * f.add1);
        *v = A::mul_add(*v, f.keep2, gradient * gradient * f.add2);
        let denominator = A::mul_add(v.sqrt(), f.correction2, f.epsilon);
        *weight = A::mul_add(*weight, f.decay, -(f.rate * *m / denominator));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, each_setting, random};

    #[test]
    fn steps_match_float64() {
        let options = AdamW {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step: 0.0,
            gradient_scale: 0.25,
        };
        each_setting(|isa| {
            for n in [0, 1, 13, 20_011] {
                let mut weights = random(1, n);
                let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
                let mut exact: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
                let (mut exact_m, mut exact_v) = (vec![0.0f64; n], vec![0.0f64; n]);
                for step in 1..=4 {
                    let gradients = random(10 + step, n);
                    let options = AdamW { step: step as f64, ..options };
                    adamw(isa, &mut weights, &gradients, &mut m, &mut v, &options);
                    for i in 0..n {
                        let g = f64::from(gradients[i]) * options.gradient_scale;
                        exact[i] *= 1.0 - options.learning_rate * options.weight_decay;
                        exact_m[i] = options.beta1 * exact_m[i] + (1.0 - options.beta1) * g;
                        exact_v[i] = options.beta2 * exact_v[i] + (1.0 - options.beta2) * g * g;
                        let m_hat = exact_m[i] / (1.0 - options.beta1.powi(step as i32));
                        let v_hat = exact_v[i] / (1.0 - options.beta2.powi(step as i32));
                        exact[i] -= options.learning_rate * m_hat / (v_hat.sqrt() + options.epsilon);
                    }
                    assert_close(&weights, &exact, 3e-6);
                    assert_close(&m, &exact_m, 3e-6);
                    assert_close(&v, &exact_v, 1e-6);
                }
            }
        });
    }

    #[test]
    fn a_weight_does_not_depend_on_its_place() {
        let options = AdamW {
            learning_rate: 0.1,
            beta1: 0.8,
            beta2: 0.9,
            epsilon: 1e-6,
            weight_decay: 0.0,
            step: 3.0,
            gradient_scale: 1.0,
        };
        each_setting(|isa| {
            let n = 17_003;
            let step_from = |start: usize| {
                let [mut w, g, mut m] = [1, 2, 3].map(|seed| random(seed, n).split_off(start));
                let mut v: Vec<f32> = random(4, n).split_off(start).iter().map(|v| v * v).collect();
                adamw(isa, &mut w, &g, &mut m, &mut v, &options);
                (w, m, v)
            };
            let (whole, part) = (step_from(0), step_from(5));
            assert_eq!((whole.0[5..].to_vec(), whole.1[5..].to_vec(), whole.2[5..].to_vec()), part);
        });
    }
}
