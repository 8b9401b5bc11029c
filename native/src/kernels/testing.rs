//! What the kernels' tests share: seeded numbers, one comparison, and a loop over instruction sets and thread counts.
use crate::pool::set_threads;
use crate::simd::Isa;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `count` numbers in [-1, 1) that depend on `seed` alone (xorshift).
pub fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let warm_up = 16;
    (0..warm_up + count).map(|_| next()).skip(warm_up).collect()
}

/// Fails unless |actual − expected| <= tolerance · |expected| in the 2-norm (so NaN fails too), and for equal lengths only.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    let difference: f64 = actual.iter().zip(expected).map(|(a, e)| (f64::from(*a) - e).powi(2)).sum();
    let norm: f64 = expected.iter().map(|e| e * e).sum();
    assert!(actual.is_empty() || norm > 0.0, "a reference of zeros says nothing");
    let error = (difference / norm.max(f64::MIN_POSITIVE)).sqrt();
    assert!(error <= tolerance, "relative error {error:e} > {tolerance:e}");
}

/// The thread count is the process's: tests that set it take turns.
pub fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `body` for every instruction set of this machine with 1, 2 and 3 threads.
pub fn each_setting(body: impl Fn(Isa)) {
    let _turn = take_turn();
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            set_threads(threads);
            body(isa);
        }
    }
}
