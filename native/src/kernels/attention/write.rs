//! New keys and values go to their places in a paged cache.
use super::ahead::ask_to_write;
use super::paged::PagedRows;
use super::stored::Element;
use super::tiles::Shape;
use crate::kernels::split::for_units_ahead;
use crate::pool::SharedMut;
use crate::simd::Isa;

/// Fewer rows are written by the calling thread.
const FEW_ROWS: usize = 16;

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
    let units: Vec<usize> = (0..rows.row_sequences.len()).filter(|t| rows.context_lengths[*t] > 0).collect();
    let row = shape.kv_heads * shape.width;
    let place = |t: usize| (rows.pages(t), rows.context_lengths[t] as usize - 1);
    for_units_ahead(
        &units,
        units.len() < FEW_ROWS,
        || [(); 2].map(|()| vec![T::round(0.0); row]),
        |t, next, [keys, values]| {
            let (pages, key) = place(*t);
            if let Some((next_pages, next_key)) = next.map(|t| place(*t))
                && next_pages.block(next_key) != pages.block(key)
            {
                for kv_head in 0..shape.kv_heads {
                    let value = next_pages.value(next_key, kv_head, shape);
                    // A key lies in all lines of its head.
                    ask_to_write(k_cache.addresses(next_pages.head(next_key, kv_head, shape)));
                    ask_to_write(v_cache.addresses(value..value + shape.width));
                }
            }
            T::round_all(isa, keys, &k[t * row..(t + 1) * row]);
            T::round_all(isa, values, &v[t * row..(t + 1) * row]);
            let heads = keys.chunks_exact(shape.width).zip(values.chunks_exact(shape.width));
            for (kv_head, (keys, values)) in heads.enumerate() {
                let (key_start, value_start) = (pages.key(key, kv_head, shape), pages.value(key, kv_head, shape));
                // SAFETY: the cache has the place, and no other row writes to it.
                unsafe {
                    let mut place = k_cache.as_ptr().add(key_start);
                    for value in keys {
                        *place = *value;
                        place = place.wrapping_add(rows.block_size);
                    }
                    v_cache.slice(value_start..value_start + shape.width).copy_from_slice(values);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::stored::Bf16;
    use crate::kernels::testing::{each_setting, random};

    /// The caches after the rows of three sequences, enough of them for several threads.
    fn written<T: Element>(isa: Isa, shape: Shape, block_size: usize) -> [Vec<T>; 2] {
        let (lengths, max_blocks) = ([40, 1, 23], 40_usize.div_ceil(block_size));
        let of_sequences = (0..).zip(lengths).flat_map(|(sequence, n)| std::iter::repeat_n(sequence, n));
        let row_sequences: Vec<i32> = of_sequences.collect();
        let context_lengths: Vec<i32> = lengths.iter().flat_map(|n| 1..=*n as i32).collect();
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
        for (t, length) in context_lengths.iter().enumerate() {
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
                for cache in written::<f32>(isa, shape, block_size) {
                    count(cache.iter().filter(|value| **value == 0.0).count(), cache.len());
                }
                for cache in written::<Bf16>(isa, shape, block_size) {
                    count(cache.iter().filter(|value| value.widen() == 0.0).count(), cache.len());
                }
            }
        });
    }
}
