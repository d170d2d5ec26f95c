//! Replays: many letters as one object. Plan, rehearse, start, watch; pause, resume, cancel.

pub mod acts;
mod pace;
pub mod plan;
mod rehearsal;
pub mod rehearse;
mod runner;
pub mod show;
mod view;

pub use pace::PaceAsked;
pub use rehearsal::{Effect, Rehearsed, Would};
pub use runner::run;
pub use view::{CauseView, PlanView, ProgressView, ReplayLetterView, ReplayView};
