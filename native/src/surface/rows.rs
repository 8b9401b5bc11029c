//! The kernels of rows as Node sees them: `src/numeric/kernels.ts` says what each computes. An error thrown here is a bug of
//! the TypeScript face, never of a user: it checks arguments first.
#![allow(clippy::too_many_arguments)] // JavaScript calls with flat arguments cost least.
use super::arguments::{addresses, check_apart, check_lengths, chosen_isa, invalid};
use crate::kernels::adamw::{AdamW, adamw};
use crate::kernels::attention::{self, Saved, Segment, Shape};
use crate::kernels::swiglu::SwigluGradients;
use crate::kernels::{elementwise, rms_norm, rope as rotary, swiglu};
use napi::Result;
use napi::bindgen_prelude::{Float32ArraySlice as Floats, Int32ArraySlice as Integers};
use napi_derive::napi;

#[napi(catch_unwind)]
pub fn rms_norm_forward(
    mut y: Floats,
    mut rstd: Floats,
    x: Floats,
    gain: Floats,
    epsilon: f64,
    rows: u32,
) -> Result<()> {
    let (t, d) = (rows as usize, gain.len());
    check_lengths(&[("y", y.len(), &[t, d]), ("rstd", rstd.len(), &[t]), ("x", x.len(), &[t, d])])?;
    check_apart(&[addresses(&y), addresses(&rstd)], &[addresses(&x), addresses(&gain)])?;
    // SAFETY: the outputs overlap nothing, and JavaScript waits for this call.
    let (y, rstd) = unsafe { (y.as_mut(), rstd.as_mut()) };
    rms_norm::rms_norm_forward(chosen_isa()?, y, rstd, &x, &gain, epsilon as f32);
    Ok(())
}

#[napi(catch_unwind)]
pub fn rms_norm_backward(
    mut dx: Floats,
    dy: Floats,
    x: Floats,
    rstd: Floats,
    gain: Floats,
    rows: u32,
    accumulate: bool,
) -> Result<()> {
    let (t, d) = (rows as usize, gain.len());
    check_lengths(&[
        ("dx", dx.len(), &[t, d]),
        ("dy", dy.len(), &[t, d]),
        ("x", x.len(), &[t, d]),
        ("rstd", rstd.len(), &[t]),
    ])?;
    check_apart(&[addresses(&dx)], &[&dy, &x, &rstd, &gain].map(|input| addresses(input)))?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    let dx = unsafe { dx.as_mut() };
    rms_norm::rms_norm_backward(chosen_isa()?, dx, &dy, &x, &rstd, &gain, accumulate);
    Ok(())
}

#[napi(catch_unwind)]
pub fn rope(
    mut x: Floats,
    positions: Integers,
    cos_sin: Floats,
    rows: u32,
    heads: u32,
    width: u32,
    inverse: bool,
) -> Result<()> {
    let (t, h, e) = (rows as usize, heads as usize, width as usize);
    check_lengths(&[("x", x.len(), &[t, h, e]), ("positions", positions.len(), &[t])])?;
    check_apart(&[addresses(&x)], &[addresses(&positions), addresses(&cos_sin)])?;
    if e == 0 || !e.is_multiple_of(2) || !cos_sin.len().is_multiple_of(e) {
        return Err(invalid(format!(
            "E = {e} must be even, and cosSin of {} elements whole rows of it",
            cos_sin.len()
        )));
    }
    let known = cos_sin.len() / e;
    if let Some(position) = positions.iter().find(|p| usize::try_from(**p).map_or(true, |p| p >= known)) {
        return Err(invalid(format!("position {position} is not in cosSin, which has {known}")));
    }
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    let x = unsafe { x.as_mut() };
    rotary::rope(chosen_isa()?, x, &positions, &cos_sin, h, e, inverse);
    Ok(())
}

