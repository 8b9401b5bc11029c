//! The gradients of one unit of attention: a rectangle of queries and keys, tile by tile.
use super::product::{LANES, Left, Panels, Right, Terms, product};
use super::segments::Segment;
use super::stored::Stored;
use super::tiles::{KEYS, Shape, pack_keys, pack_keys_transposed, pack_queries};
use crate::kernels::arithmetic::{Arithmetic, multiversion};
use crate::kernels::math::exp;
use crate::pool::SharedMut;
use crate::simd::Isa;
use std::ops::Range;

/// What the backward reads: `dout`, `out` and `q` are [T, H, E], `k` and `v` [T, G, E], `lse` [T, H].
#[derive(Clone, Copy)]
pub struct Saved<'a> {
    pub dout: &'a [f32],
    pub out: &'a [f32],
    pub lse: &'a [f32],
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
}

/// What the units read: the mean of dp under p beside what the caller saved.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub saved: Saved<'a>,
    /// [T, H]
    pub means: &'a [f32],
}

/// Where the units write. A shared row gets its own segment's part in `dk` and `dv`, and each other one's in `shared_dk` and `shared_dv`
/// [all segments' shared rows, G, E].
pub struct Gradients {
    pub dq: SharedMut<f32>,
    pub dk: SharedMut<f32>,
    pub dv: SharedMut<f32>,
    pub shared_dk: SharedMut<f32>,
    pub shared_dv: SharedMut<f32>,
}

impl Gradients {
    /// Writes a segment's part of the gradients of a key and its value.
    ///
    /// # Safety
    /// Nobody else may use this head of the segment's key.
    unsafe fn write(&self, segment: &Segment, key: usize, kv_head: usize, [dk, dv]: [&[f32]; 2], shape: Shape) {
        let (row, targets) = if key < segment.shared.len() {
            (segment.shared_before + key, [&self.shared_dk, &self.shared_dv])
        } else {
            (segment.row(key), [&self.dk, &self.dv])
        };
        let elements = shape.key_elements(row, kv_head);
        for (target, part) in targets.into_iter().zip([dk, dv]) {
            unsafe { target.slice(elements.clone()) }.copy_from_slice(&part[..shape.width]);
        }
    }
}

/// A rectangle of a segment's queries and keys, for one key-value head. Both count as the segment's keys do; queries begin at whole tiles
/// after those of shared rows, keys at whole tiles. A unit that writes dq has all keys that its rows see; one that writes dk and dv, all
/// rows that see its keys.
pub struct Unit<'a> {
    pub segment: &'a Segment<'a>,
    pub kv_head: usize,
    pub rows: Range<usize>,
    pub keys: Range<usize>,
    pub writes_dq: bool,
    pub writes_dkv: bool,
}

impl Unit<'_> {
    /// The first query of the tile of queries in which the first that sees `key` is.
    pub fn first_row(segment: &Segment, key: usize, shape: Shape) -> usize {
        let (shared, step) = (segment.shared.len(), shape.tile_rows());
        shared + key.saturating_sub(shared) / step * step
    }
}

/// One thread's memory: tiles as in `tiles`.
pub struct Tiles {
    /// Where each key of the tile begins in k and v, and packed copies.
    starts: Vec<usize>,
    keys: Vec<f32>,
    keys_transposed: Vec<f32>,
    values_transposed: Vec<f32>,
    /// Queries times the scale, and the gradients of their outputs.
    queries: Vec<f32>,
    douts: Vec<f32>,
    lse: Vec<f32>,
    means: Vec<f32>,
    /// How many keys of the tile each query sees, and the first query that sees each key.
    visible: Vec<usize>,
    first_queries: Vec<usize>,
    /// [queries, KEYS]: scores, then p; dp, then ds.
    p: Vec<f32>,
    ds: Vec<f32>,
    part: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

impl Tiles {
    pub fn new(shape: Shape) -> Self {
        let (queries, width, padded) = (shape.tile_queries(), shape.width, shape.padded());
        let zeros = |length| vec![0.0; length];
        Self {
            starts: Vec::with_capacity(KEYS),
            keys: zeros(KEYS * padded),
            keys_transposed: zeros(KEYS * width),
            values_transposed: zeros(KEYS * width),
            queries: zeros(queries * padded),
            douts: zeros(queries * padded),
            lse: zeros(queries),
            means: zeros(queries),
            visible: vec![0; queries],
            first_queries: Vec::with_capacity(KEYS),
            p: zeros(queries * KEYS),
            ds: zeros(queries * KEYS),
            part: zeros(queries.max(KEYS) * padded),
            dk: zeros(KEYS * padded),
            dv: zeros(KEYS * padded),
        }
    }

