//! Fixed split of work over threads that stay. The calling thread takes part; workers spin for a moment between jobs, then
//! park. A job's parts are claimed one by one, so a worker that wakes late costs nothing: the others have done its parts.
//! Which thread does a part never changes a result, because every kernel's result depends on its own inputs alone.
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;

/// Rounds of `spin_loop` before a worker parks (about 50 µs: longer than JavaScript needs between two kernels of a step).
const SPINS_BEFORE_PARK: u32 = 2_000;
/// More parts than this are never made.
const MAX_THREADS: usize = 1024;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// From now on, kernels that this thread calls run on it alone: it works beside another thread that the pool is for.
pub fn leave_pool() {
    IS_ALONE.set(true);
}

/// How many threads the kernels use when this thread calls them, its own included.
pub fn threads() -> usize {
    if IS_ALONE.get() {
        return 1;
    }
    match THREADS.load(Ordering::Relaxed) {
        0 => processors(),
        n => n,
    }
}

/// Asked once: the answer comes from files of the operating system, which takes longer than a small kernel.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_THREADS))
}

/// Sets how many threads the kernels use from the next call on; 0 means one for each processor.
pub fn set_threads(n: usize) {
    THREADS.store(n.min(MAX_THREADS), Ordering::Relaxed);
}

/// Calls `body` once per part of a fixed split of `0..rows` into at most `threads()` parts of whole multiples of `grain`.
/// Every row's result must depend on that row alone, so that the split cannot change it. A panic of a part is raised again here.
/// Where the pool is busy (another Node worker thread is in a kernel), all parts run on the calling thread.
pub fn for_rows(rows: usize, grain: usize, body: impl Fn(Range<usize>) + Sync) {
    let grain = grain.max(1);
    let grains = rows.div_ceil(grain);
    let parts = threads().min(grains);
    if parts <= 1 {
        return body(0..rows);
    }
    let part = |part: usize| {
        let begin = grains * part / parts * grain;
        let end = (grains * (part + 1) / parts * grain).min(rows);
        body(begin..end);
    };
    match POOL.workers.try_lock() {
        Ok(mut workers) => POOL.run(&mut workers, parts, &part),
        Err(std::sync::TryLockError::Poisoned(poisoned)) => POOL.run(&mut poisoned.into_inner(), parts, &part),
        Err(std::sync::TryLockError::WouldBlock) => (0..parts).for_each(part),
    }
}

type Body = dyn Fn(usize) + Sync;

/// `claims` holds the job's number (32 bits), its parts (16) and how many of them are claimed (16). A claim is one
/// compare-and-swap on all three, so it can only succeed on the current job; and while a claimed part is not done, the job's
/// owner waits. Hence whoever claimed may follow `body`.
struct Pool {
    workers: Mutex<Vec<Thread>>,
    claims: AtomicU64,
    body: UnsafeCell<Option<*const Body>>,
    done: AtomicUsize,
    owner: UnsafeCell<Option<Thread>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `body` and `owner` are written by the holder of `workers` before `claims` is released, and only read after a
// successful claim, while that holder waits.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool {
    workers: Mutex::new(Vec::new()),
    claims: AtomicU64::new(0),
    body: UnsafeCell::new(None),
    done: AtomicUsize::new(0),
    owner: UnsafeCell::new(None),
    panic: Mutex::new(None),
};

impl Pool {
    fn run(&'static self, workers: &mut Vec<Thread>, parts: usize, body: &(dyn Fn(usize) + Sync)) {
        while workers.len() < parts - 1 {
            workers.push(spawn_worker());
        }
        let job = (self.claims.load(Ordering::Relaxed) >> 32).wrapping_add(1) & 0xffff_ffff;
        // SAFETY: nobody can hold a claim of the last job (it is done), so nobody reads these now. The lifetime is
        // forgotten, but this function does not return before every claimed part is done.
        unsafe {
            *self.body.get() = Some(std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Body>(body));
            *self.owner.get() = Some(std::thread::current());
        }
        self.done.store(0, Ordering::Relaxed);
        // The first part is this thread's own: what it wrote in one kernel, it mostly reads in the next, out of its own cache.
        self.claims.store(job << 32 | (parts as u64) << 16 | 1, Ordering::SeqCst);
        for worker in &workers[..parts - 1] {
            worker.unpark();
        }
        self.do_part(0, parts);
        while self.work_once() {}
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) < parts {
            spins += 1;
            if spins < SPINS_BEFORE_PARK {
                std::hint::spin_loop();
            } else {
                std::thread::park();
            }
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Claims and does one part; false if there is none.
    fn work_once(&self) -> bool {
        let mut claims = self.claims.load(Ordering::Acquire);
        loop {
            let (parts, claimed) = ((claims >> 16 & 0xffff) as usize, (claims & 0xffff) as usize);
            if claimed >= parts {
                return false;
            }
            match self.claims.compare_exchange_weak(claims, claims + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.do_part(claimed, parts);
                    return true;
                }
                Err(current) => claims = current,
            }
        }
    }

