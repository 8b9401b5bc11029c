use super::*;
use crate::kernels::codec::bf16::round_to_bf16;
use crate::kernels::packed::Format;
use crate::kernels::testing::{assert_close, each_setting, random};

/// (rows, out, in): 0, 1, primes, whole tiles, and both sides of every block size.
const SHAPES: [(usize, usize, usize); 17] = [
    (0, 5, 3),
    (1, 1, 1),
    (3, 16, 2),
    (2, 17, 31),
    (5, 7, 0),
    (4, 0, 7),
    (1, 67, 97),
    (7, 64, 96),
    (12, 101, 13),
    (13, 101, 13),
    (19, 33, 331),
    (6, 331, 33),
    (31, 130, 641),
    (241, 35, 37),
    (391, 21, 35),
    (3, 5, 1601),
    (3, 1601, 5),
];

fn thawed(weight: &Packed) -> Vec<f32> {
    let mut dense = vec![0.0; weight.out * weight.inputs];
    weight.thaw(&mut dense);
    dense
}

/// Every setting with every kind of activations that its instruction set takes.
fn each_product(body: impl Fn(Isa, Activations)) {
    each_setting(|isa| Activations::available(isa).for_each(|activations| body(isa, activations)));
}

/// c0 + a · b in float64, where b(k, column).
fn naive(c: &[f32], a: &[f32], rows: usize, columns: usize, depth: usize, b: impl Fn(usize, usize) -> f32) -> Vec<f64> {
    let element = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        let product = |k| f64::from(a[row * depth + k]) * f64::from(b(k, column));
        f64::from(c[i]) + (0..depth).map(product).sum::<f64>()
    };
    (0..rows * columns).map(element).collect()
}

/// What the operands of a product are rounded to; their sums are float32 all the same.
#[derive(PartialEq)]
enum Rounding {
    None,
    Bf16,
    Int8,
}

fn rounding(format: Format, activations: Activations) -> Rounding {
    match (activations, format) {
        (Activations::F32, _) | (_, Format::F32) => Rounding::None,
        (Activations::Bf16, _) => Rounding::Bf16,
        (Activations::Int8, _) => Rounding::Int8,
    }
}

fn in_bf16(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| f32::from_bits(u32::from(round_to_bf16(*value)) << 16)).collect()
}

/// The kernels multiply by 1 / scale, which matters on the edge between two codes.
fn code(value: f32, scale: f32) -> f32 {
    if scale > 0.0 { (value * (1.0 / scale)).round_ties_even() } else { 0.0 }
}

/// Codes of -127 to 127 times a scale for each 32 of a row.
fn in_int8(rows: &[f32], depth: usize) -> Vec<f32> {
    let rounded = |values: &[f32]| {
        let scale = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
        values.iter().map(|value| code(*value, scale) * scale).collect::<Vec<_>>()
    };
    rows.chunks(depth.max(1)).flat_map(|row| row.chunks(32)).flat_map(rounded).collect()
}

/// The largest magnitude of each row of W, / 127.
fn row_scales(dense: &[f32], inputs: usize) -> Vec<f32> {
    let largest = |row: &[f32]| row.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs())) / 127.0;
    dense.chunks(inputs.max(1)).map(largest).collect()
}

/// What both products are made of: x and W of x · Wᵀ, dy and W of dy · W.
fn operands(
    (x, dy, w): (&[f32], &[f32], &[f32]),
    scales: &[f32],
    (out, inputs): (usize, usize),
    rounding: Rounding,
) -> [[Vec<f32>; 2]; 2] {
    match rounding {
        Rounding::None => [[x.to_vec(), w.to_vec()], [dy.to_vec(), w.to_vec()]],
        Rounding::Bf16 => [[in_bf16(x), in_bf16(w)], [in_bf16(dy), in_bf16(w)]],
        Rounding::Int8 => {
            let codes: Vec<f32> = w.iter().enumerate().map(|(i, weight)| code(*weight, scales[i / inputs])).collect();
            let weights = codes.iter().enumerate().map(|(i, code)| code * scales[i / inputs]).collect();
            // The scales of W's rows are taken into dy before it is rounded.
            let scale = |row: usize| scales.get(row).copied().unwrap_or(0.0);
            let scaled: Vec<f32> = dy.iter().enumerate().map(|(i, dy)| dy * scale(i % out)).collect();
            [[in_int8(x, inputs), weights], [in_int8(&scaled, out), codes]]
        }
    }
}

#[test]
fn both_directions_equal_naive_loops_over_the_thawed_weight() {
    for format in Format::ALL {
        for (rows, out, inputs) in SHAPES {
            let weight = Packed::new(&random(1, out * inputs), out, inputs, format);
            let dense = thawed(&weight);
            let scales = row_scales(&dense, inputs);
            let (x, dy) = (random(2, rows * inputs), random(3, rows * out));
            for accumulate in [false, true] {
                let before = |count| if accumulate { random(4, count) } else { vec![0.0; count] };
                let (y0, dx0) = (before(rows * out), before(rows * inputs));
                each_product(|isa, activations| {
                    // What is not accumulated must not be read.
                    let start =
                        |before: &[f32]| if accumulate { before.to_vec() } else { vec![f32::NAN; before.len()] };
                    let (mut y, mut dx) = (start(&y0), start(&dx0));
                    forward(isa, activations, &mut y, &x, &weight, rows, accumulate);
                    backward(isa, activations, &mut dx, &dy, &weight, rows, accumulate);
                    let rounding = rounding(format, activations);
                    let [[x, w], [dy, w_back]] = operands((&x, &dy, &dense), &scales, (out, inputs), rounding);
                    let y_expected = naive(&y0, &x, rows, out, inputs, |k, column| w[column * inputs + k]);
                    let dx_expected = naive(&dx0, &dy, rows, inputs, out, |k, column| w_back[k * inputs + column]);
                    for (actual, expected) in [(y, y_expected), (dx, dx_expected)] {
                        if expected.iter().any(|value| *value != 0.0) {
                            assert_close(&actual, &expected, 1e-6);
                        } else {
                            assert!(actual.iter().all(|value| *value == 0.0));
                        }
                    }
                });
            }
        }
    }
}

