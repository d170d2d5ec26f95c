//! Crash points: named places where a test kills the process with SIGKILL. They
//! exist only with the feature `crash-points`, which a release build refuses.

#[cfg(all(feature = "crash-points", not(debug_assertions)))]
compile_error!("crash points must not be in a release build");

/// Names the crash point for this process, as `name` or `name:N` (die at the N-th
/// passage, from 1).
pub const CRASH_POINT_VARIABLE: &str = "HEADGATE_CRASH_POINT";

/// File that receives the point's name just before the process dies, so that a test
/// knows that it died there and nowhere else.
pub const CRASH_REPORT_VARIABLE: &str = "HEADGATE_CRASH_REPORT";

/// With any value, the process is stopped by SIGSTOP instead, and goes on at SIGCONT: as one that
/// the machine forgets for a while.
pub const FREEZE_VARIABLE: &str = "HEADGATE_CRASH_FREEZE";

/// A named place at which a test may kill the process. Nothing at all without the
/// feature, whoever uses it.
#[cfg(feature = "crash-points")]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash::pass(concat!("crash-point/", $name))
    };
}

/// A named place at which a test may kill the process. Nothing at all without the
/// feature, whoever uses it.
#[cfg(not(feature = "crash-points"))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        ()
    };
}

/// Dies here by SIGKILL if this point was chosen; see [`crash_point!`].
#[cfg(feature = "crash-points")]
pub fn pass(marked_name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Chosen {
        name: String,
        passages_left: AtomicU64,
    }
    static CHOSEN: LazyLock<Option<Chosen>> = LazyLock::new(|| {
        let text = std::env::var(CRASH_POINT_VARIABLE).ok()?;
        let (name, passages) = text.split_once(':').unwrap_or((&text, "1"));
        let passages_left = AtomicU64::new(passages.parse().ok()?);
        Some(Chosen {
            name: name.to_owned(),
            passages_left,
        })
    });
    let name = marked_name.trim_start_matches("crash-point/");
    let Some(chosen) = CHOSEN.as_ref().filter(|chosen| chosen.name == name) else {
        return;
    };
    if chosen.passages_left.fetch_sub(1, Ordering::SeqCst) != 1 {
        return;
    }
    if let Ok(report) = std::env::var(CRASH_REPORT_VARIABLE) {
        let written = std::fs::write(&report, name);
        debug_assert!(written.is_ok(), "the crash report could not be written");
    }
    if std::env::var_os(FREEZE_VARIABLE).is_some() {
        // To this thread, which so does not return from it before all of them have stopped.
        let stopped = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
        debug_assert!(stopped.is_ok(), "the process could not stop itself");
        return;
    }
    let _unreachable = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    // The signal is delivered before the call returns to this thread at the latest
    // when it next enters the kernel; nothing more may happen here.
    loop {
        std::thread::park();
    }
}
