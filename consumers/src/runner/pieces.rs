//! A batch that is settled piece by piece, in order: as a whole at first, and in halves where
//! one of a piece fails the others, down to the one.

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Settled,
    /// One of it fails the others: halve it.
    Halve,
}

/// What is left of a batch.
#[derive(Debug)]
pub(crate) struct Pieces<'b, T> {
    /// The next one is the last of the list.
    left: Vec<&'b [T]>,
}

impl<'b, T> Pieces<'b, T> {
    /// A batch as a whole.
    pub(crate) fn of(batch: &'b [T]) -> Self {
        Self { left: vec![batch] }
    }

    /// The next piece.
    pub(crate) fn next(&mut self) -> Option<&'b [T]> {
        self.left.pop()
    }

    /// Notes what became of the last piece.
    pub(crate) fn note(&mut self, piece: &'b [T], became: Piece) {
        if became == Piece::Halve {
            let (first, second) = piece.split_at(piece.len() / 2);
            self.left.extend([second, first]);
        }
    }
}
