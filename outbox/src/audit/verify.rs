//! Verifying the chain: every line again, from the first or from where the last look ended, in one
//! snapshot with the head. It reads a line at a time and remembers two hashes.

use std::pin::pin;
use std::time::Instant;

use futures::TryStreamExt;
use headgate_runtime::mysql;
use sqlx::MySqlConnection;

use super::chain::{Hash, Line, Link};
use super::store;

/// Lines that are asked for at once; the time is looked at between.
const LINES_AT_ONCE: u32 = 1_000;
/// Faults that are named; the others are counted.
pub const FOUND_MAX: usize = 20;

/// What is wrong with the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The line's fields are not those that its hash was made of.
    Changed,
    /// The line fits its hash, but what follows (the next line, or the head) follows another.
    Replaced,
    /// The line is not there, nor those up to `last_no`.
    Missing,
    /// The line belongs to no place in the chain: it stands between two that follow each other, or
    /// behind the last.
    Inserted,
    /// The row that says which line is the last is not there.
    HeadMissing,
    /// The line is not, or no longer, the one that was noted.
    NotedDiffers,
}

impl FaultKind {
    /// The word in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Replaced => "replaced",
            Self::Missing => "missing",
            Self::Inserted => "inserted",
            Self::HeadMissing => "head-missing",
            Self::NotedDiffers => "noted-differs",
        }
    }
}

/// A fault and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Number of the line.
    pub audit_no: u64,
    /// Number of the last line of which it is true; mostly the same.
    pub last_no: u64,
}

/// How far a look may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most lines.
    pub lines_max: u64,
    /// No more lines are asked for after this moment.
    pub until: Instant,
}

/// What a look came to.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Lines that were looked at.
    pub looked_at: u64,
    /// The last of them, with the hash that it carries; go on behind it.
    pub reached: Link,
    /// The last line of the chain as the head has it, in the moment of this look.
    pub head: Option<Link>,
    /// Whether the end was reached.
    pub is_complete: bool,
    /// How many faults there are.
    pub faults: u64,
    /// The first [`FOUND_MAX`] of them.
    pub found: Vec<Fault>,
}

/// Verifies the lines behind `after`, as far as `limits` allow; at the end also that the head
/// counts as many lines, and that the line that was `noted` is still the same.
pub async fn verify(
    connection: &mut MySqlConnection,
    after: Link,
    noted: Option<Link>,
    limits: Limits,
) -> Result<Verified, sqlx::Error> {
    let mut snapshot = mysql::snapshot(connection).await?;
    let walked = walk(&mut snapshot, after, noted, limits).await;
    snapshot.rollback().await?;
    walked
}

async fn walk(
    snapshot: &mut MySqlConnection,
    after: Link,
    noted: Option<Link>,
    limits: Limits,
) -> Result<Verified, sqlx::Error> {
    let head = store::head(&mut *snapshot).await?;
    let before = match after.audit_no {
        0 | 1 => Some(Hash::NONE),
        number => store::hash_of(&mut *snapshot, number - 1).await?,
    };
    let mut walk = Walk::behind(after, before, head);
    // No line has this number, and the walk begins behind it.
    if after.audit_no == 0 && store::hash_of(&mut *snapshot, 0).await?.is_some() {
        walk.find(FaultKind::Inserted, 0, 0);
    }
    while let Some(first) = walk.last.audit_no.checked_add(1) {
        let asked = (limits.lines_max - walk.looked_at).min(u64::from(LINES_AT_ONCE));
        let asked = u32::try_from(asked).unwrap_or(LINES_AT_ONCE);
        let mut got = 0;
        {
            let mut lines = pin!(store::lines_from(&mut *snapshot, first, asked));
            while let Some(line) = lines.try_next().await? {
                walk.take(&line);
                got += 1;
            }
        }
        if got < asked {
            break;
        }
        if walk.looked_at >= limits.lines_max || Instant::now() > limits.until {
            return Ok(walk.verified(false));
        }
    }
    walk.end();
    if let Some(noted) = noted {
        walk.compare(noted, carried(snapshot, noted).await?);
    }
    Ok(walk.verified(true))
}

