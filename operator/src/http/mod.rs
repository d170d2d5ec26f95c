//! The operator's HTTP listener: what every route shares.

pub mod code;
pub mod extract;
pub mod layers;
pub mod openapi;
pub mod problem;
pub mod router;
