//! What adapters do to their rows at each layer, packed by `src/numeric/row-program.ts`, which describes the bytes (those of deltas:
//! `src/numeric/delta-layout.ts`).
use std::ops::Range;
use std::sync::Arc;

/// Codes that may be read beyond the last operation.
const SLACK_BYTES: usize = 64;
/// Numbers of a record: slot, kind, format, rank, in, out, first byte / 64.
const RECORD_FIELDS: usize = 7;
const ALIGNMENT: usize = 64;

/// How a delta's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    F32,
    Bf16,
}

impl Codes {
    /// Of `columns` sums over `depth` terms: two terms of bfloat16 make a word, also where the second one is none.
    #[inline(always)]
    pub fn bytes(self, depth: usize, columns: usize) -> usize {
        match self {
            Codes::F32 => 4 * depth * columns,
            Codes::Bf16 => 4 * depth.div_ceil(2) * columns,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    ScaleInput,
    /// y += scale · B · (A · x).
    Delta {
        rank: usize,
        scale: f32,
        codes: Codes,
    },
    ScaleOutput,
    Bias,
}

/// One operation: its numbers begin at `data`, in the memory of its program.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub kind: Kind,
    pub inputs: usize,
    pub out: usize,
    pub data: *const u8,
}

// SAFETY: nobody writes a program's memory.
unsafe impl Send for Operation {}
unsafe impl Sync for Operation {}

impl Operation {
    /// The factors or the bias.
    ///
    /// # Safety
    /// The program's memory must still be there.
    pub unsafe fn vector(&self) -> &[f32] {
        let length = if self.kind == Kind::ScaleInput { self.inputs } else { self.out };
        unsafe { std::slice::from_raw_parts(self.data.cast(), length) }
    }
}

/// The operations of one adapter. Whoever uses it keeps its memory alive: see `surface::programs`.
pub struct Program {
    /// By slot, in their order.
    slots: Vec<Vec<Operation>>,
}

impl Program {
    /// Reads the records, and says what is wrong with them if anything: after this no operation reaches outside of `bytes`.
    pub fn new(bytes: &[u8], records: &[i32], scales: &[f64]) -> Result<Self, String> {
        if records.len() != scales.len() * RECORD_FIELDS || !(bytes.as_ptr() as usize).is_multiple_of(4) {
            return Err(format!("{} numbers are no {} records of aligned operations", records.len(), scales.len()));
        }
        let mut slots = Vec::new();
        for (record, scale) in records.chunks_exact(RECORD_FIELDS).zip(scales) {
            let mut fields = [0_usize; RECORD_FIELDS];
            for (field, number) in fields.iter_mut().zip(record) {
                *field = usize::try_from(*number).map_err(|_| format!("a record holds {number}"))?;
            }
            let [slot, kind, format, rank, inputs, out, line] = fields;
            let codes = match format {
                0 => Codes::F32,
                1 => Codes::Bf16,
                _ => return Err(format!("{format} is no format of codes")),
            };
            let (kind, length) = match kind {
                0 => (Kind::ScaleInput, 4 * inputs),
                1 => {
                    let length = codes.bytes(inputs, rank) + codes.bytes(rank, out);
                    (Kind::Delta { rank, scale: *scale as f32, codes }, length)
                }
                2 => (Kind::ScaleOutput, 4 * out),
                3 => (Kind::Bias, 4 * out),
                _ => return Err(format!("{kind} is no kind of operation")),
            };
            let is_delta = matches!(kind, Kind::Delta { .. });
            if is_delta != (rank > 0) || (!is_delta && codes != Codes::F32) {
                return Err(format!("an operation of slot {slot} has rank {rank} and format {format}"));
            }
            let end = line * ALIGNMENT + length;
            if end + SLACK_BYTES > bytes.len() {
                return Err(format!("an operation of slot {slot} ends at byte {end} of {}", bytes.len()));
            }
            if slots.len() <= slot {
                slots.resize_with(slot + 1, Vec::new);
            }
            slots[slot].push(Operation { kind, inputs, out, data: bytes[line * ALIGNMENT..].as_ptr() });
        }
        Ok(Self { slots })
    }

