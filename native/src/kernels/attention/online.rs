//! Attention without a T×T matrix (Dao et al., 2022): keys pass by in tiles, and each query keeps a running maximum, the sum
//! of its exponentials and its weighted sum of values. The same code serves packed segments and paged caches, so that a row's
//! result is the same bits in both. Packed segments are copied into tiles; pages lie in the cache as the products read them.
use super::ahead::{Lines, ask_to_read};
use super::paged::Pages;
use super::product::{LANES, Left, Panels, Right, Terms, product, product_ahead};
use super::segments::Segment;
use super::softmax::{correct, exponentiate};
use super::stored::{Cache, Element, Stored};
use super::tiles::{KEYS, LITTLE, Shape, pack_keys, pack_keys_transposed, pack_queries};
use crate::kernels::aligned::addresses;
use crate::kernels::split::for_units_ahead;
use crate::pool::SharedMut;
use crate::simd::Isa;
use std::ops::Range;

/// Tiles of queries that share one packing of the keys.
const TILES: usize = 4;

/// With more rows than these, what is read of memory is little beside what is computed.
const FEW_ROWS: usize = 4;

/// The keys that a run of rows sees.
#[derive(Clone, Copy)]
pub enum Context<'a> {
    /// The keys of a segment up to row t itself.
    Segment { segment: &'a Segment<'a>, k: &'a [f32], v: &'a [f32] },
    /// The first `lengths[t]` keys of a sequence's pages.
    Paged { pages: Pages<'a>, lengths: &'a [i32], cache: Cache<'a> },
}

impl Context<'_> {
    /// How many keys row t sees.
    fn length(&self, t: usize) -> usize {
        match self {
            Context::Segment { segment, .. } => segment.shared.len() + t + 1 - segment.rows.start,
            Context::Paged { lengths, .. } => lengths[t] as usize,
        }
    }
}

/// Consecutive rows that read the same keys.
pub struct Run<'a> {
    pub rows: Range<usize>,
    pub context: Context<'a>,
}

struct Unit<'a> {
    rows: Range<usize>,
    context: Context<'a>,
    kv_head: usize,
    /// Pairs of a row and a key.
    pairs: usize,
}

