//! New keys and values go to their places in a paged cache.
use super::ahead::ask_to_write;
use super::paged::{PagedRows, Pages};
use super::product::LANES;
use super::stored::Element;
use super::tiles::{Shape, pack_keys_transposed};
use crate::kernels::split::for_units_ahead;
use crate::pool::SharedMut;
use crate::simd::Isa;
use std::ops::Range;

/// Fewer rows are written by the calling thread.
const FEW_ROWS: usize = 16;

/// What a thread writes in one go: rows whose keys follow one another in one block, so that no two threads write to a line of it.
struct Unit<'a> {
    rows: Range<usize>,
    pages: Pages<'a>,
    /// The first row's.
    key: usize,
}

/// One thread's memory.
struct Scratch<T> {
    /// Of up to [`LANES`] rows of a head: where each begins, and its elements transposed, [E, LANES].
    starts: Vec<usize>,
    transposed: Vec<f32>,
    rounded: Vec<T>,
}

/// Writes the key and the value of each row, [G, E], as the last ones that it sees. `rows` must have passed [`PagedRows::check`], and no two
/// of them may have the same place.
#[allow(clippy::too_many_arguments)]
pub fn cache_keys_and_values<T: Element>(
    isa: Isa,
    k_cache: &mut [T],
    v_cache: &mut [T],
    k: &[f32],
    v: &[f32],
    rows: PagedRows,
    shape: Shape,
) {
    let (k_cache, v_cache) = (SharedMut::new(k_cache), SharedMut::new(v_cache));
    let (block_size, width) = (rows.block_size, shape.width);
    for_units_ahead(
        &units(rows),
        rows.row_sequences.len() < FEW_ROWS,
        || Scratch {
            starts: Vec::with_capacity(LANES),
            transposed: vec![0.0; LANES * width],
            rounded: vec![T::round(0.0); LANES * width],
        },
        |Unit { rows, pages, key }, next, Scratch { starts, transposed, rounded }| {
            for kv_head in 0..shape.kv_heads {
                if let Some(Unit { rows, pages, key }) = next {
                    let value = pages.value(*key, kv_head, shape);
                    // A key lies in all lines of its head.
                    ask_to_write(k_cache.addresses(pages.head(*key, kv_head, shape)));
                    ask_to_write(v_cache.addresses(value..value + rows.len() * width));
                }
                let value = pages.value(*key, kv_head, shape);
                for (n, t) in rows.clone().enumerate() {
                    // SAFETY: the cache has the place, and no other row writes to it.
                    let target = unsafe { v_cache.slice(value + n * width..value + (n + 1) * width) };
                    T::round_all(isa, target, &v[shape.key_elements(t, kv_head)]);
                }
                for t in rows.clone().step_by(LANES) {
                    let place = pages.key(key + t - rows.start, kv_head, shape);
                    // SAFETY: the cache has the place.
                    let place = unsafe { k_cache.as_ptr().add(place) };
                    let count = LANES.min(rows.end - t);
                    if count == 1 {
                        T::round_all(isa, &mut rounded[..width], &k[shape.key_elements(t, kv_head)]);
                        for (element, value) in rounded[..width].iter().enumerate() {
                            // SAFETY: as above.
                            unsafe { *place.add(element * block_size) = *value };
                        }
                        continue;
                    }
                    starts.clear();
                    starts.extend((t..t + count).map(|t| shape.key_elements(t, kv_head).start));
                    pack_keys_transposed(isa, transposed, k, starts, width);
                    T::round_all(isa, rounded, transposed);
                    for (element, lanes) in rounded.as_chunks::<LANES>().0.iter().enumerate() {
                        // SAFETY: as above: the keys of the rows stand side by side.
                        unsafe { place.add(element * block_size).copy_from_nonoverlapping(lanes.as_ptr(), count) };
                    }
                }
            }
        },
    );
}

