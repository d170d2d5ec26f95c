//! The stream: which events there are, in which order, and what must become of each. It is
//! the model that the product is held against, and knows nothing of it.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Size;

/// One event of so many cannot be read, and one claim of so many is never put right.
const ONE_POISON_OF: u32 = 40;
/// One claim of so many is put right in the course of the run.
const ONE_MENDABLE_OF: u32 = 12;
/// One event of so many comes right behind another of its key, and often in its batch.
const ONE_BEHIND_OF: u32 = 3;
/// One claim of so many belongs to the sale whose stock is short.
const ONE_SHORT_OF: u32 = 8;

/// What is wrong with a claim's row, so that a rule rejects its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// There is none of its id.
    Away,
    /// It is another user's.
    Changed,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An admitted claim.
    Claim {
        /// Of the sale whose stock is short until somebody mends it.
        is_short: bool,
        /// What is wrong with its row at first.
        spoilt: Option<Spoilt>,
        /// Whether that is mended in the course of the run.
        is_mended: bool,
    },
    /// Bytes that nobody can read; which ones.
    Junk(usize),
}

/// An event of the stream.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub key: usize,
    pub kind: Kind,
}

impl Planned {
    /// Whether it is an admitted claim, and nothing is ever wrong with it.
    pub const fn is_sound(&self) -> bool {
        matches!(
            self.kind,
            Kind::Claim {
                is_short: false,
                spoilt: None,
                ..
            }
        )
    }

    /// Whether it can never be applied.
    pub const fn is_lost(&self) -> bool {
        matches!(
            self.kind,
            Kind::Junk(_)
                | Kind::Claim {
                    spoilt: Some(_),
                    is_mended: false,
                    ..
                }
        )
    }
}

/// The stream, and what must become of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub events: Vec<Planned>,
}

impl Plan {
    pub fn draw(size: Size, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut events: Vec<Planned> = Vec::with_capacity(size.events);
        while events.len() < size.events {
            let before = events.last().map(|event| event.key);
            let before = before.filter(|_| random.random_ratio(1, ONE_BEHIND_OF));
            events.push(Planned {
                key: before.unwrap_or_else(|| random.random_range(0..size.keys)),
                kind: kind(&mut random),
            });
        }
        Self { events }
    }

    /// The events of each key, in order, by their number in the stream.
    pub fn by_key(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut keys: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, event) in self.events.iter().enumerate() {
            keys.entry(event.key).or_default().push(number);
        }
        keys
    }

    /// Most events of one key with which anything is ever wrong.
    pub fn causes_max(&self) -> usize {
        let keys = self.by_key().into_values();
        let wrong = keys.map(|numbers| {
            numbers
                .iter()
                .filter(|number| !self.events[**number].is_sound())
                .count()
        });
        wrong.max().unwrap_or_default()
    }

    /// Of each key what is applied in the end, and what stays open: the first event that can
    /// never be applied, and all that comes behind it.
    pub fn ends(&self) -> BTreeMap<usize, (Vec<usize>, Vec<usize>)> {
        let split = |numbers: Vec<usize>| {
            let lost = numbers.iter().position(|number| self.events[*number].is_lost());
            let (applied, open) = numbers.split_at(lost.unwrap_or(numbers.len()));
            (applied.to_vec(), open.to_vec())
        };
        let keys = self.by_key().into_iter();
        keys.map(|(key, numbers)| (key, split(numbers))).collect()
    }
}

fn kind(random: &mut StdRng) -> Kind {
    if random.random_ratio(1, ONE_POISON_OF) {
        return Kind::Junk(random.random_range(0..super::world::JUNK.len()));
    }
    let is_short = random.random_ratio(1, ONE_SHORT_OF);
    let is_lost = random.random_ratio(1, ONE_POISON_OF);
    let is_spoilt = is_lost || random.random_ratio(1, ONE_MENDABLE_OF);
    let how = if random.random() {
        Spoilt::Away
    } else {
        Spoilt::Changed
    };
    Kind::Claim {
        is_short,
        spoilt: is_spoilt.then_some(how),
        is_mended: !is_lost,
    }
}
