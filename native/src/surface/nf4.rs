//! NF4 as Node sees it: codes and magnitudes as bitsandbytes stores them, from dense weights and into packed matrices.
use super::arguments::{addresses, check_apart, check_lengths};
use super::matrices::Matrix;
use crate::kernels::nf4::{self, nested};
use crate::kernels::packed::{Format, Layout, Packed, pack_nf4};
use napi::Result;
use napi::bindgen_prelude::{External, Float32ArraySlice as Floats, Uint8ArraySlice as Bytes};
use napi_derive::napi;

fn check_codes(codes: &Bytes, magnitudes: &Floats, out: usize, inputs: usize) -> Result<()> {
    let count = out * inputs;
    check_lengths(&[
        ("codes", codes.len(), &[count.div_ceil(2)]),
        ("magnitudes", magnitudes.len(), &[count.div_ceil(nf4::BLOCK)]),
    ])
}

#[napi(catch_unwind)]
pub fn pack_nf4_into(mut target: Bytes, codes: Bytes, magnitudes: Floats, out: u32, inputs: u32) -> Result<()> {
    let (out, inputs) = (out as usize, inputs as usize);
    check_codes(&codes, &magnitudes, out, inputs)?;
    check_lengths(&[("target", target.len(), &[Layout::new(out, inputs, Format::Nf4).bytes()])])?;
    check_apart(&[addresses(&target)], &[addresses(&codes), addresses(&magnitudes)])?;
    // SAFETY: the target overlaps nothing, and JavaScript waits for this call.
    pack_nf4(unsafe { target.as_mut() }, &codes, &magnitudes, out, inputs);
    Ok(())
}

#[napi(catch_unwind)]
pub fn freeze_nf4(codes: Bytes, magnitudes: Floats, out: u32, inputs: u32) -> Result<External<Matrix>> {
    let (out, inputs) = (out as usize, inputs as usize);
    check_codes(&codes, &magnitudes, out, inputs)?;
    Ok(Matrix::new(Packed::from_nf4(&codes, &magnitudes, out, inputs), "f32")?.external())
}

/// Quantises a flattened matrix twice and returns the mean of its magnitudes.
#[napi(catch_unwind)]
pub fn quantise_nf4(
    mut codes: Bytes,
    mut absmax: Floats,
    mut nested_codes: Bytes,
    mut nested_absmax: Floats,
    weight: Floats,
) -> Result<f64> {
    let blocks = weight.len().div_ceil(nf4::BLOCK);
    check_lengths(&[
        ("codes", codes.len(), &[weight.len().div_ceil(2)]),
        ("absmax", absmax.len(), &[blocks]),
        ("nestedCodes", nested_codes.len(), &[blocks]),
        ("nestedAbsmax", nested_absmax.len(), &[blocks.div_ceil(nested::BLOCK)]),
    ])?;
    let outputs = [addresses(&codes), addresses(&absmax), addresses(&nested_codes), addresses(&nested_absmax)];
    check_apart(&outputs, &[addresses(&weight)])?;
    let quantised = nf4::quantise(&weight);
    let second = nested::nest(&quantised.absmax);
    // SAFETY: the outputs overlap nothing, and JavaScript waits for this call.
    unsafe {
        codes.as_mut().copy_from_slice(&quantised.codes);
        absmax.as_mut().copy_from_slice(&quantised.absmax);
        nested_codes.as_mut().copy_from_slice(&second.codes);
        nested_absmax.as_mut().copy_from_slice(&second.absmax);
    }
    Ok(f64::from(second.offset))
}

/// What the codes of magnitudes stand for.
#[napi(catch_unwind)]
pub fn nested_map(mut target: Floats) -> Result<()> {
    check_lengths(&[("target", target.len(), &[256])])?;
    // SAFETY: JavaScript waits for this call.
    unsafe { target.as_mut().copy_from_slice(nested::dynamic_map()) };
    Ok(())
}
