//! The report of a run, as a file that is kept.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};

use super::Row;
use super::cells::{remarks, table};
use crate::machine::Machine;
use crate::stack::settings::Setting;

/// Writes the report of a run; returns where.
pub fn write(
    folder: &Path,
    begun: DateTime<Utc>,
    machine: &Machine,
    settings: &[Setting],
    rows: &[Row],
) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join(format!("{}.md", begun.format("%Y-%m-%d-%H%M%S")));
    let text = text(begun, machine, settings, rows)?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn text(
    begun: DateTime<Utc>,
    machine: &Machine,
    settings: &[Setting],
    rows: &[Row],
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "# Measured {}\n", begun.format("%Y-%m-%d %H:%M UTC"))?;
    writeln!(
        text,
        "{} x {}, {:.0} GiB, Linux {}; commit {}. Load client, servers and our processes share these cores.\n",
        machine.cores, machine.processor, machine.memory_gib, machine.kernel, machine.commit
    )?;
    writeln!(text, "{}\n", table(rows, true))?;
    writeln!(text, "## Notes and CPU\n")?;
    for row in rows {
        writeln!(text, "- **{}**", row.what)?;
        if let Some(probe) = &row.probe {
            writeln!(
                text,
                "  - disk before it: {:.0} fsync/s, p50 {:.2} ms, p99 {:.2} ms",
                probe.per_second, probe.p50_ms, probe.p99_ms
            )?;
        }
        for remark in remarks(row).lines() {
            writeln!(text, "  - {remark}")?;
        }
    }
    writeln!(text, "\n## Servers\n")?;
    for setting in settings {
        writeln!(text, "- {}: {} = {}", setting.server, setting.name, setting.value)?;
    }
    Ok(text)
}
