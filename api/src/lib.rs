//! The public api: a request is admitted, made durable with its event, and answered.

pub mod admit;
