//! Replay: open letters go to their group, and nobody else, through the group's retry topic.
//!
//! One letter is sent by [`replay`]. Many are a replay of their own, an object:
//! `planned -> running -> completed`, with `paused` and `cancelled` on the way. Its letters
//! are chosen once, by [`plan::begin`]; it goes on by [`step::step`] at its pace until every
//! letter has an outcome; [`act`] holds what operators do to it. All of it is in MySQL, so
//! that any process can take the next step.
//!
//! What is parked is not chosen: it goes by itself, in order, behind the letter that it
//! waits for.

pub mod act;
pub(crate) mod answers;
pub(crate) mod object;
pub mod plan;
mod send;
pub mod step;

pub use object::{
    Cause, LetterOutcome, Outcome, Pace, PauseReason, Plan, Progress, Replay, ReplayLetter, ReplayState,
};
pub use send::{REPLAY_DEADLINE, ReplayOutcome, begin, replay};
