//! Sizes of statements over many rows. A prepared statement is worth its preparation
//! when it is met again, and it costs the server memory for every placeholder: so each
//! kind of statement exists in few sizes, 1, 2, 3, 4, 6, 8, 12, 16, 24, ...

/// Most rows of one statement: with up to 16 values each well below the 65,535
/// placeholders that MySQL allows.
pub const ROWS_MAX: usize = 1_024;

/// The largest size of a statement for at most `rows` rows (0 for none): at least two
/// thirds of them, up to [`ROWS_MAX`]. Who may choose how many rows to take takes so
/// many, and needs one statement.
pub fn size_within(rows: usize) -> usize {
    let Some(bit) = (usize::BITS - 1).checked_sub(rows.leading_zeros()) else {
        return 0;
    };
    let power = 1 << bit;
    let between = power + power / 2;
    (if rows >= between { between } else { power }).min(ROWS_MAX)
}

/// Splits `rows` into pieces of decreasing statement sizes.
pub fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at(size_within(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The items of a list `IN (...)`, filled up to a power of two by repeating the last:
/// it changes nothing in what is found.
pub fn padded<T: Copy>(items: &[T]) -> impl Iterator<Item = T> {
    let missing = items.len().next_power_of_two() - items.len();
    let last = items.last().copied();
    items
        .iter()
        .copied()
        .chain(std::iter::repeat_n(last, missing).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_take_two_thirds() {
        let mut sizes = std::collections::BTreeSet::new();
        for rows in 1..=ROWS_MAX {
            let size = size_within(rows);
            assert!(size <= rows && size * 3 >= rows * 2, "{size} of {rows}");
            sizes.insert(size);
        }
        assert!(sizes.len() <= 20, "{sizes:?}");
        assert_eq!((size_within(0), size_within(5_000)), (0, ROWS_MAX));
    }

    #[test]
    fn pieces_have_statement_sizes_and_leave_nothing_out() {
        for length in [0, 1, 2, 3, 5, 511, 512, 513, 1_000, 1_024, 5_000] {
            let rows: Vec<_> = (0..length).collect();
            let pieces: Vec<_> = pieces(&rows).collect();
            assert!(pieces.iter().all(|piece| size_within(piece.len()) == piece.len()));
            assert_eq!(pieces.concat(), rows);
        }
    }

    #[test]
    fn a_list_is_padded_with_its_last_item() {
        assert_eq!(padded(&[7, 8, 9]).collect::<Vec<_>>(), [7, 8, 9, 9]);
        assert_eq!(padded(&[7, 8]).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(padded::<u8>(&[]).count(), 0);
    }
}