    /// Writes the gradients of a unit.
    pub fn differentiate(&mut self, isa: Isa, unit: &Unit, gradients: &Gradients, inputs: Inputs, shape: Shape) {
        let tile_rows = shape.tile_rows();
        for first_key in unit.keys.clone().step_by(KEYS) {
            let keys = first_key..unit.keys.end.min(first_key + KEYS);
            let first_row = unit.rows.start.max(Unit::first_row(unit.segment, first_key, shape));
            self.load_keys(isa, unit, keys.clone(), inputs.saved, shape);
            self.dk.fill(0.0);
            self.dv.fill(0.0);
            for first_row in (first_row..unit.rows.end).step_by(tile_rows) {
                let rows = first_row..unit.rows.end.min(first_row + tile_rows);
                self.load_queries(isa, unit, rows.clone(), inputs, shape);
                self.differentiate_scores(isa, rows.clone(), keys.clone(), shape);
                if unit.writes_dkv {
                    self.add_dk_dv(isa, rows.clone(), keys.clone(), shape);
                }
                if unit.writes_dq {
                    self.add_dq(isa, unit, rows, first_key == 0, &gradients.dq, shape);
                }
            }
            if unit.writes_dkv {
                let packed = self.dk.chunks_exact(shape.padded()).zip(self.dv.chunks_exact(shape.padded()));
                for (key, (dk, dv)) in keys.zip(packed) {
                    // SAFETY: this unit has its head of its keys for itself.
                    unsafe { gradients.write(unit.segment, key, unit.kv_head, [dk, dv], shape) };
                }
            }
        }
    }

    fn load_keys(&mut self, isa: Isa, unit: &Unit, keys: Range<usize>, saved: Saved, shape: Shape) {
        self.starts.clear();
        self.starts.extend(keys.map(|key| shape.key_elements(unit.segment.row(key), unit.kv_head).start));
        pack_keys_transposed(isa, &mut self.keys_transposed, saved.k, &self.starts, shape.width);
        pack_keys_transposed(isa, &mut self.values_transposed, saved.v, &self.starts, shape.width);
        pack_keys(&mut self.keys, saved.k, &self.starts, shape);
    }

    fn load_queries(&mut self, isa: Isa, unit: &Unit, rows: Range<usize>, inputs: Inputs, shape: Shape) {
        let Inputs { saved, means: all_means } = inputs;
        let group = shape.group();
        let first = unit.segment.row(rows.start);
        let rows = first..first + rows.len();
        pack_queries(isa, &mut self.queries, saved.q, rows.clone(), unit.kv_head, shape, shape.scale);
        pack_queries(isa, &mut self.douts, saved.dout, rows.clone(), unit.kv_head, shape, 1.0);
        let targets = self.lse.chunks_exact_mut(group).zip(self.means.chunks_exact_mut(group));
        for (t, (lse, means)) in rows.zip(targets) {
            let heads = (t * shape.kv_heads + unit.kv_head) * group;
            lse.copy_from_slice(&saved.lse[heads..heads + group]);
            means.copy_from_slice(&all_means[heads..heads + group]);
        }
    }

    /// p and ds of a tile. Elements of keys that a query does not see are left meaningless: nothing reads them.
    fn differentiate_scores(&mut self, isa: Isa, rows: Range<usize>, keys: Range<usize>, shape: Shape) {
        let (group, width, padded) = (shape.group(), shape.width, shape.padded());
        let count = rows.len() * group;
        for (row, visible) in rows.zip(self.visible.chunks_exact_mut(group)) {
            visible.fill((row + 1).saturating_sub(keys.start).min(keys.len()));
        }
        let panels = self.visible[count - 1].div_ceil(LANES);
        let (p, ds) = (&mut self.p[..count * KEYS], &mut self.ds[..count * KEYS]);
        p.fill(0.0);
        ds.fill(0.0);
        let left = |data| Left { data, row: padded, term: 1 };
        let right = |data| Right { data: Stored::F32(data), panels: Panels::Every(width * LANES), term: LANES };
        let (q, k, terms) = (left(&self.queries), right(&self.keys_transposed), Terms::All(width));
        product(isa, p, KEYS, q, k, count, panels, terms);
        let (dout, v) = (left(&self.douts), right(&self.values_transposed));
        product(isa, ds, KEYS, dout, v, count, panels, terms);
        differentiate_softmax(isa, p, ds, &self.lse, &self.means, &self.visible[..count]);
    }

