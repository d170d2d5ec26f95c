//! Places of rows as one parameter: a JSON list that MySQL joins with the table row by
//! row, along its key. One prepared statement serves any number of rows, and no plan
//! can make it scan the table (and wait for rows that others have not committed).

use std::fmt::Write;

use crate::bucket::Bucket;

/// Places in the outbox: `[[bucket, id], ...]`, or with where the record lies in Kafka:
/// `[[bucket, id, partition, offset], ...]`.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    json: String,
    count: u64,
}

/// Room for one place in text, in bytes.
const PLACE_BYTES: usize = 48;

impl Places {
    /// An empty list with room for `count` places.
    pub(crate) fn with_capacity(count: usize) -> Self {
        let mut json = String::with_capacity(count * PLACE_BYTES + 2);
        json.push_str("[]");
        Self { json, count: 0 }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, bucket: Bucket, id: u64) {
        self.add(format_args!("[{},{id}]", bucket.get()));
    }

    /// Adds a row with where its record lies.
    pub(crate) fn push_published(&mut self, bucket: Bucket, id: u64, partition: i32, offset: i64) {
        self.add(format_args!("[{},{id},{partition},{offset}]", bucket.get()));
    }

    fn add(&mut self, place: std::fmt::Arguments<'_>) {
        self.json.pop();
        if self.count > 0 {
            self.json.push(',');
        }
        // Writing to a string cannot fail.
        let _written = self.json.write_fmt(place);
        self.json.push(']');
        self.count += 1;
    }

    /// The list as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.json
    }

    /// How many rows are in it.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_json_list() {
        let bucket = Bucket::all().nth(3).expect("a bucket");
        let mut places = Places::with_capacity(2);
        assert_eq!(places.as_str(), "[]");
        places.push(bucket, 7);
        places.push_published(bucket, 8, 1, 99);
        assert_eq!((places.as_str(), places.count()), ("[[3,7],[3,8,1,99]]", 2));
    }
}
