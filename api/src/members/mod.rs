//! Members: a partner's customers, who sign up, log in, and call with a token of their own.

mod answer;
mod caller;
pub mod config;
mod passwords;
mod request;
mod sessions;
mod sign_up;
mod signature;
mod tokens;

pub use sessions::{__path_log_in, __path_log_out, __path_refresh, log_in, log_out, refresh};
pub use sign_up::{__path_sign_up, sign_up};

use headgate_runtime::clock::DatabaseClock;
use sqlx::MySqlPool;

use self::config::Config;
use self::passwords::Passwords;
use self::tokens::Tokens;

/// What members need of a process.
pub struct Members {
    passwords: Passwords,
    pub(crate) tokens: Tokens,
    config: Config,
}

impl Members {
    /// By the settings, which were checked.
    pub fn new(
        pool: MySqlPool,
        clock: DatabaseClock,
        config: Config,
    ) -> Result<Self, argon2::password_hash::Error> {
        Ok(Self {
            passwords: Passwords::new(&config)?,
            tokens: Tokens::new(pool, clock, config.clone()),
            config,
        })
    }
}
