//! The vjp of causal attention inside segments. Probabilities are worked out again from the forward's lse (Dao et al., 2022):
//! with D = dout·out, p = exp(score − lse) and ds = p · (dout·v − D).
use super::arithmetic::{Arithmetic, multiversion};
use super::attention::segments;
use super::attention_tiles::{
    KEYS, LANES, Left, Right, Shape, Terms, for_units, pack_keys, pack_keys_transposed, pack_queries, product,
};
use super::math::{dot, exp};
use crate::pool::{SharedMut, for_rows, threads};
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
struct Inputs<'a> {
    saved: Saved<'a>,
    /// [T, H]
    means: &'a [f32],
}

struct Gradients {
    dq: SharedMut<f32>,
    dk: SharedMut<f32>,
    dv: SharedMut<f32>,
}

/// A rectangle of a segment's queries and keys, for one key-value head. Rows and keys count from the segment's start and begin
/// at whole tiles. A unit that writes dq has all keys that its rows see; one that writes dk and dv, all rows that see its keys.
struct Unit {
    segment: Range<usize>,
    kv_head: usize,
    rows: Range<usize>,
    keys: Range<usize>,
    writes_dq: bool,
    writes_dkv: bool,
}

impl Unit {
    /// Pairs of a row and a key, about, times the products for each.
    fn cost(&self) -> usize {
        let seen = |end: usize| end.saturating_sub(self.keys.start).min(self.keys.len());
        let pairs = self.rows.len() * (seen(self.rows.start + 1) + seen(self.rows.end)) / 2;
        pairs * (2 + usize::from(self.writes_dq) + 2 * usize::from(self.writes_dkv))
    }
}

/// Writes dq, dk and dv.
///
/// A segment is one unit per key-value head if these are many enough to keep the threads busy; otherwise dq is done by rows and
/// dk and dv by keys, which costs two products of seven more. The sums' order is the same: dq's runs over tiles of keys, those
/// of dk and dv over tiles of queries, both from the segment's start.
pub fn attention_backward(
    isa: Isa,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    saved: Saved,
    segment_starts: &[i32],
    shape: Shape,
) {
    let units = plan(&segments(segment_starts), shape, threads());
    let work = units.iter().map(Unit::cost).sum::<usize>() * shape.group() * shape.width;
    let mut means = vec![0.0; saved.lse.len()];
    let shared = SharedMut::new(&mut means);
    for_rows(saved.lse.len(), (8192 / shape.width).max(1), |range| {
        let elements = range.start * shape.width..range.end * shape.width;
        // SAFETY: the ranges of two parts do not overlap.
        let means = unsafe { shared.slice(range) };
        mean_rows(isa, means, &saved.dout[elements.clone()], &saved.out[elements], shape.width);
    });
    let inputs = Inputs { saved, means: &means };
    let gradients = Gradients { dq: SharedMut::new(dq), dk: SharedMut::new(dk), dv: SharedMut::new(dv) };
    for_units(
        &units,
        work,
        || Scratch::new(shape),
        |unit, scratch| scratch.differentiate(isa, unit, &gradients, inputs, shape),
    );
}

fn plan(segments: &[Range<usize>], shape: Shape, threads: usize) -> Vec<Unit> {
    let squares: usize = segments.iter().map(|segment| segment.len() * segment.len()).sum();
    let mut units = Vec::new();
    for segment in segments {
        let length = segment.len();
        let is_small = 2 * threads * length * length <= squares * shape.kv_heads;
        for kv_head in 0..shape.kv_heads {
            let unit = |rows: Range<usize>, keys: Range<usize>, writes_dq, writes_dkv| Unit {
                segment: segment.clone(),
                kv_head,
                rows,
                keys,
                writes_dq,
                writes_dkv,
            };
            if threads == 1 || is_small {
                units.push(unit(0..length, 0..length, true, true));
                continue;
            }
            let step = 4 * shape.tile_rows();
            let row_blocks = (0..length).step_by(step).map(|start| start..length.min(start + step));
            units.extend(row_blocks.map(|rows| unit(rows.clone(), 0..rows.end, true, false)));
            let key_blocks = (0..length).step_by(KEYS).map(|start| start..length.min(start + KEYS));
            units.extend(key_blocks.map(|keys| {
                let first_row = keys.start / shape.tile_rows() * shape.tile_rows();
                unit(first_row..length, keys, false, true)
            }));
        }
    }
    units.sort_by_key(|unit| std::cmp::Reverse(unit.cost()));
    units
}

