//! CPU time and memory of processes, and of the whole machine, from /proc.

use std::fs;
use std::time::Instant;

/// Unit of CPU times in /proc, in a second. Fixed by Linux for what it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// Places in /proc/PID/stat behind the program's name.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
/// Places in the first line of /proc/stat.
const IDLE: usize = 3;
const WAITING_FOR_DISK: usize = 4;
const STOLEN: usize = 7;
const KIBIBYTES_PER_MEBIBYTE: f64 = 1024.0;

/// CPU seconds that a process has used.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, a bracket too.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?) / TICKS_PER_SECOND)
}

fn resident_mebibytes(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes / KIBIBYTES_PER_MEBIBYTE)
}

/// CPU seconds of the whole machine, over all cores.
#[derive(Clone, Copy, Debug, Default)]
struct MachineTime {
    total: f64,
    idle: f64,
    stolen: f64,
}

impl MachineTime {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let seconds: Vec<f64> = line
            .split_ascii_whitespace()
            .skip(1)
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .map(|ticks| ticks / TICKS_PER_SECOND)
            .collect();
        let at = |place: usize| seconds.get(place).copied().unwrap_or_default();
        Self {
            // What follows is counted in the first ones already.
            total: seconds.iter().take(STOLEN + 1).sum(),
            idle: at(IDLE) + at(WAITING_FOR_DISK),
            stolen: at(STOLEN),
        }
    }
}

/// Watches processes over a span of time.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    processes: Vec<(String, u32)>,
    begun: Option<Begun>,
}

#[derive(Clone, Debug)]
struct Begun {
    at: Instant,
    machine: MachineTime,
    processes: Vec<f64>,
}

/// What was used within the span.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Length of the span.
    pub seconds: f64,
    /// Name, CPU seconds, resident MiB at the end.
    pub processes: Vec<(String, f64, f64)>,
    /// CPU seconds of programs that are not watched, and of the kernel on nobody's
    /// account.
    pub others: f64,
    /// Share of the machine that was idle, 0 to 1.
    pub idle: f64,
    /// Share of the machine that the hypervisor took, 0 to 1.
    pub stolen: f64,
}

impl Meter {
    /// Adds a process.
    pub fn watch(&mut self, name: &str, pid: u32) {
        self.processes.push((name.to_owned(), pid));
    }

    /// Begins the span.
    pub fn begin(&mut self) {
        let processes = self.processes.iter();
        self.begun = Some(Begun {
            at: Instant::now(),
            machine: MachineTime::now(),
            processes: processes
                .map(|(_, pid)| cpu_seconds(*pid).unwrap_or_default())
                .collect(),
        });
    }

    /// Ends the span. None: it was not begun.
    pub fn end(&self) -> Option<Usage> {
        let begun = self.begun.as_ref()?;
        let machine = MachineTime::now();
        let processes: Vec<_> = self
            .processes
            .iter()
            .zip(&begun.processes)
            .map(|((name, pid), before)| {
                let used = cpu_seconds(*pid).map_or(0.0, |after| after - before);
                (name.clone(), used, resident_mebibytes(*pid).unwrap_or_default())
            })
            .collect();
        let ours: f64 = processes.iter().map(|(_, used, _)| used).sum();
        let total = machine.total - begun.machine.total;
        let idle = machine.idle - begun.machine.idle;
        let stolen = machine.stolen - begun.machine.stolen;
        Some(Usage {
            seconds: begun.at.elapsed().as_secs_f64(),
            processes,
            others: (total - idle - stolen - ours).max(0.0),
            idle: share(idle, total),
            stolen: share(stolen, total),
        })
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_this_process_is_seen() {
        let mut meter = Meter::default();
        meter.watch("test", std::process::id());
        meter.begin();
        let begin = Instant::now();
        let mut burnt = 0_u64;
        // However busy the machine is, so much work takes more than a tick of its clock.
        for _ in 0..50_000_000 {
            burnt = std::hint::black_box(burnt.wrapping_mul(31) + 7);
        }
        let least = begin.elapsed().as_secs_f64();
        let usage = meter.end().expect("begun");
        assert!(usage.processes[0].1 > 0.01, "{usage:?}");
        assert!(usage.processes[0].2 > 1.0, "{usage:?}");
        assert!(usage.seconds >= least);
    }
}