/// Neighbouring rows of one sequence and one block together. A row that sees no key has no place.
fn units(rows: PagedRows<'_>) -> Vec<Unit<'_>> {
    let mut units: Vec<Unit> = Vec::new();
    for t in 0..rows.row_sequences.len() {
        let Some(key) = (rows.context_lengths[t] as usize).checked_sub(1) else { continue };
        match units.last_mut() {
            Some(unit)
                if unit.rows.end == t
                    && rows.row_sequences[t] == rows.row_sequences[t - 1]
                    && key == unit.key + unit.rows.len()
                    && !key.is_multiple_of(rows.block_size) =>
            {
                unit.rows.end += 1;
            }
            _ => units.push(Unit { rows: t..t + 1, pages: rows.pages(t), key }),
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::stored::Bf16;
    use crate::kernels::testing::{each_setting, random};

    /// Orders of the rows: as they rise; neighbours of one sequence without neighbouring keys; neighbouring keys of several sequences; and
    /// as they rise but for one that sees no key.
    const NUM_ORDERS: usize = 4;

    /// The caches after the rows of three sequences, enough of them for several threads.
    fn written<T: Element>(isa: Isa, shape: Shape, block_size: usize, order: usize) -> [Vec<T>; 2] {
        let (lengths, max_blocks) = ([40_i32, 1, 23], 40_usize.div_ceil(block_size));
        let mut places: Vec<(i32, i32)> = (0..).zip(lengths).flat_map(|(s, n)| (1..=n).map(move |n| (s, n))).collect();
        match order {
            0 => {}
            1 => places.sort_by_key(|(sequence, length)| (length % 5, *sequence)),
            2 => places.sort_by_key(|(_, length)| *length),
            _ => places.insert(20, (0, 0)),
        }
        let (row_sequences, context_lengths): (Vec<i32>, Vec<i32>) = places.into_iter().unzip();
        let block_tables: Vec<i32> = (0..3 * max_blocks as i32).rev().collect();
        let row = shape.kv_heads * shape.width;
        let (k, v) = (random(1, row_sequences.len() * row), random(2, row_sequences.len() * row));
        let [mut k_cache, mut v_cache] = [(); 2].map(|()| vec![T::round(0.0); 3 * max_blocks * block_size * row]);
        let rows = PagedRows {
            row_sequences: &row_sequences,
            context_lengths: &context_lengths,
            block_tables: &block_tables,
            max_blocks,
            block_size,
        };
        cache_keys_and_values(isa, &mut k_cache, &mut v_cache, &k, &v, rows, shape);
        for (t, length) in context_lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let (pages, key) = (rows.pages(t), *length as usize - 1);
            for i in 0..row {
                let (head, element) = (i / shape.width, i % shape.width);
                let key_place = pages.key(key, head, shape) + element * block_size;
                assert_eq!(k_cache[key_place].widen(), T::round(k[t * row + i]).widen());
                let value_place = pages.value(key, head, shape) + element;
                assert_eq!(v_cache[value_place].widen(), T::round(v[t * row + i]).widen());
            }
        }
        [k_cache, v_cache]
    }

    #[test]
    fn every_number_is_written_to_its_place_and_no_other_is_touched() {
        each_setting(|isa| {
            for (kv_heads, width, block_size) in [(3, 64, 16), (2, 7, 5), (1, 16, 1)] {
                let shape = Shape { heads: 2 * kv_heads, kv_heads, width, scale: 1.0 };
                let count = |zeros: usize, length: usize| assert_eq!(length - zeros, 64 * kv_heads * width);
                for order in 0..NUM_ORDERS {
                    for cache in written::<f32>(isa, shape, block_size, order) {
                        count(cache.iter().filter(|value| **value == 0.0).count(), cache.len());
                    }
                    for cache in written::<Bf16>(isa, shape, block_size, order) {
                        count(cache.iter().filter(|value| value.widen() == 0.0).count(), cache.len());
                    }
                }
            }
        });
    }
}
