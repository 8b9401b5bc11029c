//! Sixteen float32 lanes: the width of a panel of weights, whatever the machine's registers hold (two registers in AVX2, one
//! in AVX-512, four in NEON). A kernel is written once over [`Lanes`] and runs as a [`Job`] inside the instruction set's own
//! `#[target_feature]` function. Avx2, Avx512 and Neon give the same bits; Portable does not fuse multiplication and addition.
pub const WIDTH: usize = 16;

/// Code that is compiled for the instruction set of `L`. `run` must be `#[inline(always)]`, and so must all that it calls.
pub trait Job<L: Lanes> {
    type Output;
    /// # Safety
    /// Only inside [`Lanes::vectorize`].
    unsafe fn run(self) -> Self::Output;
}

/// Float32 lanes that are added up side by side.
///
/// # Safety of every function
/// The processor must have the instruction set; the call must be inside [`Lanes::vectorize`]; pointers cover the lanes read.
#[allow(clippy::missing_safety_doc)]
pub trait Vector: Copy + 'static {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(source: *const f32) -> Self;
    unsafe fn store(self, target: *mut f32);
    /// self + a · b, rounded once where the instruction set can.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// The even and the odd row of two interleaved rows of bfloat16: the low and the high halves of as many words as there are lanes.
    unsafe fn from_bf16_pairs(source: *const u32) -> (Self, Self);
}

/// Sixteen lanes.
///
/// # Safety of every function
/// As of [`Vector`].
#[allow(clippy::missing_safety_doc)]
pub trait Lanes: Vector {
    /// Eight lanes, for what is no wider: they take half the time.
    type Half: Vector;
    /// Rows of the largest tile whose sums stay in registers when it is [`Lanes::PANELS`] panels wide.
    const ROWS: usize;
    /// Panels that a large product takes side by side.
    const PANELS: usize;

    unsafe fn vectorize<J: Job<Self>>(job: J) -> J::Output;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// Of sixteen words of four int8 each, bytes 2 · half and 2 · half + 1.
    unsafe fn from_i8_quads(source: *const i8, half: usize) -> (Self, Self);
    /// The entries of a table that the low and the high halves of sixteen bytes number.
    unsafe fn from_nibbles(source: *const u8, table: &[f32; 16]) -> (Self, Self);
    /// Asks for the cache line at `address`, which need not exist.
    unsafe fn prefetch(address: *const u8);
    /// target[j][i] = source[i][j] for i, j < 16; both dense.
    unsafe fn transpose(source: *const f32, target: *mut f32);
}

