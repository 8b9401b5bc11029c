//! Fixed split of rows over threads. (First form: one scoped thread per part; replaced by a persistent pool.)
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// How many threads the kernels use, the caller's included.
pub fn threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    }
}

pub fn set_threads(n: usize) {
    THREADS.store(n, Ordering::Relaxed);
}

/// Calls `body` once per part of a fixed split of `0..rows` into at most `threads()` parts of whole multiples of `grain`.
/// Every row's result must depend on that row alone, so that the split cannot change it.
pub fn for_rows(rows: usize, grain: usize, body: impl Fn(Range<usize>) + Sync) {
    let grains = rows.div_ceil(grain.max(1));
    let parts = threads().min(grains).max(1);
    if parts == 1 {
        return body(0..rows);
    }
    std::thread::scope(|scope| {
        for part in 0..parts {
            let begin = grains * part / parts * grain;
            let end = (grains * (part + 1) / parts * grain).min(rows);
            let body = &body;
            scope.spawn(move || body(begin..end));
        }
    });
}

/// A mutable slice that several parts write at disjoint places.
#[derive(Clone, Copy)]
pub struct SharedMut<T> {
    pointer: *mut T,
    length: usize,
}

unsafe impl<T: Send> Send for SharedMut<T> {}
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub fn new(slice: &mut [T]) -> Self {
        Self { pointer: slice.as_mut_ptr(), length: slice.len() }
    }

    /// # Safety
    /// No two live slices may overlap; `range` must lie inside the original slice.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length);
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(range.start), range.len()) }
    }
}