/// The law that a tenant's answer cannot depend on its neighbours: a row alone, in a small batch and in a large one, on any
/// number of threads, has the same bits.
#[test]
fn a_row_alone_equals_the_row_in_any_batch_bit_for_bit() {
    for format in Format::ALL {
        for (out, inputs) in [(97, 661), (661, 97), (40, 64)] {
            let weight = Packed::new(&random(1, out * inputs), out, inputs, format);
            let most = 251;
            let (x, dy) = (random(2, most * inputs), random(3, most * out));
            for accumulate in [false, true] {
                let (y0, dx0) = (random(4, most * out), random(5, most * inputs));
                each_product(|isa, activations| {
                    let run = |first: usize, rows: usize| {
                        let (mut y, mut dx) =
                            (y0[first * out..][..rows * out].to_vec(), dx0[first * inputs..][..rows * inputs].to_vec());
                        let (x, dy) = (&x[first * inputs..][..rows * inputs], &dy[first * out..][..rows * out]);
                        forward(isa, activations, &mut y, x, &weight, rows, accumulate);
                        backward(isa, activations, &mut dx, dy, &weight, rows, accumulate);
                        (y, dx)
                    };
                    let (y, dx) = run(0, most);
                    for (first, rows) in [(0, 1), (250, 1), (7, 2), (100, 5), (3, 12), (3, 13), (40, 100)] {
                        let (few_y, few_dx) = run(first, rows);
                        let case = format!("{format:?} {activations:?} {isa:?}, {rows} rows");
                        assert_eq!(few_y, y[first * out..][..rows * out], "forward {case}");
                        assert_eq!(few_dx, dx[first * inputs..][..rows * inputs], "backward {case}");
                    }
                });
            }
        }
    }
}

/// Formats differ only in what their codes stand for.
#[test]
fn a_format_gives_the_bits_of_its_thawed_copy() {
    for (format, inputs) in [(Format::Bf16, 335), (Format::Int8, 335), (Format::Nf4, 335), (Format::Nf4, 384)] {
        let (rows, out) = (29, 83);
        let (x, dy) = (random(2, rows * inputs), random(3, rows * out));
        let weight = Packed::new(&random(1, out * inputs), out, inputs, format);
        let exact = Packed::new(&thawed(&weight), out, inputs, Format::F32);
        each_setting(|isa| {
            for rows in [1, rows] {
                let run = |weight: &Packed| {
                    let (mut y, mut dx) = (vec![0.0; rows * out], vec![0.0; rows * inputs]);
                    forward(isa, Activations::F32, &mut y, &x[..rows * inputs], weight, rows, false);
                    backward(isa, Activations::F32, &mut dx, &dy[..rows * out], weight, rows, false);
                    (y, dx)
                };
                assert_eq!(run(&weight), run(&exact));
            }
        });
    }
}

#[test]
fn a_sum_over_a_whole_vocabulary_keeps_its_digits() {
    let (rows, out, inputs) = (13, 49_152, 16);
    // Terms of one sign: nothing cancels, so a long chain of additions drops the ends of most of them.
    let positive = |seed, count| random(seed, count).iter().map(|value| value.abs()).collect::<Vec<_>>();
    let weight = Packed::new(&positive(1, out * inputs), out, inputs, Format::F32);
    let (dense, dy) = (thawed(&weight), positive(2, rows * out));
    let expected = naive(&vec![0.0; rows * inputs], &dy, rows, inputs, out, |k, column| dense[k * inputs + column]);
    each_setting(|isa| {
        let mut dx = vec![f32::NAN; rows * inputs];
        backward(isa, Activations::F32, &mut dx, &dy, &weight, rows, false);
        assert_close(&dx, &expected, 3e-7);
    });
}

#[test]
fn an_activation_that_is_not_finite_is_seen_in_its_row_alone_and_a_tiny_one_is_none() {
    for format in [Format::Bf16, Format::Int8, Format::Nf4] {
        let (out, inputs) = (130, 130);
        let weight = Packed::new(&random(1, out * inputs), out, inputs, format);
        each_product(|isa, activations| {
            for product in [forward, backward] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut x = random(2, 3 * inputs);
                    x[inputs + 129] = bad;
                    let mut y = vec![0.0; 3 * out];
                    product(isa, activations, &mut y, &x, &weight, 3, false);
                    assert!(y[..out].iter().chain(&y[2 * out..]).all(|value| value.is_finite()));
                    assert!(y[out..2 * out].iter().all(|value| !value.is_finite()));
                }
                let mut y = vec![f32::NAN; out];
                product(isa, activations, &mut y, &vec![1e-42; inputs], &weight, 1, false);
                assert!(y.iter().all(|value| value.abs() < 1e-38));
            }
        });
    }
}
