//! Dead letters: look, group, edit, replay, archive, discard.

pub mod archive;
pub mod difference;
pub mod discard;
pub mod edit;
pub(crate) mod filter;
pub mod groups;
pub mod list;
pub mod record;
pub mod replay;
pub mod show;
mod view;

pub use view::{HistoryLine, LetterView};
