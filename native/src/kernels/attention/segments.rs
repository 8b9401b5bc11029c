//! Which rows see which: packed segments, each of which may begin with rows of earlier ones.
use std::ops::Range;

/// Rows that see each other, each those before it, and before these rows of earlier segments. Its keys are both, counted from the first
/// one that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its own rows.
    pub rows: Range<usize>,
    /// The rows that it shares, in the order of its keys.
    pub shared: &'a [i32],
    /// How many rows the segments before it share.
    pub shared_before: usize,
}

impl Segment<'_> {
    pub fn num_keys(&self) -> usize {
        self.shared.len() + self.rows.len()
    }

    /// The row of a key.
    pub fn row(&self, key: usize) -> usize {
        self.shared.get(key).map_or_else(|| self.rows.start + key - self.shared.len(), |row| *row as usize)
    }
}

/// The segments of packed places. `starts[x]` is the first place of the segment of place x, and `rows[x]` the row that stands there: a
/// row belongs to the segment of its first place. Without `rows` every place is a row of its own.
pub fn segments<'a>(starts: &[i32], rows: Option<&'a [i32]>) -> Result<Vec<Segment<'a>>, String> {
    let mut segments = Vec::new();
    let (mut place, mut num_rows, mut shared_before) = (0, 0, 0);
    while place < starts.len() {
        let start = starts[place];
        if start != place as i32 {
            return Err(format!(
                "segmentStarts[{place}] = {start} is neither {place} nor the start of the place before"
            ));
        }
        let end = place + starts[place..].iter().take_while(|other| **other == start).count();
        let rows_here = rows.map_or(&[][..], |rows| &rows[place..end]);
        let num_shared = rows_here.iter().take_while(|row| (0..num_rows as i32).contains(row)).count();
        let (shared, own) = rows_here.split_at(num_shared);
        for (row, next) in own.iter().zip(num_rows..) {
            if *row != next as i32 {
                return Err(format!(
                    "a segment from place {place} on has row {row} where {next} is expected: rows of earlier segments, then the next new ones"
                ));
            }
        }
        let segment = Segment { rows: num_rows..num_rows + end - place - num_shared, shared, shared_before };
        num_rows = segment.rows.end;
        shared_before += num_shared;
        place = end;
        segments.push(segment);
    }
    Ok(segments)
}

/// How many rows segments have.
pub fn num_rows(segments: &[Segment<'_>]) -> usize {
    segments.last().map_or(0, |last| last.rows.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_belong_to_the_segment_of_their_first_place() {
        let starts = [0, 0, 0, 3, 3, 3, 6, 6, 8];
        let found = segments(&starts, Some(&[0, 1, 2, 0, 1, 3, 0, 3, 4])).unwrap();
        let of = |rows, shared, shared_before| Segment { rows, shared, shared_before };
        assert_eq!(found, [of(0..3, &[], 0), of(3..4, &[0, 1], 0), of(4..4, &[0, 3], 2), of(4..5, &[], 4)]);
        assert_eq!((num_rows(&found), found[1].num_keys()), (5, 3));
        assert_eq!([0, 1, 2].map(|key| found[1].row(key)), [0, 1, 3]);
        let plain = segments(&starts, None).unwrap();
        assert_eq!(plain.iter().map(|segment| segment.rows.clone()).collect::<Vec<_>>(), [0..3, 3..6, 6..8, 8..9]);
        assert_eq!((num_rows(&[]), segments(&[], None)), (0, Ok(Vec::new())));
    }

    #[test]
    fn places_that_are_no_segments_are_refused() {
        for (starts, rows) in [
            (&[0, 1, 0][..], None),
            (&[1], None),
            (&[-1], None),
            (&[0, 0, 2, 2], Some(&[0, 1, 2, 0][..])),
            (&[0, 0, 2, 2], Some(&[0, 1, 1, 3])),
            (&[0, 0, 0], Some(&[0, 1, 0])),
            (&[0, 0], Some(&[0, -1])),
        ] {
            assert!(segments(starts, rows).is_err(), "{starts:?} {rows:?}");
        }
    }
}