impl Unit<'_> {
    /// Where the cached keys or values of `keys` lie, block by block: none if they are not in a cache.
    fn stretches(&self, part: Part, keys: Range<usize>, shape: Shape) -> impl DoubleEndedIterator<Item = Range<usize>> {
        let paged = match self.context {
            Context::Paged { pages, cache, .. } => Some((pages, cache)),
            Context::Segment { .. } => None,
        };
        paged.into_iter().flat_map(move |(pages, cache)| {
            keys.clone().step_by(pages.block_size).map(move |first| {
                let head = pages.head(first, self.kv_head, shape);
                match (cache, part) {
                    (Cache::F32 { k, .. }, Part::Keys) => addresses(&k[head]),
                    (Cache::F32 { v, .. }, Part::Values) => addresses(&v[head]),
                    (Cache::Bf16 { k, .. }, Part::Keys) => addresses(&k[head]),
                    (Cache::Bf16 { v, .. }, Part::Values) => addresses(&v[head]),
                }
            })
        })
    }

    /// Adds the unit's cached keys and values to what is to be asked for, in the order in which they are read.
    fn announce(&self, lines: &mut Lines, shape: Shape) {
        let longest = self.context.length(self.rows.end - 1);
        for first in (0..longest.div_ceil(KEYS)).rev().map(|tile| tile * KEYS) {
            for part in [Part::Values, Part::Keys] {
                let keys = first..longest.min(first + KEYS);
                self.stretches(part, keys, shape).rev().for_each(|stretch| lines.add_first(stretch));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Keys,
    Values,
}

/// Attention of every run's rows over the run's keys.
#[allow(clippy::too_many_arguments)]
pub fn attend<'a>(
    isa: Isa,
    out: &mut [f32],
    lse: Option<&mut [f32]>,
    q: &[f32],
    runs: impl Iterator<Item = Run<'a>>,
    shape: Shape,
) {
    let mut units = Vec::new();
    for Run { rows, context } in runs {
        for start in rows.clone().step_by(TILES * shape.tile_rows()) {
            let rows = start..rows.end.min(start + TILES * shape.tile_rows());
            let pairs = rows.clone().map(|t| context.length(t)).sum();
            units.extend((0..shape.kv_heads).map(|kv_head| Unit { rows: rows.clone(), context, kv_head, pairs }));
        }
    }
    // The largest first: what is left at the end, when threads run out of work, is small.
    units.sort_by_key(|unit| std::cmp::Reverse(unit.pairs));
    let work = units.iter().map(|unit| unit.pairs).sum::<usize>() * shape.group() * shape.width * 2;
    let most_rows = units.iter().map(|unit| unit.rows.len()).max().unwrap_or(0);
    let (out, lse) = (SharedMut::new(out), lse.map(SharedMut::new));
    for_units_ahead(
        &units,
        work < LITTLE,
        || Scratch::new(shape, most_rows),
        |unit, next, scratch| {
            scratch.lengths.clear();
            scratch.lengths.extend(unit.rows.clone().map(|t| unit.context.length(t)));
            scratch.attend(isa, unit, next, q, shape);
            // SAFETY: a unit has its heads of its rows for itself.
            unsafe { scratch.write(unit, &out, lse.as_ref(), shape) };
        },
    );
}

/// Where a tile's keys or values are.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// In the scratch memory.
    Packed,
    /// In the cache, where a panel of [`LANES`] keys begins at `starts` (`value_starts`); `term` is the distance of two terms of a product.
    Cached { data: Stored<'a>, term: usize },
}

/// One thread's memory. Queries are those of a unit, tiles as in `tiles`.
struct Scratch {
    /// How many keys each row sees.
    lengths: Vec<usize>,
    queries: Vec<f32>,
    /// Of the tile of keys: where each begins in k and v, or each panel in the cache; and packed copies.
    starts: Vec<usize>,
    value_starts: Vec<usize>,
    keys_transposed: Vec<f32>,
    values: Vec<f32>,
    /// Of one tile: scores, then exponentials [queries, KEYS].
    scores: Vec<f32>,
    /// Of one tile: keys seen by each query, what its old sums are multiplied by, and its part of the weighted values.
    visible: Vec<usize>,
    /// The same of one panel.
    panel_visible: Vec<usize>,
    corrections: Vec<f32>,
    part: Vec<f32>,
    /// Of each query: the largest score so far, the sum of exp(score − largest), and the values weighted so.
    largest: Vec<f32>,
    sums: Vec<f32>,
    weighted: Vec<f32>,
    /// What the next unit reads.
    ahead: Lines,
}

impl Scratch {
    fn new(shape: Shape, rows: usize) -> Self {
        let (queries, tile) = (rows * shape.group(), shape.tile_queries());
        Self {
            lengths: Vec::with_capacity(rows),
            queries: vec![0.0; queries * shape.padded()],
            starts: Vec::with_capacity(KEYS),
            value_starts: Vec::with_capacity(KEYS),
            keys_transposed: vec![0.0; KEYS * shape.width],
            values: vec![0.0; KEYS * shape.padded()],
            scores: vec![0.0; tile * KEYS],
            visible: vec![0; tile],
            panel_visible: vec![0; tile],
            corrections: vec![0.0; tile],
            part: vec![0.0; tile * shape.padded()],
            largest: vec![0.0; queries],
            sums: vec![0.0; queries],
            weighted: vec![0.0; queries * shape.padded()],
            ahead: Lines::default(),
        }
    }

    /// Attention of a unit's rows, left in `weighted`, `sums` and `largest`.
    fn attend(&mut self, isa: Isa, unit: &Unit, next: Option<&Unit>, q: &[f32], shape: Shape) {
        let (group, padded, tile_rows) = (shape.group(), shape.padded(), shape.tile_rows());
        let rows = unit.rows.len();
        pack_queries(isa, &mut self.queries, q, unit.rows.clone(), unit.kv_head, shape, shape.scale);
        self.largest[..rows * group].fill(f32::NEG_INFINITY);
        self.sums[..rows * group].fill(0.0);
        self.weighted[..rows * group * padded].fill(0.0);

        self.ahead.clear();
        let has_few = rows <= FEW_ROWS;
        if let Some(next) = next.filter(|_| has_few) {
            next.announce(&mut self.ahead, shape);
        }
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let tile = |first_key: usize| first_key.min(longest)..longest.min(first_key + KEYS);
        let ask = |part, keys| {
            if !has_few {
                unit.stretches(part, keys, shape).for_each(ask_to_read);
            }
        };
        ask(Part::Keys, tile(0));
        for first_key in (0..longest).step_by(KEYS) {
            let keys = tile(first_key);
            ask(Part::Values, keys.clone());
            ask(Part::Keys, tile(first_key + KEYS));
            let (keys, values) = self.find_keys(isa, unit, keys, shape);
            for first_row in (0..rows).step_by(tile_rows) {
                let rows = first_row..rows.min(first_row + tile_rows);
                let most = self.see_keys(rows.clone(), group, first_key);
                if most > 0 {
                    self.attend_tile(isa, keys, values, rows.start * group..rows.end * group, most, shape);
                }
            }
        }
    }

    /// Notes how many keys of a tile each query of `rows` sees, and returns the most.
    fn see_keys(&mut self, rows: Range<usize>, group: usize, first_key: usize) -> usize {
        let mut most = 0;
        for (length, visible) in self.lengths[rows].iter().zip(self.visible.chunks_exact_mut(group)) {
            let keys = length.saturating_sub(first_key).min(KEYS);
            visible.fill(keys);
            most = most.max(keys);
        }
        most
    }

    /// Finds a tile of keys and values where they lie, or packs them.
    fn find_keys<'a>(&mut self, isa: Isa, unit: &Unit<'a>, keys: Range<usize>, shape: Shape) -> (Place<'a>, Place<'a>) {
        self.starts.clear();
        self.value_starts.clear();
        match unit.context {
            Context::Segment { segment, k, v } => {
                let element = |key| shape.key_elements(segment.row(key), unit.kv_head).start;
                self.starts.extend(keys.map(element));
                pack_keys_transposed(isa, &mut self.keys_transposed, k, &self.starts, shape.width);
                pack_keys(&mut self.values, v, &self.starts, shape);
                (Place::Packed, Place::Packed)
            }
            Context::Paged { pages, cache: Cache::F32 { k, v }, .. } => {
                self.find_cached(pages, k, v, keys, unit.kv_head, shape)
            }
            Context::Paged { pages, cache: Cache::Bf16 { k, v }, .. } => {
                self.find_cached(pages, k, v, keys, unit.kv_head, shape)
            }
        }
    }

    fn find_cached<'a, T: Element>(
        &mut self,
        pages: Pages,
        k: &'a [T],
        v: &'a [T],
        keys: Range<usize>,
        kv_head: usize,
        shape: Shape,
    ) -> (Place<'a>, Place<'a>) {
        let has_panels = pages.block_size.is_multiple_of(LANES);
        let of_keys = if has_panels {
            let panels = keys.clone().step_by(LANES);
            self.starts.extend(panels.map(|key| pages.key(key, kv_head, shape)));
            Place::Cached { data: T::stored(k), term: pages.block_size }
        } else {
            pages.pack_keys_transposed(&mut self.keys_transposed, k, keys.clone(), kv_head, shape);
            Place::Packed
        };
        let are_whole = has_panels && shape.width == shape.padded();
        let step = if are_whole { LANES } else { 1 };
        self.value_starts.extend(keys.step_by(step).map(|key| pages.value(key, kv_head, shape)));
        if are_whole {
            return (of_keys, Place::Cached { data: T::stored(v), term: shape.width });
        }
        pack_keys(&mut self.values, v, &self.value_starts, shape);
        (of_keys, Place::Packed)
    }

    /// Brings a tile of keys to a tile of queries; no query sees more than the first `most` of them.
    fn attend_tile(&mut self, isa: Isa, keys: Place, values: Place, queries: Range<usize>, most: usize, shape: Shape) {
        let (width, padded, count) = (shape.width, shape.padded(), queries.len());
        let panels = most.div_ceil(LANES);
        let visible = &self.visible[..count];
        let scores = &mut self.scores[..count * KEYS];
        let part = &mut self.part[..count * padded];
        scores.fill(0.0);
        part.fill(0.0);

        let left = Left { data: &self.queries[queries.start * padded..], row: padded, term: 1 };
        match keys {
            Place::Packed => {
                let right = Right {
                    data: Stored::F32(&self.keys_transposed),
                    panels: Panels::Every(width * LANES),
                    term: LANES,
                };
                product(isa, scores, KEYS, left, right, count, panels, Terms::All(width));
            }
            Place::Cached { data, term } => {
                let right = Right { data, panels: Panels::At(&self.starts), term };
                let terms = Terms::All(width);
                product_ahead(isa, scores, KEYS, left, right, count, panels, terms, &mut self.ahead);
            }
        }

        let (largest, sums) = (&mut self.largest[queries.clone()], &mut self.sums[queries.clone()]);
        exponentiate(isa, scores, visible, largest, sums, &mut self.corrections);

        match values {
            Place::Packed => {
                let left = Left { data: scores, row: KEYS, term: 1 };
                let right = Right { data: Stored::F32(&self.values), panels: Panels::Every(LANES), term: padded };
                product(isa, part, padded, left, right, count, padded / LANES, Terms::Until(visible));
            }
            Place::Cached { data, term } => {
                let ends = &mut self.panel_visible[..count];
                // The sums go on from one panel to the next: the chain of a sum is the same as over packed values.
                for (panel, start) in self.value_starts[..panels].iter().enumerate() {
                    for (end, visible) in ends.iter_mut().zip(visible) {
                        *end = visible.saturating_sub(panel * LANES).min(LANES);
                    }
                    let left = Left { data: &scores[panel * LANES..], row: KEYS, term: 1 };
                    let right = Right { data: data.from(*start), panels: Panels::Every(LANES), term };
                    let terms = Terms::Until(ends);
                    product_ahead(isa, part, padded, left, right, count, padded / LANES, terms, &mut self.ahead);
                }
            }
        }

        let weighted = &mut self.weighted[queries.start * padded..queries.end * padded];
        correct(isa, weighted, part, &self.corrections, visible);
    }

    /// Divides by the sums. A row that sees no key gets zeros.
    ///
    /// # Safety
    /// No other thread may use this unit's heads of its rows.
    unsafe fn write(&self, unit: &Unit, out: &SharedMut<f32>, lse: Option<&SharedMut<f32>>, shape: Shape) {
        let group = shape.group();
        for (row, t) in unit.rows.clone().enumerate() {
            let queries = row * group..(row + 1) * group;
            let out = unsafe { out.slice(shape.query_elements(t, unit.kv_head)) };
            for (query, out) in queries.clone().zip(out.chunks_exact_mut(shape.width)) {
                let factor = if self.lengths[row] == 0 { 0.0 } else { 1.0 / self.sums[query] };
                for (out, weighted) in out.iter_mut().zip(&self.weighted[query * shape.padded()..]) {
                    *out = weighted * factor;
                }
            }
            if let Some(lse) = lse {
                let start = (t * shape.kv_heads + unit.kv_head) * group;
                let lse = unsafe { lse.slice(start..start + group) };
                for (query, lse) in queries.zip(lse) {
                    *lse = self.largest[query] + self.sums[query].ln();
                }
            }
        }
    }
}
