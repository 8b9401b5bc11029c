//! Cache lines that are asked of memory one by one while something else is computed. A processor waits for few lines at a time: asked for
//! all at once, they would hold up what comes behind them.
use std::ops::Range;

const LINE_BYTES: usize = 64;

/// Stretches of memory that will be read soon, of which [`Lines::ask`] asks for one line at a time. Never reads through an address.
#[derive(Default)]
pub struct Lines {
    /// The line that comes next, and where its stretch ends.
    next: usize,
    end: usize,
    /// Stretches after it, the last one first.
    stretches: Vec<Range<usize>>,
}

impl Lines {
    pub fn clear(&mut self) {
        (self.next, self.end) = (0, 0);
        self.stretches.clear();
    }

    /// Adds what comes before all that was added until now.
    pub fn add_first(&mut self, stretch: Range<usize>) {
        if self.next < self.end {
            self.stretches.push(self.next..self.end);
        }
        (self.next, self.end) = (stretch.start, stretch.end);
    }

    /// Asks for the next line, into the second-level cache.
    #[inline(always)]
    pub fn ask(&mut self) {
        if self.next < self.end {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: every x86-64 has the instruction, which reads nothing and cannot fault.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T1>(std::ptr::without_provenance(self.next));
            }
            self.next += LINE_BYTES;
            if self.next >= self.end {
                self.turn();
            }
        }
    }

    fn turn(&mut self) {
        if let Some(Range { start, end }) = self.stretches.pop() {
            (self.next, self.end) = (start, end);
        }
    }
}

/// Asks for all lines of a stretch, into the first-level cache.
pub fn ask_to_read(stretch: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for line in stretch.step_by(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: as in `Lines::ask`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = stretch;
}

/// The same for lines that will be written.
pub fn ask_to_write(stretch: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for line in stretch.step_by(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: as in `Lines::ask`; processors without this hint do nothing.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(std::ptr::without_provenance(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = stretch;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::aligned::addresses;

    #[test]
    fn every_line_is_asked_for_once_and_then_none() {
        let (first, second) = ([0_u8; 200], [0.0_f32; 32]);
        let mut lines = Lines::default();
        lines.ask();
        lines.add_first(addresses(&second));
        lines.add_first(addresses::<u8>(&[]));
        lines.add_first(addresses(&first));
        let starts = |values: usize, bytes: usize| (values..values + bytes).step_by(LINE_BYTES);
        let expected = starts(first.as_ptr().addr(), 200).chain(starts(second.as_ptr().addr(), 128));
        for address in expected {
            assert_eq!(lines.next, address);
            lines.ask();
        }
        assert!(lines.next >= lines.end);
        lines.ask();
        lines.add_first(addresses(&first));
        lines.clear();
        assert!(lines.next >= lines.end && lines.stretches.is_empty());
    }
}