/// One thread's memory: tiles as in `attention_tiles`.
struct Scratch {
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

impl Scratch {
    fn new(shape: Shape) -> Self {
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

    fn differentiate(&mut self, isa: Isa, unit: &Unit, gradients: &Gradients, inputs: Inputs, shape: Shape) {
        let tile_rows = shape.tile_rows();
        for first_key in unit.keys.clone().step_by(KEYS) {
            let keys = first_key..unit.keys.end.min(first_key + KEYS);
            let first_row = unit.rows.start.max(first_key / tile_rows * tile_rows);
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
                for (start, (dk, dv)) in self.starts.iter().zip(packed) {
                    let elements = *start..start + shape.width;
                    // SAFETY: this unit has its head of its keys for itself.
                    unsafe {
                        gradients.dk.slice(elements.clone()).copy_from_slice(&dk[..shape.width]);
                        gradients.dv.slice(elements).copy_from_slice(&dv[..shape.width]);
                    }
                }
            }
        }
    }

    fn load_keys(&mut self, isa: Isa, unit: &Unit, keys: Range<usize>, saved: Saved, shape: Shape) {
        self.starts.clear();
        self.starts.extend(keys.map(|key| shape.key_elements(unit.segment.start + key, unit.kv_head).start));
        pack_keys_transposed(isa, &mut self.keys_transposed, saved.k, &self.starts, shape.width);
        pack_keys_transposed(isa, &mut self.values_transposed, saved.v, &self.starts, shape.width);
        pack_keys(&mut self.keys, saved.k, &self.starts, shape);
    }

    fn load_queries(&mut self, isa: Isa, unit: &Unit, rows: Range<usize>, inputs: Inputs, shape: Shape) {
        let Inputs { saved, means: all_means } = inputs;
        let (group, start) = (shape.group(), unit.segment.start);
        let rows = start + rows.start..start + rows.end;
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
        let right = |data| Right { data, panel: width * LANES, term: LANES };
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
        for (sums, scores, queries) in
            [(&mut self.dv, &self.p, &self.douts), (&mut self.dk, &self.ds, &self.queries)]
        {
            part.fill(0.0);
            let left = Left { data: scores, row: 1, term: KEYS };
            let right = Right { data: queries, panel: LANES, term: padded };
            product(isa, part, padded, left, right, keys, padded / LANES, terms);
            add(isa, sums, part);
        }
    }

