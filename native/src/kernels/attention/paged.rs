//! Attention of new rows over a paged cache of keys and values, with the sums of `online`.
//!
//! A block holds its keys transposed, [G, E, block_size], and its values as [G, block_size, E]: what one key-value head reads lies
//! together, and a product reads it where it lies. With so few queries as a step of decoding has, copying would take most of the time.
use super::online::{Context, Run, attend};
use super::product::LANES;
use super::stored::{Cache, Element};
use super::tiles::Shape;
use crate::simd::Isa;
use std::ops::Range;

/// The blocks of one sequence.
#[derive(Clone, Copy)]
pub struct Pages<'a> {
    pub table: &'a [i32],
    pub block_size: usize,
}

impl Pages<'_> {
    /// The block that holds `key`.
    pub fn block(&self, key: usize) -> usize {
        self.table[key / self.block_size] as usize
    }

    /// The part of the block of `key` that belongs to a key-value head.
    pub fn head(&self, key: usize, kv_head: usize, shape: Shape) -> Range<usize> {
        let size = self.block_size * shape.width;
        let start = (self.block(key) * shape.kv_heads + kv_head) * size;
        start..start + size
    }

    /// Where the first element of a key lies; the others follow at distances of `block_size`.
    pub fn key(&self, key: usize, kv_head: usize, shape: Shape) -> usize {
        self.head(key, kv_head, shape).start + key % self.block_size
    }

    /// Where a value begins.
    pub fn value(&self, key: usize, kv_head: usize, shape: Shape) -> usize {
        self.head(key, kv_head, shape).start + key % self.block_size * shape.width
    }

    /// Copies keys to panels of [`LANES`] keys, each [E, LANES], for blocks that are not made of whole panels.
    pub fn pack_keys_transposed(
        &self,
        target: &mut [f32],
        k_cache: &[impl Element],
        keys: Range<usize>,
        kv_head: usize,
        shape: Shape,
    ) {
        for (i, key) in keys.enumerate() {
            let start = self.key(key, kv_head, shape);
            let panel = i / LANES * shape.width * LANES;
            for element in 0..shape.width {
                target[panel + element * LANES + i % LANES] = k_cache[start + element * self.block_size].widen();
            }
        }
    }
}

/// Which cached keys each row sees: the first `context_lengths[t]` of the sequence `row_sequences[t]`, whose blocks are row
/// `row_sequences[t]` of `block_tables` [sequences, max_blocks].
#[derive(Clone, Copy)]
pub struct PagedRows<'a> {
    pub row_sequences: &'a [i32],
    pub context_lengths: &'a [i32],
    pub block_tables: &'a [i32],
    pub max_blocks: usize,
    pub block_size: usize,
}

impl<'a> PagedRows<'a> {
    /// Says what is wrong with the rows for a cache of `num_blocks` blocks, if anything: after this no index can be out of bounds.
    pub fn check(&self, num_blocks: usize) -> Result<(), String> {
        for (t, (sequence, length)) in self.row_sequences.iter().zip(self.context_lengths).enumerate() {
            let (Ok(sequence), Ok(length)) = (usize::try_from(*sequence), usize::try_from(*length)) else {
                return Err(format!("row {t}: sequence {sequence} and context length {length} must not be negative"));
            };
            let blocks = length.div_ceil(self.block_size);
            let table = self.block_tables.get(sequence * self.max_blocks..(sequence + 1) * self.max_blocks);
            let Some(table) = table.and_then(|table| table.get(..blocks)) else {
                return Err(format!("row {t}: sequence {sequence} has no table of {blocks} blocks"));
            };
            if let Some(block) = table.iter().find(|block| usize::try_from(**block).map_or(true, |b| b >= num_blocks)) {
                return Err(format!("row {t}: block {block} is not one of the cache's {num_blocks}"));
            }
        }
        Ok(())
    }

    /// The blocks of row `t`.
    pub fn pages(&self, t: usize) -> Pages<'a> {
        let start = self.row_sequences[t] as usize * self.max_blocks;
        Pages { table: &self.block_tables[start..start + self.max_blocks], block_size: self.block_size }
    }
}