    fn do_part(&self, part: usize, parts: usize) {
        // SAFETY: see `Pool`: the claim keeps the job alive. The owner is cloned before the last part counts as done.
        let (body, owner) = unsafe { ((*self.body.get()).expect("a job has a body"), (*self.owner.get()).clone()) };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| unsafe { (*body)(part) })) {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
        if self.done.fetch_add(1, Ordering::AcqRel) + 1 == parts {
            owner.expect("a job has an owner").unpark();
        }
    }
}

fn spawn_worker() -> Thread {
    static NUM_WORKERS: OnceLock<AtomicUsize> = OnceLock::new();
    let number = NUM_WORKERS.get_or_init(|| AtomicUsize::new(0)).fetch_add(1, Ordering::Relaxed);
    let worker = std::thread::Builder::new().name(format!("kernel-{number}")).spawn(|| {
        let mut spins = 0;
        loop {
            if POOL.work_once() {
                spins = 0;
            } else if spins < SPINS_BEFORE_PARK {
                spins += 1;
                std::hint::spin_loop();
            } else {
                // A job that was announced since the last look has unparked this thread already: park returns at once.
                std::thread::park();
                spins = 0;
            }
        }
    });
    worker.expect("the system gives the kernels a thread").thread().clone()
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

    pub fn as_ptr(&self) -> *mut T {
        self.pointer
    }

    /// Where the elements of `range` lie, for what must not read or write them.
    pub fn addresses(&self, range: Range<usize>) -> Range<usize> {
        let start = self.pointer.addr();
        start + range.start * size_of::<T>()..start + range.end * size_of::<T>()
    }

    /// # Safety
    /// No two live slices may overlap; `range` must lie inside the original slice.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length);
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::take_turn;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_row_is_done_once_whatever_the_thread_count() {
        let _turn = take_turn();
        for threads in [1, 2, 3, 7] {
            set_threads(threads);
            for rows in [0, 1, 2, 3, 5, 64, 1009] {
                for grain in [1, 4, 100] {
                    let counts: Vec<AtomicU32> = (0..rows).map(|_| AtomicU32::new(0)).collect();
                    for_rows(rows, grain, |part| {
                        assert!(part.start % grain == 0);
                        part.for_each(|row| _ = counts[row].fetch_add(1, Ordering::Relaxed));
                    });
                    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                }
            }
        }
        set_threads(0);
    }

    #[test]
    fn a_thread_that_has_left_the_pool_does_all_itself() {
        let _turn = take_turn();
        set_threads(4);
        let alone = std::thread::spawn(|| {
            leave_pool();
            let caller = std::thread::current().id();
            let parts = AtomicUsize::new(0);
            for_rows(1009, 1, |part| {
                assert_eq!(std::thread::current().id(), caller);
                assert_eq!(part, 0..1009);
                parts.fetch_add(1, Ordering::Relaxed);
            });
            (threads(), parts.into_inner())
        });
        assert_eq!(alone.join().unwrap(), (1, 1));
        assert_eq!(threads(), 4, "the others still share theirs");
        set_threads(0);
    }

    #[test]
    fn callers_from_several_threads_and_nested_calls_all_finish() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let sum = AtomicUsize::new(0);
                        for_rows(16, 1, |part| {
                            for_rows(part.len(), 1, |inner| _ = sum.fetch_add(inner.len(), Ordering::Relaxed));
                        });
                        assert_eq!(sum.load(Ordering::Relaxed), 16);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        for _ in 0..3 {
            let outcome = catch_unwind(|| for_rows(8, 1, |part| assert!(!part.contains(&7), "row 7 fails")));
            assert!(outcome.is_err());
            let count = AtomicUsize::new(0);
            for_rows(8, 1, |part| _ = count.fetch_add(part.len(), Ordering::Relaxed));
            assert_eq!(count.load(Ordering::Relaxed), 8);
        }
    }
}
