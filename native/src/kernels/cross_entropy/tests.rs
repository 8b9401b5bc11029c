use super::*;
use crate::kernels::packed::Format;
use crate::kernels::testing::{assert_close, each_setting, random};

struct Case {
    x: Vec<f32>,
    weight: Packed,
    targets: Vec<i32>,
    weights: Vec<f32>,
}

impl Case {
    fn new(n: usize, vocabulary: usize, width: usize, format: Format) -> Self {
        let x = random(1, n * width).iter().map(|x| 3.0 * x).collect();
        let weight = Packed::new(&random(2, vocabulary * width), vocabulary, width, format);
        let targets = (0..n).map(|i| (i * 31 % vocabulary) as i32).collect();
        let weights = (0..n).map(|i| (i % 3) as f32 / 2.0).collect();
        Self { x, weight, targets, weights }
    }

    fn run(&self, isa: Isa, rows: std::ops::Range<usize>) -> (Vec<f32>, Vec<f32>, Vec<u8>) {
        self.run_with(isa, Activations::F32, rows)
    }

    fn run_with(
        &self,
        isa: Isa,
        activations: Activations,
        rows: std::ops::Range<usize>,
    ) -> (Vec<f32>, Vec<f32>, Vec<u8>) {
        let (n, width) = (rows.len(), self.weight.inputs);
        let (mut losses, mut dx, mut is_top) = (vec![f32::NAN; n], vec![f32::NAN; n * width], vec![7; n]);
        let results = Results { losses: &mut losses, dx: Some(&mut dx), is_top: Some(&mut is_top) };
        let x = &self.x[rows.start * width..rows.end * width];
        let (targets, weights) = (&self.targets[rows.clone()], &self.weights[rows]);
        linear_cross_entropy(isa, activations, results, x, &self.weight, targets, weights);
        (losses, dx, is_top)
    }

    /// Losses, dx and the top flags in float64.
    fn naive(&self) -> (Vec<f64>, Vec<f64>, Vec<u8>) {
        let (vocabulary, width) = (self.weight.out, self.weight.inputs);
        let mut dense = vec![0.0; vocabulary * width];
        self.weight.thaw(&mut dense);
        let dense: Vec<f64> = dense.into_iter().map(f64::from).collect();
        let (mut losses, mut dx, mut is_top) = (vec![], vec![], vec![]);
        for (row, &target) in self.targets.iter().enumerate() {
            let x: Vec<f64> = self.x[row * width..(row + 1) * width].iter().map(|x| f64::from(*x)).collect();
            let logits: Vec<f64> = dense.chunks(width).map(|w| w.iter().zip(&x).map(|(w, x)| w * x).sum()).collect();
            let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
            losses.push(sum.ln() - logits[target as usize]);
            is_top.push(u8::from(logits.iter().all(|logit| *logit <= logits[target as usize])));
            let weight = f64::from(self.weights[row]);
            let one_hot = |v: usize| f64::from(u8::from(v == target as usize));
            let dlogits: Vec<f64> = (0..vocabulary).map(|v| weight * (logits[v].exp() / sum - one_hot(v))).collect();
            dx.extend((0..width).map(|i| (0..vocabulary).map(|v| dlogits[v] * dense[v * width + i]).sum::<f64>()));
        }
        (losses, dx, is_top)
    }
}

#[test]
fn losses_gradients_and_flags_equal_naive_loops() {
    for format in Format::ALL {
        for (n, vocabulary, width) in [(0, 5, 3), (2, 1, 4), (3, 2, 1), (5, 17, 7), (23, 101, 33)] {
            let case = Case::new(n, vocabulary, width, format);
            let (losses, dx, is_top) = case.naive();
            each_setting(|isa| {
                for activations in Activations::available(isa) {
                    let actual = case.run_with(isa, activations, 0..n);
                    let is_rounded = activations != Activations::F32 && format != Format::F32;
                    let tolerance = if is_rounded { 2e-2 } else { 3e-6 };
                    if vocabulary == 1 {
                        assert!(actual.0.iter().chain(&actual.1).all(|value| *value == 0.0));
                    } else {
                        assert_close(&actual.0, &losses, tolerance);
                        assert_close(&actual.1, &dx, tolerance);
                    }
                    assert_eq!(actual.2, is_top);
                }
            });
        }
    }
}

/// Chunks of 130 rows hold 64, so that rows 64 and 129 are in other chunks than when they are alone.
#[test]
fn a_row_does_not_depend_on_its_chunk() {
    let case = Case::new(130, 80_000, 3, Format::F32);
    let isa = crate::simd::Isa::available().last().expect("there is always portable");
    let (losses, dx, is_top) = case.run(isa, 0..130);
    for row in [0, 63, 64, 129] {
        let alone = case.run(isa, row..row + 1);
        assert_eq!(alone, (vec![losses[row]], dx[row * 3..row * 3 + 3].to_vec(), vec![is_top[row]]));
    }
}

/// What is not asked for is not needed for the rest.
#[test]
fn losses_are_the_same_without_a_gradient() {
    let case = Case::new(7, 101, 5, Format::Bf16);
    each_setting(|isa| {
        let mut losses = vec![f32::NAN; 7];
        let results = Results { losses: &mut losses, dx: None, is_top: None };
        linear_cross_entropy(isa, Activations::F32, results, &case.x, &case.weight, &case.targets, &case.weights);
        assert_eq!(losses, case.run(isa, 0..7).0);
    });
}

#[test]
fn a_weight_of_zero_gives_no_gradient_and_a_nan_shows_in_the_loss() {
    let mut case = Case::new(3, 101, 5, Format::F32);
    case.weights = vec![0.0; 3];
    case.x[5] = f32::NAN;
    each_setting(|isa| {
        let (losses, dx, _) = case.run(isa, 0..3);
        assert!(losses[0].is_finite() && losses[1].is_nan() && losses[2].is_finite());
        assert!(dx.iter().all(|dx| *dx == 0.0));
    });
}
