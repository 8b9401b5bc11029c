use super::*;
use crate::kernels::testing::{assert_close, each_setting, random};

const SIZES: [(usize, usize, usize); 11] = [
    (0, 3, 2),
    (3, 0, 2),
    (3, 2, 0),
    (1, 1, 1),
    (1, 16, 97),
    (7, 4, 33),
    (61, 8, 64),
    (8, 61, 64),
    (97, 101, 16),
    (16, 64, 331),
    (130, 16, 300),
];

fn naive(c: &[f32], a: &[f32], b: &[f32], shape: Shape) -> Vec<f64> {
    let Shape { m, n, k, transpose_a, transpose_b, alpha, accumulate } = shape;
    let element = |i: usize| {
        let (row, column) = (i / n, i % n);
        let product = |j: usize| {
            let a = a[if transpose_a { j * m + row } else { row * k + j }];
            f64::from(a) * f64::from(b[if transpose_b { column * k + j } else { j * n + column }])
        };
        let before = if accumulate { f64::from(c[i]) } else { 0.0 };
        before + f64::from(alpha) * (0..k).map(product).sum::<f64>()
    };
    (0..m * n).map(element).collect()
}

#[test]
fn every_layout_equals_naive_loops() {
    for (m, n, k) in SIZES {
        let (a, b, c0) = (random(1, m * k), random(2, k * n), random(3, m * n));
        for flags in 0..16 {
            let flag = |bit: usize| flags >> bit & 1 == 1;
            let alpha = if flag(3) { 0.37 } else { 1.0 };
            let shape = Shape { m, n, k, transpose_a: flag(0), transpose_b: flag(1), alpha, accumulate: flag(2) };
            let expected = naive(&c0, &a, &b, shape);
            each_setting(|isa| {
                let mut c = if shape.accumulate { c0.clone() } else { vec![f32::NAN; m * n] };
                gemm(isa, &mut c, &a, &b, shape);
                if expected.iter().any(|c| *c != 0.0) {
                    assert_close(&c, &expected, 1e-6);
                } else {
                    assert!(c.iter().all(|c| *c == 0.0), "{shape:?}");
                }
            });
        }
    }
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch_bit_for_bit() {
    let (rows, n, k) = (101, 24, 97);
    let (a, b, c0) = (random(1, rows * k), random(2, k * n), random(3, rows * n));
    for transpose_b in [false, true] {
        let shape = Shape { m: rows, n, k, transpose_a: false, transpose_b, alpha: 0.37, accumulate: true };
        each_setting(|isa| {
            let mut c = c0.clone();
            gemm(isa, &mut c, &a, &b, shape);
            for row in [0, 5, 100] {
                let mut alone = c0[row * n..][..n].to_vec();
                gemm(isa, &mut alone, &a[row * k..][..k], &b, Shape { m: 1, ..shape });
                assert_eq!(alone, c[row * n..][..n]);
            }
        });
    }
}
