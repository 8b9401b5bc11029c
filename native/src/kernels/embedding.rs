//! Rows of a packed table.
use super::lanes::WIDTH;
use super::packed::{Packed, with_codec};
use crate::pool::{SharedMut, for_rows};

/// y [T, D] = rows of the table [V, D] at `token_ids` [T]. Panics on an id outside the table.
pub fn forward(y: &mut [f32], table: &Packed, token_ids: &[i32]) {
    use super::codec::Codec;
    let width = table.inputs;
    assert_eq!(y.len(), token_ids.len() * width);
    if width == 0 {
        return;
    }
    let shared = SharedMut::new(y);
    for_rows(token_ids.len(), 16, |rows| {
        // SAFETY: parts are disjoint rows.
        let target = unsafe { shared.slice(rows.start * width..rows.end * width) };
        with_codec!(table.format, C => for (&id, target) in token_ids[rows].iter().zip(target.chunks_exact_mut(width)) {
            let row = usize::try_from(id).expect("a token id is not negative");
            assert!(row < table.out, "token id {row} of {} rows", table.out);
            C::decode_row(table.panel(row / WIDTH), row % WIDTH, target);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::packed::Format;
    use crate::kernels::testing::{each_setting, random};

    #[test]
    fn rows_are_those_of_the_thawed_table() {
        for format in Format::ALL {
            for (rows, width) in [(1, 1), (17, 5), (97, 64)] {
                let table = Packed::new(&random(1, rows * width), rows, width, format);
                let mut dense = vec![0.0; rows * width];
                table.thaw(&mut dense);
                for count in [0, 1, 33] {
                    let ids: Vec<i32> = (0..count).map(|i| (i * 7 % rows) as i32).collect();
                    let expected: Vec<f32> =
                        ids.iter().flat_map(|&id| dense[id as usize * width..][..width].to_vec()).collect();
                    each_setting(|_| {
                        let mut y = vec![f32::NAN; count * width];
                        forward(&mut y, &table, &ids);
                        assert_eq!(y, expected);
                    });
                }
            }
        }
    }
}
