//! Numbers as the metrics take them.

/// A count as a gauge or histogram takes it. Counts here stay far below its limit.
pub(crate) fn count(count: impl TryInto<u32>) -> f64 {
    count.try_into().map_or(f64::from(u32::MAX), f64::from)
}
