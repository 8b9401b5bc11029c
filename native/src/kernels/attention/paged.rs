//! Attention of new rows over a paged cache of keys and values, with the sums of `online`.
use super::online::{Context, Run, attend};
use super::tiles::Shape;
use crate::simd::Isa;

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

impl PagedRows<'_> {
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

    /// Where the last key that row t sees lies in the cache; `None` if it sees none.
    fn last_slot(&self, t: usize) -> Option<usize> {
        let position = (self.context_lengths[t] as usize).checked_sub(1)?;
        let block = self.block_tables[self.row_sequences[t] as usize * self.max_blocks + position / self.block_size];
        Some(block as usize * self.block_size + position % self.block_size)
    }
}

/// Writes the key and the value of each row, [G, E], as the last ones that it sees. `rows` must have passed [`PagedRows::check`].
pub fn cache_keys_and_values(
    k_cache: &mut [f32],
    v_cache: &mut [f32],
    k: &[f32],
    v: &[f32],
    rows: PagedRows,
    shape: Shape,
) {
    let width = shape.kv_heads * shape.width;
    for t in 0..rows.row_sequences.len() {
        if let Some(slot) = rows.last_slot(t) {
            k_cache[slot * width..(slot + 1) * width].copy_from_slice(&k[t * width..(t + 1) * width]);
            v_cache[slot * width..(slot + 1) * width].copy_from_slice(&v[t * width..(t + 1) * width]);
        }
    }
}

/// Attention over cached keys. Caches are [blocks · block_size, G, E]; rows of one sequence that stand together share its
/// tiles. `rows` must have passed [`PagedRows::check`].
pub fn attention_paged(
    isa: Isa,
    out: &mut [f32],
    q: &[f32],
    k_cache: &[f32],
    v_cache: &[f32],
    rows: PagedRows,
    shape: Shape,
) {
    let mut begin = 0;
    let runs = rows.row_sequences.chunk_by(|a, b| a == b).map(|sequences| {
        let range = begin..begin + sequences.len();
        begin = range.end;
        let table = &rows.block_tables[sequences[0] as usize * rows.max_blocks..][..rows.max_blocks];
        let context = Context::Paged { table, block_size: rows.block_size, lengths: rows.context_lengths };
        Run { rows: range, context }
    });
    attend(isa, out, None, q, k_cache, v_cache, runs, shape);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::attention_forward;
    use crate::kernels::attention::oracle::Example;
    use crate::kernels::testing::each_setting;

    const BLOCK_SIZE: usize = 16;
    const MAX_BLOCKS: usize = 12;

    /// The example's segments as sequences in a cache whose unused places hold NaN: (k cache, v cache, block tables).
    fn cache(example: &Example, lengths: &[usize]) -> (Vec<f32>, Vec<f32>, Vec<i32>) {
        let row = example.shape.kv_heads * example.shape.width;
        let num_blocks = lengths.len() * MAX_BLOCKS;
        let mut caches = [&example.k, &example.v].map(|_| vec![f32::NAN; num_blocks * BLOCK_SIZE * row]);
        // A stride that has no divisor in common with the number of blocks scatters them.
        let tables: Vec<i32> = (0..num_blocks).map(|i| (i * 7 % num_blocks) as i32).collect();
        let mut source = 0;
        for (sequence, length) in lengths.iter().enumerate() {
            for key in 0..*length {
                let block = tables[sequence * MAX_BLOCKS + key / BLOCK_SIZE] as usize;
                let target = (block * BLOCK_SIZE + key % BLOCK_SIZE) * row;
                for (cache, values) in caches.iter_mut().zip([&example.k, &example.v]) {
                    cache[target..target + row].copy_from_slice(&values[source * row..(source + 1) * row]);
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
            let example = Example::new(&lengths, heads, kv_heads, width);
            let (k_cache, v_cache, block_tables) = cache(&example, &lengths);
            let row = heads * width;
            let sequences: Vec<i32> = (0..).zip(lengths).flat_map(|(s, n)| std::iter::repeat_n(s, n)).collect();
            let positions: Vec<i32> = lengths.iter().flat_map(|n| 1..=*n as i32).collect();
            each_setting(|isa| {
                let (mut expected, mut lse) = (vec![f32::NAN; example.q.len()], vec![0.0; example.rows() * heads]);
                let Example { q, k, v, segment_starts, shape, .. } = &example;
                attention_forward(isa, &mut expected, &mut lse, q, k, v, segment_starts, *shape);
                let check = |order: &[usize]| {
                    let pick = |values: &[i32]| -> Vec<i32> { order.iter().map(|t| values[*t]).collect() };
                    let (row_sequences, context_lengths) = (pick(&sequences), pick(&positions));
                    let rows = PagedRows {
                        row_sequences: &row_sequences,
                        context_lengths: &context_lengths,
                        block_tables: &block_tables,
                        max_blocks: MAX_BLOCKS,
                        block_size: BLOCK_SIZE,
                    };
                    rows.check(lengths.len() * MAX_BLOCKS).unwrap();
                    let gather = |values: &[f32]| -> Vec<f32> {
                        order.iter().flat_map(|t| &values[t * row..(t + 1) * row]).copied().collect()
                    };
                    let mut out = vec![f32::NAN; order.len() * row];
                    attention_paged(isa, &mut out, &gather(q), &k_cache, &v_cache, rows, *shape);
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
            attention_paged(isa, &mut out, &example.q, &example.k, &example.v, rows, example.shape);
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