    fn at(&self, slot: usize) -> &[Operation] {
        self.slots.get(slot).map_or(&[], Vec::as_slice)
    }
}

/// Rows of a batch that follow a program.
pub struct Span {
    pub rows: Range<usize>,
    pub program: Arc<Program>,
}

/// Which rows of a batch follow which programs. Spans rise and share no row.
#[derive(Default)]
pub struct Bound {
    spans: Vec<Span>,
}

impl Bound {
    pub fn push(&mut self, span: Span) -> Result<(), String> {
        let end = self.spans.last().map_or(0, |last| last.rows.end);
        if span.rows.start < end || span.rows.is_empty() {
            return Err(format!("rows {:?} do not come after row {end}", span.rows));
        }
        self.spans.push(span);
        Ok(())
    }

    /// The spans that do something at a slot, with what they do.
    pub fn at(&self, slot: usize) -> impl Iterator<Item = (Range<usize>, &[Operation])> {
        let spans = self.spans.iter().map(move |span| (span.rows.clone(), span.program.at(slot)));
        spans.filter(|(_, operations)| !operations.is_empty())
    }

    /// Says what does not fit a batch of `rows` rows of `inputs` at this slot (and `out` outputs, if they are given).
    pub fn check(&self, slot: usize, rows: usize, inputs: usize, out: Option<usize>) -> Result<(), String> {
        for (span, operations) in self.at(slot) {
            if span.end > rows {
                return Err(format!("rows {span:?} are not in a batch of {rows}"));
            }
            for operation in operations {
                if operation.inputs != inputs || out.is_some_and(|out| out != operation.out) {
                    let (i, o) = (operation.inputs, operation.out);
                    return Err(format!("slot {slot} has an operation for [{o}, {i}] on a layer of {out:?}, {inputs}"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELTA: [i32; 7] = [1, 1, 0, 2, 3, 4, 1];

    #[test]
    fn records_are_checked_against_the_bytes() {
        let bytes = vec![0_u32; 64];
        let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), 256) };
        let read = |change: fn(&mut [i32; 7]), length: usize| {
            let mut record = DELTA;
            change(&mut record);
            Program::new(&bytes[..length], &record, &[0.5])
        };
        // 2 · (3 + 4) floats at byte 64, and the slack.
        assert!(read(|_| (), 64 + 56 + 64).is_ok());
        assert!(read(|_| (), 64 + 56 + 63).is_err());
        assert!(read(|record| record[0] = -1, 256).is_err());
        assert!(read(|record| record[1] = 4, 256).is_err());
        assert!(read(|record| record[2] = 2, 256).is_err());
        assert!(read(|record| record[3] = 0, 256).is_err());
        assert!(read(|record| record[4] = 30, 256).is_err());
        assert!(read(|record| record[6] = 3, 256).is_err());
        assert!(Program::new(bytes, &DELTA[..6], &[0.5]).is_err());
        let program = read(|_| (), 256).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((program.at(0).len(), program.at(1).len(), program.at(2).len()), (0, 1, 0));
        assert_eq!(program.at(1)[0].kind, Kind::Delta { rank: 2, scale: 0.5, codes: Codes::F32 });
    }

    #[test]
    fn spans_rise_and_fit_their_batch() {
        let bytes = vec![0_u32; 64];
        let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), 256) };
        let program = Arc::new(Program::new(bytes, &DELTA, &[1.0]).unwrap_or_else(|error| panic!("{error}")));
        let span = |rows: Range<usize>| Span { rows, program: program.clone() };
        let mut bound = Bound::default();
        assert!(bound.push(span(2..4)).is_ok());
        assert!(bound.push(span(3..5)).is_err());
        assert!(bound.push(span(4..4)).is_err());
        assert!(bound.push(span(6..7)).is_ok());
        assert!(bound.check(1, 7, 3, Some(4)).is_ok());
        assert!(bound.check(1, 7, 3, None).is_ok());
        assert!(bound.check(1, 6, 3, Some(4)).is_err());
        assert!(bound.check(1, 7, 2, Some(4)).is_err());
        assert!(bound.check(1, 7, 3, Some(5)).is_err());
        assert!(bound.check(0, 7, 9, Some(9)).is_ok());
    }
}