    /// dq (+)= scale · ds · k
    fn add_dq(
        &mut self,
        isa: Isa,
        unit: &Unit,
        rows: Range<usize>,
        is_first: bool,
        dq: &SharedMut<f32>,
        shape: Shape,
    ) {
        let (group, padded) = (shape.group(), shape.padded());
        let count = rows.len() * group;
        let part = &mut self.part[..count * padded];
        part.fill(0.0);
        let left = Left { data: &self.ds, row: KEYS, term: 1 };
        let right = Right { data: &self.keys, panel: LANES, term: padded };
        product(isa, part, padded, left, right, count, padded / LANES, Terms::Until(&self.visible));
        for (row, parts) in rows.zip(part.chunks_exact(group * padded)) {
            // SAFETY: this unit has its heads of its rows for itself.
            let dq = unsafe { dq.slice(shape.query_elements(unit.segment.start + row, unit.kv_head)) };
            for (dq, part) in dq.chunks_exact_mut(shape.width).zip(parts.chunks_exact(padded)) {
                add_scaled(isa, dq, part, shape.scale, !is_first);
            }
        }
    }
}

multiversion! {
    /// means_TH = Σ_e dout · out, the mean of dp under p.
    fn mean_rows(means: &mut [f32], dout: &[f32], out: &[f32], width: usize) = mean_body;

    /// From scores and dp = dout·v [queries, KEYS]: p = exp(score − lse) and ds = p · (dp − mean), for visible keys.
    fn differentiate_softmax(
        p: &mut [f32],
        ds: &mut [f32],
        lse: &[f32],
        means: &[f32],
        visible: &[usize]
    ) = softmax_body;

    /// sums += part
    fn add(sums: &mut [f32], part: &[f32]) = add_body;

    /// sums = factor · part, or += that.
    fn add_scaled(sums: &mut [f32], part: &[f32], factor: f32, accumulate: bool) = add_scaled_body;
}

#[inline(always)]
fn mean_body<A: Arithmetic>(means: &mut [f32], dout: &[f32], out: &[f32], width: usize) {
    for (i, mean) in means.iter_mut().enumerate() {
        *mean = dot::<A>(&dout[i * width..][..width], &out[i * width..][..width]);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::attention_forward;
    use crate::kernels::attention_oracle::Example;
    use crate::kernels::testing::{assert_close, each_setting};

    fn backward(isa: Isa, example: &Example) -> [Vec<f32>; 3] {
        let Example { q, k, v, dout, segment_starts, shape } = example;
        let (mut out, mut lse) = (vec![f32::NAN; q.len()], vec![f32::NAN; example.rows() * shape.heads]);
        attention_forward(isa, &mut out, &mut lse, q, k, v, segment_starts, *shape);
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|values| vec![f32::NAN; values.len()]);
        let saved = Saved { dout, out: &out, lse: &lse, q, k, v };
        attention_backward(isa, &mut dq, &mut dk, &mut dv, saved, segment_starts, *shape);
        [dq, dk, dv]
    }

    #[test]
    fn gradients_match_float64() {
        let cases: [(&[usize], usize, usize, usize); 7] = [
            (&[], 3, 1, 8),
            (&[2], 1, 1, 1),
            (&[1, 2, 67, 3], 6, 2, 7),
            (&[131, 64, 65], 9, 3, 64),
            (&[1, 300], 2, 2, 32),
            (&[97], 14, 2, 24),
            (&[5, 70], 64, 1, 17),
        ];
        for (lengths, heads, kv_heads, width) in cases {
            let example = Example::new(lengths, heads, kv_heads, width);
            let exact = example.exact();
            each_setting(|isa| {
                let [dq, dk, dv] = backward(isa, &example);
                assert_close(&dq, &exact.dq, 5e-6);
                assert_close(&dk, &exact.dk, 5e-6);
                assert_close(&dv, &exact.dv, 5e-6);
            });
        }
    }

    #[test]
    fn gradients_of_a_segment_are_the_same_alone_and_however_the_work_is_split() {
        let lengths = [150, 1, 33, 260, 64];
        let example = Example::new(&lengths, 6, 2, 20);
        let mut start = 0;
        for length in lengths {
            let rows = start..start + length;
            let of = |values: &[f32], row: usize| values[rows.start * row..rows.end * row].to_vec();
            let alone = Example {
                segment_starts: vec![0; length],
                q: of(&example.q, 120),
                k: of(&example.k, 40),
                v: of(&example.v, 40),
                dout: of(&example.dout, 120),
                ..example
            };
            let split = plan(&segments(&alone.segment_starts), alone.shape, 8);
            assert!(split.iter().all(|unit| !(unit.writes_dq && unit.writes_dkv)), "this compares both ways");
            each_setting(|isa| {
                let [dq, dk, dv] = backward(isa, &example);
                assert_eq!(backward(isa, &alone), [of(&dq, 120), of(&dk, 40), of(&dv, 40)]);
            });
            start += length;
        }
    }

    #[test]
    fn a_plan_writes_every_gradient_once() {
        let shape = Shape { heads: 9, kv_heads: 3, width: 4, scale: 1.0 };
        for threads in [1, 2, 16] {
            for lengths in [&[][..], &[1], &[700], &[5, 300, 64, 1], &[64; 40]] {
                let example = Example::new(lengths, 9, 3, 4);
                let rows = example.rows();
                let (mut dq, mut dkv) = (vec![0; rows * 3], vec![0; rows * 3]);
                for unit in plan(&segments(&example.segment_starts), shape, threads) {
                    let length = unit.segment.len();
                    let at = |local: usize| (unit.segment.start + local) * 3 + unit.kv_head;
                    if unit.writes_dq {
                        assert!(unit.keys.start == 0 && unit.keys.end >= unit.rows.end);
                        unit.rows.clone().for_each(|row| dq[at(row)] += 1);
                    }
                    if unit.writes_dkv {
                        assert!(unit.rows.start <= unit.keys.start && unit.rows.end == length);
                        unit.keys.clone().for_each(|key| dkv[at(key)] += 1);
                    }
                }
                assert!(dq.iter().chain(&dkv).all(|count| *count == 1));
            }
        }
    }
}
