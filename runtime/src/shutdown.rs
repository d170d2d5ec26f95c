//! One way to stop: SIGINT or SIGTERM cancels a token that every loop watches.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken;
pub use tokio_util::task::TaskTracker;

/// Cancelled when the process is asked to stop. Install once, in `main`.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        cancelled.cancel();
    });
    Ok(token)
}

/// Waits for `duration`, or less if the process is asked to stop. Returns whether
/// it was.
pub async fn stopped_within(token: &CancellationToken, duration: Duration) -> bool {
    tokio::time::timeout(duration, token.cancelled()).await.is_ok()
}
