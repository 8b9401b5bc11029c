//! Buffers that a thread keeps between calls, so that a kernel allocates nothing after the first.
use super::aligned::Aligned;
use std::cell::RefCell;
use std::thread::LocalKey;

/// One growing buffer of a thread.
pub struct Scratch(RefCell<Aligned>);

impl Scratch {
    pub const fn new() -> Self {
        Self(RefCell::new(Aligned::EMPTY))
    }
}

/// Lends `length` floats, which hold anything and begin at a cache line, to `body`.
pub fn with_scratch<T>(scratch: &'static LocalKey<Scratch>, length: usize, body: impl FnOnce(&mut [f32]) -> T) -> T {
    scratch.with(|scratch| {
        let mut buffer = scratch.0.borrow_mut();
        buffer.grow(length * 4);
        body(&mut buffer.floats_mut()[..length])
    })
}