/// Attention over cached keys; rows of one sequence that stand together share its
/// tiles. `rows` must have passed [`PagedRows::check`].
pub fn attention_paged(isa: Isa, out: &mut [f32], q: &[f32], cache: Cache, rows: PagedRows, shape: Shape) {
    let mut begin = 0;
    let runs = rows.row_sequences.chunk_by(|a, b| a == b).map(|sequences| {
        let range = begin..begin + sequences.len();
        begin = range.end;
        let start = sequences[0] as usize * rows.max_blocks;
        let pages = Pages { table: &rows.block_tables[start..start + rows.max_blocks], block_size: rows.block_size };
        let context = Context::Paged { pages, lengths: rows.context_lengths, cache };
        Run { rows: range, context }
    });
    attend(isa, out, None, q, runs, shape);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::attention_forward;
    use crate::kernels::attention::oracle::Example;
    use crate::kernels::attention::stored::Bf16;
    use crate::kernels::testing::each_setting;

    const BLOCK_SIZE: usize = 16;
    const MAX_BLOCKS: usize = 12;

    /// The example's segments as sequences in a cache whose unused places hold NaN: (k cache, v cache, block tables).
    fn cache(example: &Example, lengths: &[usize]) -> (Vec<f32>, Vec<f32>, Vec<i32>) {
        let width = example.shape.width;
        let row = example.shape.kv_heads * width;
        let num_blocks = lengths.len() * MAX_BLOCKS;
        let mut caches = [&example.k, &example.v].map(|_| vec![f32::NAN; num_blocks * BLOCK_SIZE * row]);
        // A stride that has no divisor in common with the number of blocks scatters them.
        let tables: Vec<i32> = (0..num_blocks).map(|i| (i * 7 % num_blocks) as i32).collect();
        let mut source = 0;
        for (sequence, length) in lengths.iter().enumerate() {
            for key in 0..*length {
                let block = tables[sequence * MAX_BLOCKS + key / BLOCK_SIZE] as usize;
                for i in 0..row {
                    let (head, element) = (i / width, i % width);
                    let start = (block * example.shape.kv_heads + head) * width * BLOCK_SIZE;
                    let place = key % BLOCK_SIZE;
                    caches[0][start + element * BLOCK_SIZE + place] = example.k[source * row + i];
                    caches[1][start + place * width + element] = example.v[source * row + i];
                }
                source += 1;
            }
        }
        let [k, v] = caches;
        (k, v, tables)
    }

    #[test]
    fn paged_rows_are_the_contiguous_rows_bit_for_bit() {
        let lengths = [70, 1, 33, 129, 16];
        for (heads, kv_heads, width) in [(9, 3, 64), (4, 4, 7), (14, 2, 24)] {
            let mut example = Example::new(&lengths, heads, kv_heads, width);
            let (k, v, tables) = cache(&example, &lengths);
            compare(&example, &lengths, Cache::F32 { k: &k, v: &v }, &tables);
            // A cache in bfloat16 holds the rounded keys and values, and all else is the same.
            let round =
                |values: &mut Vec<f32>| values.iter_mut().for_each(|value| *value = Bf16::round(*value).widen());
            round(&mut example.k);
            round(&mut example.v);
            let [k, v] = [k, v].map(|values| values.into_iter().map(Bf16::round).collect::<Vec<_>>());
            compare(&example, &lengths, Cache::Bf16 { k: &k, v: &v }, &tables);
        }
    }

    /// Compares rows of a cache, in several orders and alone, with attention over the example's own keys and values.
    fn compare(example: &Example, lengths: &[usize], cache: Cache, block_tables: &[i32]) {
        let Example { q, k, v, segments, shape, .. } = example;
        let row = shape.heads * shape.width;
        let sequences: Vec<i32> = (0..).zip(lengths).flat_map(|(s, n)| std::iter::repeat_n(s, *n)).collect();
        let positions: Vec<i32> = lengths.iter().flat_map(|n| 1..=*n as i32).collect();
        each_setting(|isa| {
            let (mut expected, mut lse) = (vec![f32::NAN; q.len()], vec![0.0; example.rows() * shape.heads]);
            attention_forward(isa, &mut expected, &mut lse, q, k, v, segments, *shape);
            let check = |order: &[usize]| {
                let pick = |values: &[i32]| -> Vec<i32> { order.iter().map(|t| values[*t]).collect() };
                let (row_sequences, context_lengths) = (pick(&sequences), pick(&positions));
                let rows = PagedRows {
                    row_sequences: &row_sequences,
                    context_lengths: &context_lengths,
                    block_tables,
                    max_blocks: MAX_BLOCKS,
                    block_size: BLOCK_SIZE,
                };
                rows.check(lengths.len() * MAX_BLOCKS).unwrap();
                let gather = |values: &[f32]| -> Vec<f32> {
                    order.iter().flat_map(|t| &values[t * row..(t + 1) * row]).copied().collect()
                };
                let mut out = vec![f32::NAN; order.len() * row];
                attention_paged(isa, &mut out, &gather(q), cache, rows, *shape);
                assert_eq!(out, gather(&expected));
            };
            check(&[]);
            check(&(0..example.rows()).collect::<Vec<_>>());
            check(&(0..example.rows()).rev().collect::<Vec<_>>());
            check(&(0..example.rows()).map(|t| t * 50 % example.rows()).collect::<Vec<_>>());
            for t in [0, 69, 70, 71, 200, 232] {
                check(&[t]);
            }
        });
    }

    #[test]
    fn a_row_without_keys_gets_zeros() {
        each_setting(|isa| {
            let example = Example::new(&[2], 2, 1, 4);
            let rows = PagedRows {
                row_sequences: &[0, 0],
                context_lengths: &[0, 2],
                block_tables: &[0],
                max_blocks: 1,
                block_size: 2,
            };
            let mut out = [f32::NAN; 16];
            let cache = Cache::F32 { k: &example.k, v: &example.v };
            attention_paged(isa, &mut out, &example.q, cache, rows, example.shape);
            assert_eq!(out[..8], [0.0; 8]);
            assert!(out[8..].iter().all(|v| v.is_finite()));
        });
    }

    #[test]
    fn rows_outside_the_cache_are_refused() {
        let good = PagedRows {
            row_sequences: &[1],
            context_lengths: &[5],
            block_tables: &[0, 1, 2, 9],
            max_blocks: 2,
            block_size: 4,
        };
        assert!(good.check(10).is_ok());
        assert!(good.check(9).is_err());
        assert!(PagedRows { row_sequences: &[2], ..good }.check(10).is_err());
        assert!(PagedRows { row_sequences: &[-1], ..good }.check(10).is_err());
        assert!(PagedRows { context_lengths: &[9], ..good }.check(10).is_err());
        assert!(PagedRows { context_lengths: &[-1], ..good }.check(10).is_err());
        assert!(PagedRows { block_tables: &[0, 1, -2, 9], ..good }.check(10).is_err());
    }
}
