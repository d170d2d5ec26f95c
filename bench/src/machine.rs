//! What the figures were measured on.

use std::fs;
use std::process::Command;

/// The machine and the build.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Cores that programs may use.
    pub cores: usize,
    /// The processor, as it calls itself.
    pub processor: String,
    /// Main memory.
    pub memory_gib: f64,
    /// The kernel.
    pub kernel: String,
    /// The commit that was measured, with `+` when files had been changed since.
    pub commit: String,
}

const KIBIBYTES_PER_GIBIBYTE: f64 = 1024.0 * 1024.0;

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let memory = line_of("/proc/meminfo", "MemTotal:")
            .and_then(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: line_of("/proc/cpuinfo", "model name")
                .map(|text| text.trim_start_matches([' ', '\t', ':']).to_owned())
                .unwrap_or_default(),
            memory_gib: memory.unwrap_or_default() / KIBIBYTES_PER_GIBIBYTE,
            kernel: kernel.trim().to_owned(),
            commit: commit(),
        }
    }
}

fn line_of(file: &str, prefix: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(prefix))
        .map(str::to_owned)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
    if changed { commit + "+" } else { commit }
}