    /// dv += pᵀ · dout and dk += dsᵀ · (scaled q) over the queries that see each key.
    fn add_dk_dv(&mut self, isa: Isa, rows: Range<usize>, keys: Range<usize>, shape: Shape) {
        let (group, padded) = (shape.group(), shape.padded());
        let count = rows.len() * group;
        self.first_queries.clear();
        self.first_queries.extend(keys.map(|key| (key.saturating_sub(rows.start) * group).min(count)));
        let keys = self.first_queries.len();
        let terms = Terms::From(&self.first_queries, count);
        let part = &mut self.part[..keys * padded];
        for (sums, scores, queries) in [(&mut self.dv, &self.p, &self.douts), (&mut self.dk, &self.ds, &self.queries)] {
            part.fill(0.0);
            let left = Left { data: scores, row: 1, term: KEYS };
            let right = Right { data: Stored::F32(queries), panels: Panels::Every(LANES), term: padded };
            product(isa, part, padded, left, right, keys, padded / LANES, terms);
            add(isa, sums, part);
        }
    }

    /// dq (+)= scale · ds · k
    fn add_dq(&mut self, isa: Isa, unit: &Unit, rows: Range<usize>, is_first: bool, dq: &SharedMut<f32>, shape: Shape) {
        let (group, padded) = (shape.group(), shape.padded());
        let count = rows.len() * group;
        let part = &mut self.part[..count * padded];
        part.fill(0.0);
        let left = Left { data: &self.ds, row: KEYS, term: 1 };
        let right = Right { data: Stored::F32(&self.keys), panels: Panels::Every(LANES), term: padded };
        product(isa, part, padded, left, right, count, padded / LANES, Terms::Until(&self.visible));
        for (row, parts) in rows.zip(part.chunks_exact(group * padded)) {
            // SAFETY: this unit has its heads of its rows for itself.
            let dq = unsafe { dq.slice(shape.query_elements(unit.segment.row(row), unit.kv_head)) };
            for (dq, part) in dq.chunks_exact_mut(shape.width).zip(parts.chunks_exact(padded)) {
                add_scaled(isa, dq, part, shape.scale, !is_first);
            }
        }
    }
}

multiversion! {
    /// From scores and dp = dout·v [queries, KEYS]: p = exp(score − lse) and ds = p · (dp − mean), for visible keys.
    fn differentiate_softmax(
        p: &mut [f32],
        ds: &mut [f32],
        lse: &[f32],
        means: &[f32],
        visible: &[usize]
    ) = softmax_body;

    /// sums += part
    pub fn add(sums: &mut [f32], part: &[f32]) = add_body;

    /// sums = factor · part, or += that.
    fn add_scaled(sums: &mut [f32], part: &[f32], factor: f32, accumulate: bool) = add_scaled_body;
}

#[inline(always)]
fn softmax_body<A: Arithmetic>(p: &mut [f32], ds: &mut [f32], lse: &[f32], means: &[f32], visible: &[usize]) {
    for (i, keys) in visible.iter().enumerate() {
        let (lse, mean) = (lse[i], means[i]);
        let columns = keys.next_multiple_of(LANES);
        for (p, ds) in p[i * KEYS..][..columns].iter_mut().zip(&mut ds[i * KEYS..][..columns]) {
            *p = exp::<A>(*p - lse);
            *ds = *p * (*ds - mean);
        }
    }
}

#[inline(always)]
fn add_body<A: Arithmetic>(sums: &mut [f32], part: &[f32]) {
    for (sum, part) in sums.iter_mut().zip(part) {
        *sum += part;
    }
}

#[inline(always)]
fn add_scaled_body<A: Arithmetic>(sums: &mut [f32], part: &[f32], factor: f32, accumulate: bool) {
    if accumulate {
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum = A::mul_add(*part, factor, *sum);
        }
    } else {
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum = part * factor;
        }
    }
}
