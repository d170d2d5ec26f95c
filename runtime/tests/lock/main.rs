//! The lock against a real Redis.

mod fault;
mod holder;
mod measured;
mod mutual;
mod several;
mod support;
mod table;
mod unanswered;
mod watchdog;
