//! Hashing of passwords: Argon2id, on few threads at once. Whoever comes when too many wait is
//! refused at once: hashes take memory and time, and a queue of them would take the process.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use headgate_domain::members::Password;
use tokio::sync::Semaphore;

use super::config::Config;
use crate::problem::{Code, Problem, RETRY_AFTER};

/// Hashes and compares passwords.
pub struct Passwords {
    argon: Argon2<'static>,
    places: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    /// The hash that is compared where there is no member: as much work as for one.
    nobodys: String,
}

impl Passwords {
    /// By the settings, which were checked.
    pub fn new(config: &Config) -> Result<Self, argon2::password_hash::Error> {
        let params = Params::new(config.hash_memory_kib, config.hash_passes, 1, None)
            .map_err(|_| argon2::password_hash::Error::ParamsInvalid)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys = argon.hash_password(&rand::random::<[u8; 32]>())?.to_string();
        let permits = |number: u32| {
            let number = usize::try_from(number).unwrap_or(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(number))
        };
        Ok(Self {
            argon,
            places: permits(config.hashes_at_once.saturating_add(config.hashes_waiting_max)),
            at_once: permits(config.hashes_at_once),
            nobodys,
        })
    }

    /// What is stored of a password.
    pub async fn hash(&self, password: Password) -> Result<String, Problem> {
        let argon = self.argon.clone();
        let hashed = self
            .work(move || {
                argon
                    .hash_password(password.as_bytes())
                    .map(|hash| hash.to_string())
            })
            .await?;
        hashed.map_err(|error| Problem::internal(error.to_string()))
    }

    /// Whether the password is the one that was stored. Without one it takes as long to say no.
    pub async fn is_right(&self, password: Password, stored: Option<String>) -> Result<bool, Problem> {
        let argon = self.argon.clone();
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobodys.clone());
        let compared = self
            .work(move || argon.verify_password(password.as_bytes(), stored.as_str()))
            .await?;
        Ok(exists && compared.is_ok())
    }

    /// Does it on a thread that may block.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let detail = "too many log in at once";
            return Err(Problem::try_again(Code::Overloaded, detail, RETRY_AFTER));
        };
        let permit = self.at_once.clone().acquire_owned().await;
        // Both go along: a client that hangs up does not end its hash, nor make room for another.
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop((place, permit));
            done
        })
        .await
        .map_err(|error| Problem::internal(error.to_string()))
    }
}
