//! The products with a frozen weight W [out, in]: y (+)= x · Wᵀ and dx (+)= dy · W.
//!
//! Few rows stream the packed panels from memory once ([`stream`]); many rows work in blocks ([`blocks`]). Both make each sum
//! of x · Wᵀ in the order of k, so that they give the same bits; dy · W has one way only. Activations in bfloat16 have a way of
//! their own ([`bf16_dot`]), for any number of rows, and so have those in int8 ([`int8_dot`]).
#[cfg(target_arch = "x86_64")]
mod bf16_dot;
#[cfg(target_arch = "x86_64")]
mod bf16_words;
mod blocks;
#[cfg(target_arch = "x86_64")]
mod int8_dot;
#[cfg(target_arch = "x86_64")]
mod int8_rows;
#[cfg(target_arch = "x86_64")]
mod int8_words;
mod stream;
#[cfg(test)]
mod tests;

use super::codec::Codec;
use super::lanes::{WIDTH, with_lanes};
use super::operands::RowMajor;
#[cfg(target_arch = "x86_64")]
use super::packed::Format;
use super::packed::{Packed, with_codec};
use super::tile::{Finish, Target};
use crate::pool::SharedMut;
use crate::simd::Isa;
use blocks::{Transposed, Widened};

/// What the left operand of a product is rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    F32,
    /// Both operands, unless the weight is float32: only with [`Isa::Avx512Bf16`].
    Bf16,
    /// Both operands, unless the weight is float32: the left one in blocks of k, the weight with a scale for each output row. Only with
    /// AVX-512 VNNI.
    Int8,
}

impl Activations {
    const ALL: [Self; 3] = [Activations::F32, Activations::Bf16, Activations::Int8];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activations| activations.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Activations::F32 => "f32",
            Activations::Bf16 => "bf16",
            Activations::Int8 => "int8",
        }
    }

    /// Whether the products of this instruction set can take them.
    pub fn is_available(self, isa: Isa) -> bool {
        match self {
            Activations::F32 => true,
            Activations::Bf16 => isa == Isa::Avx512Bf16,
            #[cfg(target_arch = "x86_64")]
            Activations::Int8 => matches!(isa, Isa::Avx512 | Isa::Avx512Bf16) && int8_dot::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Activations::Int8 => false,
        }
    }

    pub fn available(isa: Isa) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |activations| activations.is_available(isa))
    }
}

/// Runs `$bf16` or `$int8` where a product is to be made so, with `$C` bound to the weight's codec; else goes on.
macro_rules! in_few_bits {
    ($isa:expr, $activations:expr, $weight:expr, $C:ident => $bf16:expr, $int8:expr) => {
        assert!($activations.is_available($isa));
        #[cfg(target_arch = "x86_64")]
        match ($activations, $weight.format) {
            (Activations::F32, _) | (_, Format::F32) => {}
            (Activations::Bf16, format) => return with_codec!(format, $C => $bf16),
            (Activations::Int8, format) => return with_codec!(format, $C => $int8),
        }
    };
}

/// y [T, out] (+)= x [T, in] · Wᵀ.
pub fn forward(
    isa: Isa,
    activations: Activations,
    y: &mut [f32],
    x: &[f32],
    weight: &Packed,
    rows: usize,
    accumulate: bool,
) {
    assert_eq!((y.len(), x.len()), (rows * weight.out, rows * weight.inputs));
    assert!(isa.is_available());
    let product = Product {
        c: SharedMut::new(y),
        a: x,
        rows,
        columns: weight.out,
        depth: weight.inputs,
        accumulate,
        join: Finish::Continue,
    };
    in_few_bits!(isa, activations, weight, C => product.forward_in_bf16::<C>(weight), product.forward_in_int8::<C>(weight));
    with_lanes!(isa, L => with_codec!(weight.format, C => {
        if rows <= C::FEW_ROWS {
            product.stream::<L, C>(weight)
        } else {
            product.in_blocks::<L, _>(&Widened::<C>::new(weight))
        }
    }));
}

/// dx [T, in] (+)= dy [T, out] · W. The sums of each block of k are made from zero and added to dx: the head's run over a whole
/// vocabulary, where one chain of float32 additions would lose the last three digits.
pub fn backward(
    isa: Isa,
    activations: Activations,
    dx: &mut [f32],
    dy: &[f32],
    weight: &Packed,
    rows: usize,
    accumulate: bool,
) {
    assert_eq!((dx.len(), dy.len()), (rows * weight.inputs, rows * weight.out));
    assert!(isa.is_available());
    let product = Product {
        c: SharedMut::new(dx),
        a: dy,
        rows,
        columns: weight.inputs,
        depth: weight.out,
        accumulate,
        join: Finish::AddScaled(1.0),
    };
    in_few_bits!(isa, activations, weight, C => product.backward_in_bf16::<C>(weight), product.backward_in_int8::<C>(weight));
    with_lanes!(isa, L => with_codec!(weight.format, C => product.in_blocks::<L, _>(&Transposed::<C>::new(weight))));
}

/// c [rows, columns] (+)= a [rows, depth] · B.
struct Product<'a> {
    c: SharedMut<f32>,
    a: &'a [f32],
    rows: usize,
    columns: usize,
    depth: usize,
    accumulate: bool,
    /// How sums join what is in c already: what was there before, and the sums of earlier blocks of k.
    join: Finish,
}

impl Product<'_> {
    /// The part of a from `row` and `k` on.
    fn a(&self, row: usize, k: usize) -> RowMajor {
        RowMajor { data: self.a.as_ptr().wrapping_add(row * self.depth + k), stride: self.depth }
    }

    /// The part of c from `row` and the panel `panel` on.
    fn target(&self, row: usize, panel: usize) -> Target {
        let column = panel * WIDTH;
        Target {
            data: self.c.as_ptr().wrapping_add(row * self.columns + column),
            row_stride: self.columns,
            column_stride: 1,
            columns: self.columns - column,
        }
    }

    /// What becomes of sums from `k` on.
    fn finish(&self, k: usize) -> Finish {
        if self.accumulate || k > 0 { self.join } else { Finish::Store }
    }
}
