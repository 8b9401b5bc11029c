use super::*;
use crate::kernels::gemm::{Shape, gemm};
use crate::kernels::lanes::WIDTH;
use crate::kernels::row_program::{Program, Span};
use crate::kernels::testing::{each_setting, random};
use std::sync::Arc;

/// An adapter's numbers at slot 0, in the plain layout and packed.
struct Example {
    rank: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    /// Of float32, so that its bytes are aligned.
    memory: Vec<f32>,
    program: Arc<Program>,
}

const SCALE: f32 = 0.7;

fn upper_half(value: f32) -> f32 {
    f32::from_bits(value.to_bits() & 0xffff_0000)
}

/// Rows of `columns` numbers for each of `depth` terms; of bfloat16 two terms side by side, nothing beside the last of an odd number.
fn packed(depth: usize, columns: usize, codes: Codes, at: impl Fn(usize, usize) -> f32) -> Vec<u8> {
    let at = &at;
    match codes {
        Codes::F32 => {
            (0..depth).flat_map(|k| (0..columns).flat_map(move |column| at(k, column).to_le_bytes())).collect()
        }
        Codes::Bf16 => (0..depth)
            .step_by(2)
            .flat_map(|k| {
                (0..columns).map(move |column| [k, k + 1].map(|k| if k < depth { at(k, column) } else { f32::NAN }))
            })
            .flat_map(|pair| pair.map(|value| [value.to_le_bytes()[2], value.to_le_bytes()[3]]).concat())
            .collect(),
    }
}

impl Example {
    fn new(seed: u64, rank: usize, inputs: usize, out: usize, codes: Codes) -> Self {
        let (mut a, mut b) = (random(seed, rank * inputs), random(seed + 1, out * rank));
        if codes == Codes::Bf16 {
            a.iter_mut().chain(&mut b).for_each(|value| *value = upper_half(*value));
        }
        let mut bytes = packed(inputs, rank, codes, |i, r| a[r * inputs + i]);
        for first in (0..out).step_by(WIDTH) {
            bytes.extend(packed(rank, WIDTH.min(out - first), codes, |r, o| b[(first + o) * rank + r]));
        }
        bytes.resize(bytes.len().next_multiple_of(4) + 64, 0xff);
        let memory: Vec<f32> =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        let bytes = unsafe { std::slice::from_raw_parts(memory.as_ptr().cast::<u8>(), memory.len() * 4) };
        let record = [0, 1, (codes == Codes::Bf16) as i32, rank as i32, inputs as i32, out as i32, 0];
        let program = Program::new(bytes, &record, &[f64::from(SCALE)]).unwrap_or_else(|error| panic!("{error}"));
        Self { rank, a, b, memory, program: Arc::new(program) }
    }

    /// y += scale · (x · Aᵀ) · Bᵀ by two products of matrices.
    fn add_by_gemm(&self, isa: Isa, y: &mut [f32], x: &[f32], rows: usize) {
        let (inputs, out) = (x.len() / rows, y.len() / rows);
        let mut u = vec![0.0; rows * self.rank];
        let shape = Shape {
            m: rows,
            n: self.rank,
            k: inputs,
            transpose_a: false,
            transpose_b: true,
            alpha: 1.0,
            accumulate: false,
        };
        gemm(isa, &mut u, x, &self.a, shape);
        gemm(isa, y, &u, &self.b, Shape { n: out, k: self.rank, alpha: SCALE, accumulate: true, ..shape });
    }
}

#[test]
fn deltas_have_the_bits_of_two_products_whatever_stands_beside_them() {
    // Spans of one row, of a few and of more than a unit; and single rows of one rank, which are worked on side by side.
    let batches: [(&[usize], &[usize]); 2] = [
        (&[1, 2, 3, 8, 16, 17, 33, 64, 67], &[1, 1, 2, 5, 1, 19, 40, 1, 7]),
        (&[8, 8, 8, 8, 8, 8, 33, 33, 2, 33, 33, 33, 5, 5], &[1; 14]),
    ];
    for ((inputs, out), (ranks, lengths)) in [(1, 1), (31, 17), (96, 64), (13, 101), (161, 16)]
        .into_iter()
        .flat_map(|shape| batches.map(|batch| (shape, batch)))
    {
        for codes in [Codes::F32, Codes::Bf16] {
            let examples: Vec<Example> = ranks
                .iter()
                .enumerate()
                .map(|(seed, &rank)| Example::new(10 * seed as u64 + 1, rank, inputs, out, codes))
                .collect();
            // Rows of the base stand between the spans.
            let rows = lengths.iter().map(|length| length + 1).sum::<usize>();
            let (x, before) = (random(5, rows * inputs), random(6, rows * out));
            each_setting(|isa| {
                let (mut bound, mut expected) = (Bound::default(), before.clone());
                let mut row = 0;
                for (example, &length) in examples.iter().zip(lengths) {
                    row += 1;
                    let span = row..row + length;
                    let y = &mut expected[span.start * out..span.end * out];
                    example.add_by_gemm(isa, y, &x[span.start * inputs..span.end * inputs], length);
                    bound.push(Span { rows: span.clone(), program: example.program.clone() }).unwrap();
                    row = span.end;
                }
                bound.check(0, rows, inputs, Some(out)).unwrap();
                let mut y = before.clone();
                apply(isa, &mut y, &x, &bound, 0, inputs, out);
                assert_eq!(y, expected, "{isa:?} {codes:?} [{out}, {inputs}]");
                apply(isa, &mut y, &x, &bound, 1, inputs, out);
                assert_eq!(y, expected, "another slot");
            });
            assert!(examples.iter().all(|example| !example.memory.is_empty()));
        }
    }
}
