//! Small appends made durable one by one, on the disk that holds the servers' data.

use crate::bench::Bench;
use crate::report::Row;

/// Probes it.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let probe = bench.probe_disk().await?;
    bench.add(
        Row::new("disk: durable appends, one by one", probe.per_second, "/s")
            .note(format!("p50 {:.2} ms, p99 {:.2} ms", probe.p50_ms, probe.p99_ms)),
    )
}