/// Runs `$body` with `$L` bound to the lanes of `$isa`, which must be available.
macro_rules! with_lanes {
    ($isa:expr, $L:ident => $body:expr) => {{
        use crate::simd::Isa;
        match $isa {
            Isa::Portable => {
                type $L = crate::kernels::lanes::Portable<16>;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                type $L = crate::kernels::lanes_x86::Avx2;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => {
                type $L = crate::kernels::lanes_x86::Avx512;
                $body
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {
                type $L = crate::kernels::lanes_neon::Neon<4>;
                $body
            }
            #[allow(unreachable_patterns)]
            other => unreachable!("{} is not of this architecture", other.name()),
        }
    }};
}
pub(crate) use with_lanes;

#[derive(Clone, Copy)]
pub struct Portable<const N: usize>([f32; N]);

impl<const N: usize> Vector for Portable<N> {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; N])
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        Self(unsafe { source.cast::<[f32; N]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        unsafe { target.cast::<[f32; N]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }

    #[inline(always)]
    unsafe fn from_bf16_pairs(source: *const u32) -> (Self, Self) {
        let words = unsafe { source.cast::<[u32; N]>().read_unaligned() };
        (Self(words.map(|word| f32::from_bits(word << 16))), Self(words.map(|word| f32::from_bits(word & 0xffff_0000))))
    }
}

impl Lanes for Portable<WIDTH> {
    type Half = Portable<{ WIDTH / 2 }>;
    const ROWS: usize = 2;
    const PANELS: usize = 1;

    unsafe fn vectorize<J: Job<Self>>(job: J) -> J::Output {
        unsafe { job.run() }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn from_i8_quads(source: *const i8, half: usize) -> (Self, Self) {
        let quads = unsafe { source.cast::<[[i8; 4]; WIDTH]>().read_unaligned() };
        (Self(quads.map(|quad| f32::from(quad[2 * half]))), Self(quads.map(|quad| f32::from(quad[2 * half + 1]))))
    }

    #[inline(always)]
    unsafe fn from_nibbles(source: *const u8, table: &[f32; 16]) -> (Self, Self) {
        let bytes = unsafe { source.cast::<[u8; WIDTH]>().read_unaligned() };
        (Self(bytes.map(|byte| table[usize::from(byte & 0xf)])), Self(bytes.map(|byte| table[usize::from(byte >> 4)])))
    }

    #[inline(always)]
    unsafe fn prefetch(_address: *const u8) {}

    #[inline(always)]
    unsafe fn transpose(source: *const f32, target: *mut f32) {
        for j in 0..WIDTH {
            for i in 0..WIDTH {
                unsafe { *target.add(j * WIDTH + i) = *source.add(i * WIDTH + j) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;

    struct Everything<'a> {
        x: &'a [f32; 256],
        words: &'a [u32; 16],
        bytes: &'a [i8; 64],
        nibbles: &'a [u8; 16],
    }

    impl<L: Lanes> Job<L> for Everything<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        unsafe fn run(self) -> Vec<f32> {
            let mut out = vec![0.0; 256 + 15 * 16];
            unsafe {
                L::transpose(self.x.as_ptr(), out.as_mut_ptr());
                let (a, b) = (L::load(self.x.as_ptr()), L::load(self.x.as_ptr().add(16)));
                let (even, odd) = L::from_bf16_pairs(self.words.as_ptr());
                let [(b0, b1), (b2, b3)] = [0, 1].map(|half| L::from_i8_quads(self.bytes.as_ptr(), half));
                let table = std::array::from_fn(|i| self.x[i] / 8.0);
                let (low, high) = L::from_nibbles(self.nibbles.as_ptr(), &table);
                let sum = L::splat(3.0).add_product(a, b);
                let rows = [a.add(b), a.mul(b), sum, even, odd, b0, b1, b2, b3, low, high];
                for (i, row) in rows.into_iter().enumerate() {
                    row.store(out.as_mut_ptr().add(256 + 16 * i));
                }
                // Eight lanes are the first half of sixteen.
                let (a, b) = (L::Half::load(self.x.as_ptr()), L::Half::load(self.x.as_ptr().add(16)));
                let (even, odd) = L::Half::from_bf16_pairs(self.words.as_ptr());
                for (i, half) in [a, L::Half::splat(3.0).add_product(a, b), even, odd].into_iter().enumerate() {
                    half.store(out.as_mut_ptr().add(256 + 16 * (11 + i)));
                }
            }
            out
        }
    }

    /// Small whole numbers: sums and products are exact, so that fused and unfused agree.
    #[test]
    fn every_instruction_set_agrees_with_plain_loops() {
        let x: [f32; 256] = std::array::from_fn(|i| ((i * 37) % 101) as f32 - 50.0);
        let words: [u32; 16] = std::array::from_fn(|i| 0x3f80_4000 + ((i as u32) << 20) + i as u32);
        let bytes: [i8; 64] = std::array::from_fn(|i| (i * 4) as u8 as i8);
        let nibbles: [u8; 16] = std::array::from_fn(|i| (i * 0x51 + 0xf) as u8);
        let mut expected: Vec<f32> = (0..256).map(|i| x[i % 16 * 16 + i / 16]).collect();
        expected.extend((0..16).map(|i| x[i] + x[16 + i]));
        expected.extend((0..16).map(|i| x[i] * x[16 + i]));
        expected.extend((0..16).map(|i| 3.0 + x[i] * x[16 + i]));
        expected.extend(words.map(|word| f32::from_bits(word << 16)));
        expected.extend(words.map(|word| f32::from_bits(word >> 16 << 16)));
        expected.extend((0..64).map(|i| f32::from(bytes[i % 16 * 4 + i / 16])));
        expected.extend(nibbles.map(|byte| x[usize::from(byte & 0xf)] / 8.0));
        expected.extend(nibbles.map(|byte| x[usize::from(byte >> 4)] / 8.0));
        let half =
            |lane: &dyn Fn(usize) -> f32| std::array::from_fn::<f32, 16, _>(|i| if i < 8 { lane(i) } else { 0.0 });
        expected.extend(half(&|i| x[i]));
        expected.extend(half(&|i| 3.0 + x[i] * x[16 + i]));
        expected.extend(half(&|i| f32::from_bits(words[i] << 16)));
        expected.extend(half(&|i| f32::from_bits(words[i] >> 16 << 16)));
        for isa in Isa::available() {
            let job = Everything { x: &x, words: &words, bytes: &bytes, nibbles: &nibbles };
            let actual = with_lanes!(isa, L => unsafe { L::vectorize(job) });
            assert_eq!(actual, expected, "{}", isa.name());
        }
    }
}
