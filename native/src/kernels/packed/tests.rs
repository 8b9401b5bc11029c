use super::*;
use crate::kernels::testing::random;

const SHAPES: [(usize, usize); 8] = [(0, 3), (3, 0), (1, 1), (16, 2), (17, 31), (5, 64), (48, 37), (97, 101)];

#[test]
fn f32_is_exact_and_bf16_rounds_to_nearest_even() {
    for (out, inputs) in SHAPES {
        let weights = random(1, out * inputs);
        let mut thawed = vec![f32::NAN; out * inputs];
        Packed::new(&weights, out, inputs, Format::F32).thaw(&mut thawed);
        assert_eq!(thawed, weights);
        Packed::new(&weights, out, inputs, Format::Bf16).thaw(&mut thawed);
        for (thawed, weight) in thawed.iter().zip(&weights) {
            assert!((thawed - weight).abs() <= weight.abs() / 256.0);
            assert_eq!(thawed.to_bits() & 0xffff, 0);
        }
    }
    let halfway = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x7f7f_ffff, 0xff80_0000].map(f32::from_bits);
    let mut thawed = [0.0; 5];
    Packed::new(&halfway, 1, 5, Format::Bf16).thaw(&mut thawed);
    assert_eq!(thawed.map(f32::to_bits), [0x3f80_0000, 0x3f82_0000, 0x3f81_0000, 0x7f80_0000, 0xff80_0000]);
    Packed::new(&[f32::from_bits(0x7f80_0001); 5], 1, 5, Format::Bf16).thaw(&mut thawed);
    assert!(thawed.iter().all(|value| value.is_nan()));
}

#[test]
fn int8_is_within_half_a_step_of_its_row() {
    for (out, inputs) in SHAPES {
        let weights = random(2, out * inputs);
        let mut thawed = vec![f32::NAN; out * inputs];
        Packed::new(&weights, out, inputs, Format::Int8).thaw(&mut thawed);
        for (thawed, weights) in thawed.chunks(inputs.max(1)).zip(weights.chunks(inputs.max(1))) {
            let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            for (thawed, weight) in thawed.iter().zip(weights) {
                assert!((thawed - weight).abs() <= largest / 127.0 * 0.500_01);
            }
        }
    }
    let mut thawed = [1.0; 2];
    Packed::new(&[0.0, -0.0], 1, 2, Format::Int8).thaw(&mut thawed);
    assert_eq!(thawed, [0.0, 0.0]);
}

#[test]
fn nf4_is_its_codes_times_the_magnitudes_that_were_quantised_twice() {
    for (out, inputs) in SHAPES.into_iter().chain([(33, 64), (7, 96), (3, 192), (130, 128)]) {
        let weights = random(4, out * inputs);
        let Quantised { codes, absmax } = nf4::quantise(&weights);
        let magnitudes = nf4::nested::nest(&absmax).magnitudes();
        let expected: Vec<f32> = (0..out * inputs)
            .map(|i| nf4::CODE_BOOK[usize::from(nf4::code_at(&codes, i))] * magnitudes[i / nf4::BLOCK])
            .collect();
        let mut thawed = vec![f32::NAN; out * inputs];
        Packed::new(&weights, out, inputs, Format::Nf4).thaw(&mut thawed);
        assert_eq!(thawed, expected);
        Packed::from_nf4(&codes, &magnitudes, out, inputs).thaw(&mut thawed);
        assert_eq!(thawed, expected);
    }
}

#[test]
fn nf4_takes_at_most_six_tenths_of_a_byte_a_weight() {
    for (out, inputs) in [(576, 576), (192, 576), (1536, 576), (576, 1536)] {
        assert!(Layout::new(out, inputs, Format::Nf4).bytes() * 10 <= out * inputs * 6);
    }
}

#[test]
fn sizes_are_multiples_of_64_and_hold_every_code() {
    for format in Format::ALL {
        for (out, inputs) in SHAPES {
            let bytes = Layout::new(out, inputs, format).bytes();
            assert_eq!(bytes % 64, 0);
            let mut target = vec![0xaa; bytes];
            pack(&mut target, &random(3, out * inputs), out, inputs, format);
            let mut again = vec![0x55; bytes];
            pack(&mut again, &random(3, out * inputs), out, inputs, format);
            assert_eq!(target, again, "every byte is written");
        }
    }
}
