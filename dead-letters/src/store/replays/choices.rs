//! The choice of a replay: the ids of its letters in the order of their places, in pieces. A
//! row for each letter costs more than finding it.

use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, MySqlConnection, QueryBuilder, Transaction};

/// Letters of a piece.
const PIECE_LETTERS: u32 = 1_024;
/// Pieces of one statement.
const PIECES_AT_ONCE: usize = 64;

/// A letter at its place, from 1.
pub(crate) type Placed = (u32, DeadLetterId);

/// Keeps the choice of a replay.
pub(crate) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    letters: &[DeadLetterId],
) -> Result<(), sqlx::Error> {
    let pieces: Vec<(u32, Vec<u8>)> = (0..)
        .zip(letters.chunks(PIECE_LETTERS as usize))
        .map(|(piece, letters)| {
            let ids = letters.iter().flat_map(DeadLetterId::as_bytes).copied();
            (piece * PIECE_LETTERS + 1, ids.collect())
        })
        .collect();
    for pieces in pieces.chunks(PIECES_AT_ONCE) {
        let mut insert =
            QueryBuilder::<MySql>::new("INSERT INTO replay_choices (replay_no, first_place, letter_ids) ");
        insert.push_values(pieces, |mut values, (first_place, letter_ids)| {
            values
                .push_bind(replay_no)
                .push_bind(first_place)
                .push_bind(letter_ids.as_slice());
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// The letters at the places behind `after`, up to `letters_max`.
pub(crate) async fn slice(
    on: &mut MySqlConnection,
    replay_no: u32,
    after: u32,
    letters_max: u32,
) -> Result<Vec<Placed>, sqlx::Error> {
    let last = after.saturating_add(letters_max);
    let pieces = sqlx::query!(
        "SELECT first_place, letter_ids FROM replay_choices
         WHERE replay_no = ? AND first_place > ? AND first_place <= ? ORDER BY first_place",
        replay_no,
        // The piece that holds the first of them began less than a piece before.
        after.saturating_sub(PIECE_LETTERS - 1),
        last
    )
    .fetch_all(on)
    .await?;
    Ok(pieces
        .iter()
        .flat_map(|piece| (piece.first_place..).zip(ids(&piece.letter_ids)))
        .filter(|(place, _)| (after + 1..=last).contains(place))
        .collect())
}

fn ids(letter_ids: &[u8]) -> impl Iterator<Item = DeadLetterId> {
    letter_ids
        .as_chunks()
        .0
        .iter()
        .copied()
        .map(DeadLetterId::from_bytes)
}