/// The hash that the line that was noted carries now.
async fn carried(snapshot: &mut MySqlConnection, noted: Link) -> Result<Option<Hash>, sqlx::Error> {
    if noted.audit_no == 0 {
        return Ok(Some(Hash::NONE));
    }
    store::hash_of(snapshot, noted.audit_no).await
}

/// A walk along the chain.
struct Walk {
    looked_at: u64,
    /// The last line.
    last: Link,
    /// The hash of the line before the last, if there is one.
    before_last: Option<Hash>,
    /// Whether the last line is what its hash was made of.
    last_holds: bool,
    head: Option<Link>,
    faults: u64,
    found: Vec<Fault>,
}

impl Walk {
    const fn behind(after: Link, before: Option<Hash>, head: Option<Link>) -> Self {
        Self {
            looked_at: 0,
            last: after,
            before_last: before,
            last_holds: true,
            head,
            faults: 0,
            found: Vec::new(),
        }
    }

    fn take(&mut self, line: &Line) {
        self.looked_at += 1;
        let (number, next) = (line.audit_no, self.last.audit_no.saturating_add(1));
        let is_itself = line.hashed() == line.hash;
        if self.head.is_some_and(|head| number > head.audit_no) {
            self.find(FaultKind::Inserted, number, number);
        } else if number > next {
            // What it follows is not there to be compared.
            self.find(FaultKind::Missing, next, number - 1);
            if !is_itself {
                self.find(FaultKind::Changed, number, number);
            }
        } else {
            self.link(line, is_itself);
        }
        self.before_last = (number == next).then_some(self.last.hash);
        self.last_holds = is_itself;
        self.last = line.link();
    }

    /// Judges a line that stands behind the last one.
    fn link(&mut self, line: &Line, is_itself: bool) {
        let (number, last) = (line.audit_no, self.last.audit_no);
        let follows = line.previous_hash == self.last.hash;
        // A last line that does not hold was named already, and what follows it says no more.
        if !follows && self.last_holds && last > 0 {
            if self.before_last == Some(line.previous_hash) {
                self.find(FaultKind::Inserted, last, last);
            } else if is_itself {
                self.find(FaultKind::Replaced, last, last);
            }
        }
        // Nothing stands before the first line that could have been replaced.
        if !is_itself || (!follows && last == 0) {
            self.find(FaultKind::Changed, number, number);
        }
    }

    /// There are no more lines.
    fn end(&mut self) {
        let last = self.last;
        match self.head {
            None => self.find(FaultKind::HeadMissing, last.audit_no, last.audit_no),
            Some(head) if head.audit_no > last.audit_no => {
                self.find(FaultKind::Missing, last.audit_no + 1, head.audit_no);
            }
            // What stands beyond the head was found on the way; if nothing does, it was seen by
            // an earlier look and is gone.
            Some(head) if head.audit_no < last.audit_no && self.looked_at == 0 => {
                self.find(FaultKind::Missing, head.audit_no + 1, last.audit_no);
            }
            Some(head) if head.audit_no == last.audit_no && head.hash != last.hash => {
                self.find(FaultKind::Replaced, last.audit_no, last.audit_no);
            }
            Some(_) => {}
        }
    }

    fn compare(&mut self, noted: Link, carried: Option<Hash>) {
        if carried != Some(noted.hash) {
            self.find(FaultKind::NotedDiffers, noted.audit_no, noted.audit_no);
        }
    }

    fn find(&mut self, kind: FaultKind, audit_no: u64, last_no: u64) {
        self.faults += 1;
        if self.found.len() < FOUND_MAX {
            self.found.push(Fault {
                kind,
                audit_no,
                last_no,
            });
        }
    }

    fn verified(self, is_complete: bool) -> Verified {
        Verified {
            looked_at: self.looked_at,
            reached: self.last,
            head: self.head,
            is_complete,
            faults: self.faults,
            found: self.found,
        }
    }
}
