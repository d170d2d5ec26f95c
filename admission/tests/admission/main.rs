//! The admission state against a real Redis and a real MySQL.

mod campaign;
mod property;
mod state;
