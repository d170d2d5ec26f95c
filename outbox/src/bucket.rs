//! Virtual buckets: which part of the outbox an aggregate's events lie in. One lease
//! holder publishes a bucket, in order of id, so events of one aggregate keep theirs.

/// How many buckets there are. Fixed for ever: rows that wait to be published would
/// change places. A multiple of the topics' partition counts, so that the events of
/// one bucket and topic go to one partition, in large batches.
pub const BUCKETS: u16 = 16;

/// A bucket, `0..BUCKETS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket of an aggregate: the hash that Kafka's partitioner uses, so that
    /// bucket and partition agree.
    pub fn of(aggregate_id: &str) -> Self {
        let positive = murmur2(aggregate_id.as_bytes()) & 0x7fff_ffff;
        Self(u16::try_from(positive % u32::from(BUCKETS)).unwrap_or_default())
    }

    /// All buckets.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..BUCKETS).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Name of the lease on it.
    pub fn lease_name(self) -> String {
        format!("outbox-bucket-{:02}", self.0)
    }
}

/// `MurmurHash2` with Kafka's seed, as its Java client computes it:
/// `org.apache.kafka.common.utils.Utils.murmur2`.
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_kafka() {
        // From Kafka's own UtilsTest.testMurmur2.
        let cases: [(&[u8], i32); 5] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (data, expected) in cases {
            assert_eq!(murmur2(data).cast_signed(), expected);
        }
    }

    #[test]
    fn every_bucket_is_used() {
        let mut seen: Vec<_> = (0..1_000).map(|n| Bucket::of(&n.to_string()).get()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), usize::from(BUCKETS));
    }
}
