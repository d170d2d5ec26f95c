//! The locks that are held now, for operators: looked at, and ended by force.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::Script;
use redis::aio::ConnectionManager;

use super::commands::{name, release_script};
use super::key::{FAMILIES, LockKey};
use super::value::Value;

/// Keys of Redis that one step of a scan looks at.
const SCAN_KEYS: usize = 1_000;
/// Steps for one page: looking for a few locks among millions of other keys takes several
/// pages, some of them empty, rather than one that keeps everybody waiting.
const SCANS_MAX: usize = 100;

/// Redis did not tell, or did not do it.
#[derive(Debug, thiserror::Error)]
#[error("the locks in redis cannot be read")]
pub struct Error(#[from] redis::RedisError);

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// Its key.
    pub key: LockKey,
    /// The process that holds it. `None`: the value was not written by Headgate.
    pub holder: Option<String>,
    /// Since when, by the holder's clock.
    pub since: Option<DateTime<Utc>>,
    /// What is left of its lease. `None`: it never ends, and was not taken by Headgate.
    pub remaining: Option<Duration>,
    value: Vec<u8>,
}

/// Where a page begins. The default is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Redis' own.
    scan: u64,
    /// The last key of that step that was shown.
    after: Option<LockKey>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.after {
            None => write!(f, "{}", self.scan),
            Some(key) => write!(f, "{}-{key}", self.scan),
        }
    }
}

/// The text is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("this is no cursor that was given out")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (scan, after) = match text.split_once('-') {
            None => (text, None),
            Some((scan, key)) => (scan, Some(key.parse().map_err(|_| InvalidCursor)?)),
        };
        let scan = scan.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { scan, after })
    }
}

/// Some of the locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In no particular order. A lock that is held throughout is on some page, perhaps on two.
    pub locks: Vec<HeldLock>,
    /// Where the next page begins; there may be one although this one is empty.
    pub next: Option<Cursor>,
}

/// All locks of an installation. Each command waits as long as the connection allows.
#[derive(Clone)]
pub struct LockTable {
    connection: ConnectionManager,
    prefix: Arc<str>,
    release: Arc<Script>,
}

impl LockTable {
    /// `prefix` precedes every key.
    pub fn new(connection: ConnectionManager, prefix: &str) -> Self {
        Self {
            connection,
            prefix: prefix.into(),
            release: Arc::new(release_script()),
        }
    }

    /// At most `limit` locks. Looks at 100,000 keys of Redis at most.
    pub async fn page(&self, from: Cursor, limit: usize) -> Result<Page, Error> {
        let mut locks = Vec::new();
        let mut at = from;
        for _ in 0..SCANS_MAX {
            let (next, mut found) = self.scan(&at).await?;
            let room = limit.saturating_sub(locks.len());
            let is_cut = found.len() > room;
            found.truncate(room);
            locks.extend(self.read(&found).await?);
            if is_cut {
                let after = found.pop().or(at.after);
                return Ok(Page {
                    locks,
                    next: Some(Cursor { scan: at.scan, after }),
                });
            }
            if next == 0 {
                return Ok(Page { locks, next: None });
            }
            at = Cursor {
                scan: next,
                after: None,
            };
        }
        Ok(Page {
            locks,
            next: Some(at),
        })
    }

    /// The lock of this key, if anybody holds it.
    pub async fn find(&self, key: LockKey) -> Result<Option<HeldLock>, Error> {
        Ok(self.read(&[key]).await?.pop())
    }

    /// Ends a lock by force, if the one who was seen to hold it still does: never the next
    /// one's. Its holder learns of it when it renews. False: it had ended.
    pub async fn release(&self, lock: &HeldLock) -> Result<bool, Error> {
        let mut call = self.release.key(name(&self.prefix, &lock.key));
        call.arg(lock.value.as_slice());
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    /// One step: the next step's place, and the locks' keys behind the cursor's, in order.
    async fn scan(&self, at: &Cursor) -> Result<(u64, Vec<LockKey>), Error> {
        let (next, names): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(at.scan)
            .arg("MATCH")
            .arg(format!("{}{FAMILIES}*", escaped(&self.prefix)))
            .arg("COUNT")
            .arg(SCAN_KEYS)
            .query_async(&mut self.connection.clone())
            .await?;
        let mut keys: Vec<LockKey> = names
            .iter()
            .filter_map(|name| {
                let name = name.strip_prefix(self.prefix.as_bytes())?;
                std::str::from_utf8(name).ok()?.parse().ok()
            })
            .filter(|key| at.after.is_none_or(|after| *key > after))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Ok((next, keys))
    }

    /// Those of them that are still held.
    async fn read(&self, keys: &[LockKey]) -> Result<Vec<HeldLock>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for key in keys {
            let name = name(&self.prefix, key);
            pipe.cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        }
        let answers: Vec<redis::Value> = pipe.query_async(&mut self.connection.clone()).await?;
        let mut locks = Vec::new();
        for (key, answer) in keys.iter().zip(answers.chunks_exact(2)) {
            let value: Option<Vec<u8>> =
                redis::from_redis_value(answer[0].clone()).map_err(redis::RedisError::from)?;
            let left_ms: i64 = redis::from_redis_value(answer[1].clone()).map_err(redis::RedisError::from)?;
            locks.extend(value.map(|value| HeldLock::new(*key, value, left_ms)));
        }
        Ok(locks)
    }
}

impl HeldLock {
    fn new(key: LockKey, value: Vec<u8>, left_ms: i64) -> Self {
        let (holder, since) = match Value::parse(&value) {
            Some(Value { holder, since, .. }) => (Some(holder), Some(since)),
            None => (None, None),
        };
        Self {
            key,
            holder,
            since,
            // PTTL says -1 where there is no end.
            remaining: u64::try_from(left_ms).ok().map(Duration::from_millis),
            value,
        }
    }
}

/// The text as a pattern of SCAN that means just it.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        let key = LockKey::point_use(uuid::Uuid::now_v7());
        for cursor in [
            Cursor::default(),
            Cursor {
                scan: u64::MAX,
                after: Some(key),
            },
        ] {
            assert_eq!(cursor.to_string().parse::<Cursor>().expect("a cursor"), cursor);
        }
        for text in ["", "x", "7-", "7-point:use:member:u-1"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_means_only_itself() {
        assert_eq!(escaped("a*[b]?\\:"), "a\\*\\[b\\]\\?\\\\:");
    }
}
