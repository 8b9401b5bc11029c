//! What every function of the surface does with its arguments.
pub use crate::kernels::aligned::addresses;
use crate::simd::{Isa, isa};
use napi::{Error, Result, Status};
use std::ops::Range;

pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(Status::InvalidArg, message.into())
}

/// The instruction set of this process, or why there is none.
pub fn chosen_isa() -> Result<Isa> {
    isa().map_err(invalid)
}

/// Fails unless each named array has as many elements as the product of its dimensions.
pub fn check_lengths(arrays: &[(&str, usize, &[usize])]) -> Result<()> {
    for (name, length, dimensions) in arrays {
        let expected = dimensions.iter().fold(1usize, |product, dimension| product.saturating_mul(*dimension));
        if *length != expected {
            return Err(invalid(format!("{name} has {length} elements, expected {expected} = {dimensions:?}")));
        }
    }
    Ok(())
}

/// Fails if an output shares memory with another output or with an input.
pub fn check_apart(outputs: &[Range<usize>], inputs: &[Range<usize>]) -> Result<()> {
    for (i, output) in outputs.iter().enumerate() {
        for other in outputs[i + 1..].iter().chain(inputs) {
            if output.start < other.end && other.start < output.end {
                return Err(invalid(format!("output {i} shares memory with another argument")));
            }
        }
    }
    Ok(())
}
