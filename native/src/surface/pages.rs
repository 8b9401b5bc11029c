//! Keys and values in pages as Node sees them: float32, or bfloat16 as the bits of a `Uint16Array`. As in `rows`, an error is a bug of the caller.
#![allow(clippy::too_many_arguments)] // JavaScript calls with flat arguments cost least.
use super::arguments::{addresses, check_apart, check_lengths, chosen_isa, invalid};
use super::rows::attention_shape;
use crate::kernels::attention::{self, Bf16, Cache, Element, PagedRows, Shape};
use napi::Result;
use napi::bindgen_prelude::{Float32ArraySlice as Floats, Int32ArraySlice as Integers, Uint16ArraySlice as Words};
use napi_derive::napi;
use std::ops::Range;

/// Caches of keys and values are whole blocks, there is one entry for each of `t` rows, and every row's blocks are there.
fn check_pages(rows: PagedRows<'_>, t: usize, caches: [usize; 2], shape: Shape) -> Result<()> {
    let Shape { kv_heads: g, width: e, .. } = shape;
    if rows.block_size == 0 {
        return Err(invalid("blockSize must be positive"));
    }
    let num_blocks = caches[0] / (rows.block_size * g * e);
    check_lengths(&[
        ("kCache", caches[0], &[num_blocks, rows.block_size, g, e]),
        ("vCache", caches[1], &[num_blocks, rows.block_size, g, e]),
        ("rowSequences", rows.row_sequences.len(), &[t]),
        ("contextLengths", rows.context_lengths.len(), &[t]),
    ])?;
    rows.check(num_blocks).map_err(invalid)
}

/// The integers of JavaScript as [`PagedRows`].
macro_rules! paged_rows {
    ($row_sequences:ident, $context_lengths:ident, $block_tables:ident, $max_blocks:ident, $block_size:ident) => {
        PagedRows {
            row_sequences: &$row_sequences,
            context_lengths: &$context_lengths,
            block_tables: &$block_tables,
            max_blocks: $max_blocks as usize,
            block_size: $block_size as usize,
        }
    };
}

fn addresses_of_rows(rows: PagedRows<'_>) -> [Range<usize>; 3] {
    [rows.row_sequences, rows.context_lengths, rows.block_tables].map(addresses)
}

/// Writes to a cache of either kind, after all that must hold.
fn write_cache<T: Element>(
    [k_cache, v_cache]: [&mut [T]; 2],
    k: &[f32],
    v: &[f32],
    t: u32,
    rows: PagedRows<'_>,
    shape: Shape,
) -> Result<()> {
    let (t, Shape { kv_heads: g, width: e, .. }) = (t as usize, shape);
    check_lengths(&[("k", k.len(), &[t, g, e]), ("v", v.len(), &[t, g, e])])?;
    let caches = [addresses(k_cache), addresses(v_cache)];
    check_apart(&caches, &[addresses(k), addresses(v)])?;
    check_apart(&caches, &addresses_of_rows(rows))?;
    check_pages(rows, t, [k_cache.len(), v_cache.len()], shape)?;
    attention::cache_keys_and_values(chosen_isa()?, k_cache, v_cache, k, v, rows, shape);
    Ok(())
}

#[napi(catch_unwind)]
pub fn cache_key_values(
    mut k_cache: Floats,
    mut v_cache: Floats,
    k: Floats,
    v: Floats,
    row_sequences: Integers,
    context_lengths: Integers,
    block_tables: Integers,
    max_blocks: u32,
    block_size: u32,
    rows: u32,
    kv_heads: u32,
    width: u32,
) -> Result<()> {
    let shape = attention_shape(kv_heads, kv_heads, width, 1.0)?;
    let paged = paged_rows!(row_sequences, context_lengths, block_tables, max_blocks, block_size);
    check_apart(&[addresses(&k_cache), addresses(&v_cache)], &[])?;
    // SAFETY: the caches are apart, what else overlaps is refused before it is written, and JavaScript waits for this call.
    let caches = unsafe { [k_cache.as_mut(), v_cache.as_mut()] };
    write_cache(caches, &k, &v, rows, paged, shape)
}

#[napi(catch_unwind)]
pub fn cache_key_values_bf16(
    mut k_cache: Words,
    mut v_cache: Words,
    k: Floats,
    v: Floats,
    row_sequences: Integers,
    context_lengths: Integers,
    block_tables: Integers,
    max_blocks: u32,
    block_size: u32,
    rows: u32,
    kv_heads: u32,
    width: u32,
) -> Result<()> {
    let shape = attention_shape(kv_heads, kv_heads, width, 1.0)?;
    let paged = paged_rows!(row_sequences, context_lengths, block_tables, max_blocks, block_size);
    check_apart(&[addresses(&k_cache), addresses(&v_cache)], &[])?;
    // SAFETY: the caches are apart, what else overlaps is refused before it is written, and JavaScript waits for this call.
    let caches = unsafe { [k_cache.as_mut(), v_cache.as_mut()] };
    write_cache(caches.map(Bf16::of_bits_mut), &k, &v, rows, paged, shape)
}

fn attend_cache(
    out: &mut Floats,
    q: &[f32],
    cache: Cache<'_>,
    addresses_of_cache: [Range<usize>; 2],
    t: u32,
    rows: PagedRows<'_>,
    shape: Shape,
) -> Result<()> {
    let (t, Shape { heads: h, width: e, .. }) = (t as usize, shape);
    check_lengths(&[("out", out.len(), &[t, h, e]), ("q", q.len(), &[t, h, e])])?;
    let [k, v] = addresses_of_cache;
    check_apart(&[addresses(out)], &[addresses(q), k, v])?;
    check_apart(&[addresses(out)], &addresses_of_rows(rows))?;
    let lengths = match cache {
        Cache::F32 { k, v } => [k.len(), v.len()],
        Cache::Bf16 { k, v } => [k.len(), v.len()],
    };
    check_pages(rows, t, lengths, shape)?;
    // SAFETY: the output overlaps nothing, and JavaScript waits for this call.
    attention::attention_paged(chosen_isa()?, unsafe { out.as_mut() }, q, cache, rows, shape);
    Ok(())
}

#[napi(catch_unwind)]
pub fn attention_paged(
    mut out: Floats,
    q: Floats,
    k_cache: Floats,
    v_cache: Floats,
    row_sequences: Integers,
    context_lengths: Integers,
    block_tables: Integers,
    max_blocks: u32,
    block_size: u32,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    scale: f64,
) -> Result<()> {
    let shape = attention_shape(heads, kv_heads, width, scale)?;
    let paged = paged_rows!(row_sequences, context_lengths, block_tables, max_blocks, block_size);
    let cache = Cache::F32 { k: &k_cache, v: &v_cache };
    attend_cache(&mut out, &q, cache, [addresses(&k_cache), addresses(&v_cache)], rows, paged, shape)
}

#[napi(catch_unwind)]
pub fn attention_paged_bf16(
    mut out: Floats,
    q: Floats,
    k_cache: Words,
    v_cache: Words,
    row_sequences: Integers,
    context_lengths: Integers,
    block_tables: Integers,
    max_blocks: u32,
    block_size: u32,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    scale: f64,
) -> Result<()> {
    let shape = attention_shape(heads, kv_heads, width, scale)?;
    let paged = paged_rows!(row_sequences, context_lengths, block_tables, max_blocks, block_size);
    let cache = Cache::Bf16 { k: Bf16::of_bits(&k_cache), v: Bf16::of_bits(&v_cache) };
    attend_cache(&mut out, &q, cache, [addresses(&k_cache), addresses(&v_cache)], rows, paged, shape)
}