#[napi(catch_unwind)]
pub fn swiglu_forward(mut y: Floats, gate: Floats, up: Floats) -> Result<()> {
    let n = y.len();
    check_lengths(&[("gate", gate.len(), &[n]), ("up", up.len(), &[n])])?;
    check_apart(&[addresses(&y)], &[addresses(&gate), addresses(&up)])?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    swiglu::swiglu_forward(chosen_isa()?, unsafe { y.as_mut() }, &gate, &up);
    Ok(())
}

#[napi(catch_unwind)]
pub fn swiglu_backward(mut dgate: Floats, mut dup: Floats, dy: Floats, gate: Floats, up: Floats) -> Result<()> {
    let n = dy.len();
    check_lengths(&[
        ("dgate", dgate.len(), &[n]),
        ("dup", dup.len(), &[n]),
        ("gate", gate.len(), &[n]),
        ("up", up.len(), &[n]),
    ])?;
    let outputs = [addresses(&dgate), addresses(&dup)];
    check_apart(&outputs, &[addresses(&gate), addresses(&up)])?;
    for output in outputs.into_iter().filter(|output| *output != addresses(&dy)) {
        check_apart(&[output], &[addresses(&dy)])?;
    }
    let chosen = chosen_isa()?;
    // SAFETY: lengths are equal; each output is dy or overlaps nothing; JavaScript waits for this call.
    unsafe {
        let gradients =
            SwigluGradients { dgate: dgate.as_mut().as_mut_ptr(), dup: dup.as_mut().as_mut_ptr(), dy: dy.as_ptr() };
        swiglu::swiglu_backward(chosen, gradients, &gate, &up);
    }
    Ok(())
}

/// The dimensions that the attention kernels share: T rows, H query heads, G key-value heads, heads of E elements.
pub fn attention_shape(heads: u32, kv_heads: u32, width: u32, scale: f64) -> Result<Shape> {
    if kv_heads == 0 || heads == 0 || width == 0 || !heads.is_multiple_of(kv_heads) {
        return Err(invalid(format!("H = {heads} must be a multiple of G = {kv_heads}, and E = {width} positive")));
    }
    Ok(Shape { heads: heads as usize, kv_heads: kv_heads as usize, width: width as usize, scale: scale as f32 })
}

/// The segments of `rows` rows. `places` says which row stands at each place; where it is empty, every place is a row.
fn attention_segments<'a>(starts: &[i32], places: &'a [i32], rows: usize) -> Result<Vec<Segment<'a>>> {
    let places = Some(places).filter(|places| !places.is_empty());
    if let Some(places) = places {
        check_lengths(&[("places", places.len(), &[starts.len()])])?;
    }
    let segments = attention::segments(starts, places).map_err(invalid)?;
    match attention::num_rows(&segments) {
        found if found == rows => Ok(segments),
        found => Err(invalid(format!("the segments have {found} rows, expected {rows}"))),
    }
}

#[napi(catch_unwind)]
pub fn attention_forward(
    mut out: Floats,
    mut lse: Floats,
    q: Floats,
    k: Floats,
    v: Floats,
    segment_starts: Integers,
    places: Integers,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    scale: f64,
) -> Result<()> {
    let shape = attention_shape(heads, kv_heads, width, scale)?;
    let (t, Shape { heads: h, kv_heads: g, width: e, .. }) = (rows as usize, shape);
    check_lengths(&[
        ("out", out.len(), &[t, h, e]),
        ("lse", lse.len(), &[t, h]),
        ("q", q.len(), &[t, h, e]),
        ("k", k.len(), &[t, g, e]),
        ("v", v.len(), &[t, g, e]),
    ])?;
    let segments = attention_segments(&segment_starts, &places, t)?;
    let inputs = [addresses(&q), addresses(&k), addresses(&v), addresses(&segment_starts), addresses(&places)];
    check_apart(&[addresses(&out), addresses(&lse)], &inputs)?;
    // SAFETY: the outputs overlap nothing, and JavaScript waits for this call.
    let (out, lse) = unsafe { (out.as_mut(), lse.as_mut()) };
    attention::attention_forward(chosen_isa()?, out, lse, &q, &k, &v, &segments, shape);
    Ok(())
}

