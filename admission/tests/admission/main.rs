//! The admission state against a real Redis and a real MySQL.

mod campaign;
mod clock;
mod property;
mod state;
