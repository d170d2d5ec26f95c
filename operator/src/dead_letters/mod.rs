//! Dead letters: look, group, replay, archive, discard.

pub mod archive;
pub mod discard;
pub(crate) mod filter;
pub mod groups;
pub mod list;
pub mod record;
pub mod replay;
pub mod show;
mod view;

pub use view::{HistoryLine, LetterView};
