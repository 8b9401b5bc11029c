//! Which instruction set the kernels use: the best that the machine has, or the one that `ESPALIER_ISA` names.
use std::sync::OnceLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    Portable,
    Neon,
    Avx2,
    Avx512,
    /// As Avx512, with dot products of bfloat16 pairs for those calls of `linear` that ask for activations in bfloat16.
    Avx512Bf16,
}

impl Isa {
    pub const ALL: [Isa; 5] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16];

    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
        }
    }

    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The instruction sets of this machine: a test of a kernel runs over all of them.
    pub fn available() -> impl DoubleEndedIterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    fn named(name: &str) -> Result<Isa, String> {
        let isa = Isa::ALL.into_iter().find(|isa| isa.name() == name);
        let isa = isa
            .ok_or_else(|| format!("ESPALIER_ISA={name} is unknown: use portable, neon, avx2, avx512 or avx512bf16"))?;
        if !isa.is_available() {
            let names: Vec<_> = Isa::available().map(Isa::name).collect();
            return Err(format!("ESPALIER_ISA={name}: this processor does not have it, it has {}", names.join(", ")));
        }
        Ok(isa)
    }
}

/// The instruction set of this process, chosen once. An `ESPALIER_ISA` that is unknown or not available is an error
/// at load time (see `surface`), never a silent fallback.
pub fn isa() -> Result<Isa, String> {
    static CHOICE: OnceLock<Result<Isa, String>> = OnceLock::new();
    CHOICE
        .get_or_init(|| match std::env::var("ESPALIER_ISA") {
            Ok(name) => Isa::named(&name),
            Err(_) => Ok(Isa::available().next_back().unwrap_or(Isa::Portable)),
        })
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_literally_or_refused() {
        assert_eq!(Isa::named("portable"), Ok(Isa::Portable));
        assert!(Isa::named("AVX2").unwrap_err().contains("unknown"));
        for isa in Isa::ALL {
            assert_eq!(Isa::named(isa.name()).is_ok(), isa.is_available());
        }
    }
}
