//! Claims against a real Redis and a real MySQL.

mod admission;
mod claiming;
mod epochs;
