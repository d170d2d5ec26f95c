//! Sizes of statements over many rows. A prepared statement is worth its preparation
//! when it is met again, and it costs the server memory for every placeholder: so
//! rows go in powers of two, and each kind of statement exists in few sizes.

/// Most rows of one statement: with up to 16 values each well below the 65,535
/// placeholders that MySQL allows.
pub const ROWS_MAX: usize = 1_024;

/// Splits `rows` into pieces of decreasing powers of two, at most [`ROWS_MAX`] each.
pub fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = (usize::BITS - 1)
            .checked_sub(rest.len().leading_zeros())
            .map(|bit| (1 << bit).min(ROWS_MAX))?;
        let (piece, behind) = rest.split_at(size);
        rest = behind;
        Some(piece)
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
    fn pieces_are_powers_of_two_and_leave_nothing_out() {
        for length in [0, 1, 2, 3, 511, 512, 513, 1_000, 1_024, 5_000] {
            let rows: Vec<_> = (0..length).collect();
            let pieces: Vec<_> = pieces(&rows).collect();
            assert!(
                pieces
                    .iter()
                    .all(|piece| piece.len().is_power_of_two() && piece.len() <= ROWS_MAX)
            );
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