#[napi(catch_unwind)]
pub fn attention_backward(
    mut dq: Floats,
    mut dk: Floats,
    mut dv: Floats,
    dout: Floats,
    out: Floats,
    lse: Floats,
    q: Floats,
    k: Floats,
    v: Floats,
    segment_starts: Integers,
    places: Integers,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    scale: f64,
) -> Result<()> {
    let shape = attention_shape(heads, kv_heads, width, scale)?;
    let (t, Shape { heads: h, kv_heads: g, width: e, .. }) = (rows as usize, shape);
    check_lengths(&[
        ("dq", dq.len(), &[t, h, e]),
        ("dk", dk.len(), &[t, g, e]),
        ("dv", dv.len(), &[t, g, e]),
        ("dout", dout.len(), &[t, h, e]),
        ("out", out.len(), &[t, h, e]),
        ("lse", lse.len(), &[t, h]),
        ("q", q.len(), &[t, h, e]),
        ("k", k.len(), &[t, g, e]),
        ("v", v.len(), &[t, g, e]),
    ])?;
    let segments = attention_segments(&segment_starts, &places, t)?;
    let outputs = [addresses(&dq), addresses(&dk), addresses(&dv)];
    check_apart(&outputs, &[&dout, &out, &lse, &q, &k, &v].map(|input| addresses(input)))?;
    check_apart(&outputs, &[addresses(&segment_starts), addresses(&places)])?;
    // SAFETY: the outputs overlap nothing, and JavaScript waits for this call.
    let (dq, dk, dv) = unsafe { (dq.as_mut(), dk.as_mut(), dv.as_mut()) };
    let saved = Saved { dout: &dout, out: &out, lse: &lse, q: &q, k: &k, v: &v };
    attention::attention_backward(chosen_isa()?, dq, dk, dv, saved, &segments, shape);
    Ok(())
}

#[napi(catch_unwind)]
pub fn argmax_rows(mut best: Integers, x: Floats) -> Result<()> {
    let n = best.len();
    if n == 0 || x.is_empty() || !x.len().is_multiple_of(n) {
        return Err(invalid(format!("x of {} elements has no {n} rows", x.len())));
    }
    check_apart(&[addresses(&best)], &[addresses(&x)])?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    elementwise::argmax_rows(chosen_isa()?, unsafe { best.as_mut() }, &x);
    Ok(())
}

#[napi(catch_unwind)]
pub fn axpy(mut y: Floats, x: Floats, alpha: f64) -> Result<()> {
    check_lengths(&[("x", x.len(), &[y.len()])])?;
    check_apart(&[addresses(&y)], &[addresses(&x)])?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    elementwise::axpy(chosen_isa()?, unsafe { y.as_mut() }, &x, alpha as f32);
    Ok(())
}

#[napi(catch_unwind)]
pub fn sum_squares(x: Floats) -> Result<f64> {
    Ok(elementwise::sum_squares(chosen_isa()?, &x))
}

#[napi(catch_unwind, js_name = "adamW")]
pub fn adam_w(
    mut weights: Floats,
    gradients: Floats,
    mut moment1: Floats,
    mut moment2: Floats,
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    step: f64,
    gradient_scale: f64,
) -> Result<()> {
    let n = weights.len();
    check_lengths(&[
        ("gradients", gradients.len(), &[n]),
        ("moment1", moment1.len(), &[n]),
        ("moment2", moment2.len(), &[n]),
    ])?;
    check_apart(&[addresses(&weights), addresses(&moment1), addresses(&moment2)], &[addresses(&gradients)])?;
    let options = AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, step, gradient_scale };
    // SAFETY: the outputs overlap nothing, and JavaScript waits for this call.
    let (weights, moment1, moment2) = unsafe { (weights.as_mut(), moment1.as_mut(), moment2.as_mut()) };
    adamw(chosen_isa()?, weights, &gradients, moment1, moment2, &options);
    Ok(())
}
