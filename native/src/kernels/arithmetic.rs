//! How one body of portable code becomes a version for each instruction set.
//!
//! A kernel's body is an `#[inline(always)]` function over plain slices and fixed-size arrays, generic in [`Arithmetic`].
//! [`multiversion!`] wraps it in functions that enable an instruction set, so that the compiler vectorises the same loops
//! for each. Nothing in a body may depend on the vector width: sums run over the fixed lanes that the body names.

/// The one operation in which instruction sets differ for the bodies: a product added to a sum.
pub trait Arithmetic: Copy {
    /// `a · b + c`, rounded once or twice.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// Rounds once: one instruction where the instruction set has it (elsewhere a slow call, so never used there).
#[derive(Clone, Copy)]
pub struct Fused;

impl Arithmetic for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Rounds the product, then the sum: for machines without a fused instruction.
#[derive(Clone, Copy)]
pub struct Separate;

impl Arithmetic for Separate {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// `multiversion! { pub fn name(x: &[f32]) -> f32 = body; }` defines `name(isa, x)`, which calls `body::<A>(x)` compiled for `isa`.
/// Panics if this machine does not have `isa`.
macro_rules! multiversion {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $output:ty)? = $body:ident;)+) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::simd::Isa, $($arg: $type),*) $(-> $output)? {
            use $crate::kernels::arithmetic::{Fused, Separate};
            use $crate::simd::Isa;

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $output)? {
                $body::<Fused>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
            fn avx512($($arg: $type),*) $(-> $output)? {
                $body::<Fused>($($arg),*)
            }

            assert!(isa.is_available(), "this machine does not have {}", isa.name());
            match isa {
                // SAFETY: the features were found just above.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 | Isa::Avx512Bf16 => unsafe { avx512($($arg),*) },
                // Every aarch64 has vectors and a fused multiply-add.
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => $body::<Fused>($($arg),*),
                _ => $body::<Separate>($($arg),*),
            }
        }
    )+};
}
pub(crate) use multiversion;
