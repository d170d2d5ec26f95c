//! The contract of Headgate: typed ids, the events and their Avro schemas, the
//! topic catalogue, header names, and the MySQL migrations. No I/O happens here.

pub mod codec;
pub mod event;
pub mod headers;
pub mod ids;
pub mod names;
pub mod quantities;
pub mod topics;

/// The MySQL migrations, applied in order by one runner (`headgate migrate`).
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
