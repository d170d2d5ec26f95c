//! Dead letters: look, replay, discard.

pub mod discard;
pub mod list;
pub mod record;
pub mod replay;
pub mod show;
mod view;

pub use view::{HistoryLine, LetterView};
