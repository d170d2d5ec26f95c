//! `TCP_NODELAY` for connections to MySQL, which sqlx 0.9.0 forgot to set: without it a
//! statement above one segment waits 40 ms for a delayed acknowledgement. To go with
//! the release that sets it; see `docs/decisions/0011`.

use std::os::fd::RawFd;

use nix_raw::sys::socket::{setsockopt, sockopt::TcpNoDelay};

/// Where the numbers of this process's open files are.
const OPEN_FILES: &str = "/proc/self/fd";

/// Sets it on every TCP socket of the process. sqlx shows neither its sockets nor their
/// numbers; all our TCP sockets want the option, so one that is not MySQL's is no harm,
/// and what is no socket refuses it.
pub(crate) fn set_on_all_sockets() {
    let Ok(files) = std::fs::read_dir(OPEN_FILES) else {
        return;
    };
    let numbers = files
        .flatten()
        .filter_map(|file| file.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers {
        let _no_tcp_socket = setsockopt(number, TcpNoDelay, &true);
    }
}
