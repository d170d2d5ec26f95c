//! The process number: a small number that no other living process has, kept in the
//! low bits of outbox ids.

use sqlx::MySqlPool;

/// Bits of an outbox id that hold the process number.
pub const PROCESS_BITS: u32 = 12;

/// A process's number, drawn once at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessNumber(u64);

impl ProcessNumber {
    /// Draws the next number. Numbers are reused after 4,096 starts; should two
    /// living processes ever share one, the primary key of the outbox refuses the
    /// second row of the same microsecond and its transaction is tried again.
    pub async fn draw(pool: &MySqlPool, service: &str) -> Result<Self, sqlx::Error> {
        let drawn = sqlx::query("INSERT INTO processes (service) VALUES (?)")
            .bind(service)
            .execute(pool)
            .await?;
        Ok(Self(drawn.last_insert_id()))
    }

    /// The full number, never reused.
    pub const fn full(self) -> u64 {
        self.0
    }

    /// The low bits that go into outbox ids.
    pub const fn low_bits(self) -> u64 {
        self.0 & ((1 << PROCESS_BITS) - 1)
    }
}

/// A number for tests that need no database.
impl From<u64> for ProcessNumber {
    fn from(number: u64) -> Self {
        Self(number)
    }
}
