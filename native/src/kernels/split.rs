//! How work is shared by threads: products of matrices in a grid, other work in units.
use crate::pool::{for_rows, threads};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Products with fewer multiplications than this stay on the calling thread: waking another costs more.
const SMALL: usize = 1 << 16;

/// Calls `body(rows, columns)` for a fixed grid of at most `threads()` parts; columns are split at multiples of `grain`.
pub fn for_blocks(
    rows: usize,
    columns: usize,
    depth: usize,
    grain: usize,
    body: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    let is_small = rows.saturating_mul(columns).saturating_mul(depth) < SMALL;
    let (row_parts, column_parts) = if is_small { (1, 1) } else { grid(rows, columns.div_ceil(grain), threads()) };
    let grains = columns.div_ceil(grain);
    for_rows(row_parts * column_parts, 1, |parts| {
        for part in parts {
            let (row_part, column_part) = (part / column_parts, part % column_parts);
            let begin = grains * column_part / column_parts * grain;
            let end = (grains * (column_part + 1) / column_parts * grain).min(columns);
            body(rows * row_part / row_parts..rows * (row_part + 1) / row_parts, begin..end);
        }
    });
}

/// Does every unit once, the threads taking them in order as they get free, or the calling thread alone where there `is_little` to do.
/// A unit's result must not depend on the scratch that it finds.
pub fn for_units<U: Sync, S>(
    units: &[U],
    is_little: bool,
    scratch: impl Fn() -> S + Sync,
    body: impl Fn(&U, &mut S) + Sync,
) {
    for_units_ahead(units, is_little, scratch, |unit, _, scratch| body(unit, scratch));
}

/// As [`for_units`], where the body also gets the unit that the same thread will do next if all units take equally long: what to ask of
/// memory meanwhile.
pub fn for_units_ahead<U: Sync, S>(
    units: &[U],
    is_little: bool,
    scratch: impl Fn() -> S + Sync,
    body: impl Fn(&U, Option<&U>, &mut S) + Sync,
) {
    let workers = if is_little { 1 } else { threads().min(units.len()) };
    let next = AtomicUsize::new(0);
    for_rows(workers, 1, |part| {
        for _ in part {
            let mut scratch = scratch();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(index) else { break };
                body(unit, units.get(index + workers), &mut scratch);
            }
        }
    });
}

/// Does every unit once, in one run of neighbours for each thread, runs of about equal weight: what a product of rows left in a thread's
/// cache is then mostly read by that thread.
pub fn for_runs<U: Sync>(units: &[U], is_little: bool, weight: impl Fn(&U) -> usize, body: impl Fn(&U) + Sync) {
    let workers = if is_little { 1 } else { threads().min(units.len()) };
    let total: usize = units.iter().map(&weight).sum();
    let mut ends = Vec::with_capacity(workers);
    let (mut end, mut before) = (0, 0);
    for worker in 1..=workers {
        while end < units.len() && (worker == workers || before * workers < total * worker) {
            before += weight(&units[end]);
            end += 1;
        }
        ends.push(end);
    }
    for_rows(workers, 1, |workers| {
        for worker in workers {
            let begin = if worker == 0 { 0 } else { ends[worker - 1] };
            units[begin..ends[worker]].iter().for_each(&body);
        }
    });
}

/// The grid of at most `threads` parts whose largest part is smallest. Among equals, the one with most column parts: each
/// panel of weights is then prepared by one thread alone.
fn grid(rows: usize, column_grains: usize, threads: usize) -> (usize, usize) {
    let mut best = (usize::MAX, 1, 1);
    for column_parts in (1..=threads.min(column_grains.max(1))).rev() {
        let row_parts = (threads / column_parts).min(rows.max(1));
        let largest = rows.div_ceil(row_parts) * column_grains.div_ceil(column_parts);
        if largest < best.0 {
            best = (largest, row_parts, column_parts);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::each_setting;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_element_is_in_one_block() {
        for (rows, columns, grain) in [(0, 5, 16), (5, 0, 16), (1, 1, 16), (1, 97, 16), (97, 16, 16), (61, 145, 64)] {
            let counts: Vec<AtomicU32> = (0..rows * columns).map(|_| AtomicU32::new(0)).collect();
            for_blocks(rows, columns, 1 << 20, grain, |rows, block| {
                assert_eq!(block.start % grain, 0);
                for row in rows {
                    block.clone().for_each(|column| _ = counts[row * columns + column].fetch_add(1, Ordering::Relaxed));
                }
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn grids_are_balanced() {
        assert_eq!(grid(2048, 36, 2), (1, 2));
        assert_eq!(grid(2048, 1, 2), (2, 1));
        assert_eq!(grid(2048, 36, 64), (16, 4));
        assert_eq!(grid(1, 36, 64), (1, 36));
    }

    #[test]
    fn every_unit_is_in_one_run_whatever_its_weight() {
        each_setting(|_| {
            for weights in [vec![], vec![5], vec![0, 0, 0], vec![1; 50], vec![100, 1, 1, 1], vec![1, 1, 1, 100]] {
                let units: Vec<(usize, AtomicUsize)> = weights.into_iter().map(|w| (w, AtomicUsize::new(0))).collect();
                for is_little in [true, false] {
                    for_runs(&units, is_little, |unit| unit.0, |unit| _ = unit.1.fetch_add(1, Ordering::Relaxed));
                }
                assert!(units.iter().all(|unit| unit.1.load(Ordering::Relaxed) == 2));
            }
        });
    }

    #[test]
    fn the_unit_ahead_is_another_one_that_exists() {
        each_setting(|_| {
            for (count, is_little) in [(1, true), (7, true), (50, false)] {
                let units: Vec<usize> = (0..count).collect();
                let workers = if is_little { 1 } else { threads().min(count) };
                for_units_ahead(
                    &units,
                    is_little,
                    || (),
                    |unit, ahead, ()| assert_eq!(ahead.copied(), Some(unit + workers).filter(|index| *index < count)),
                );
            }
        });
    }

    #[test]
    fn every_unit_is_done_once() {
        each_setting(|_| {
            for (count, is_little) in [(0, true), (0, false), (1, false), (50, true), (50, false)] {
                let units: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                for_units(&units, is_little, || (), |unit, ()| _ = unit.fetch_add(1, Ordering::Relaxed));
                assert!(units.iter().all(|unit| unit.load(Ordering::Relaxed) == 1));
            }
        });
    }
}
