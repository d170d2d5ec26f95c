//! Connections: how many, how long they may be silent, and how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use headgate_runtime::shutdown::CancellationToken;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::config;
use crate::rate_limits::Peer;

/// Connections that may wait to be accepted: a sale begins with all of them at once.
/// The kernel caps it by `net.core.somaxconn`.
const BACKLOG: u32 = 16_384;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes that are read ahead of one connection; also the longest request head.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Pause after a failed accept: out of files, mostly, which passes when others close.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Files that a process needs beside its connections: databases, logs, listeners.
const OTHER_FILES: u64 = 256;

/// Raises this process's limit of open files, as far as it may, to what its connections
/// need. Shells often begin with 1,024.
pub fn allow_open_files(connections_max: u32) {
    let needed = u64::from(connections_max) + OTHER_FILES;
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = needed.clamp(soft, hard.max(soft));
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map(|()| wanted)
    });
    match raised {
        Ok(files) if files >= needed => {}
        Ok(files) => {
            tracing::warn!(
                files,
                needed,
                "fewer open files are allowed than http.connections_max needs"
            );
        }
        Err(error) => tracing::warn!(%error, needed, "the limit of open files could not be raised"),
    }
}

/// Binds a listener with a long backlog.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves HTTP/1.1 until stopped; then ends idle connections, and lets requests in
/// work end within the settings' time.
pub async fn serve(listener: TcpListener, routes: Router, settings: &config::Http, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(
        usize::try_from(settings.connections_max).unwrap_or(Semaphore::MAX_PERMITS),
    ));
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(settings.idle_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(READ_BUFFER_BYTES);
    let graceful = GracefulShutdown::new();
    while let Some((accepted, address)) = accept(&listener, &stop).await {
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics::counter!("headgate_http_connections_refused_total").increment(1);
            continue;
        };
        let peer = Peer(address.ip());
        let routes = routes.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let routes = TowerToHyperService::new(routes);
        let connection = graceful.watch(protocol.serve_connection(TokioIo::new(accepted), routes));
        tokio::spawn(async move {
            // Clients vanish at any moment: that is no event of ours.
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.stop_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests were still in work at the end");
    }
}

/// The next connection; `None` once the process is asked to stop.
async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    tokio::select! {
        stream = next(listener) => Some(stream),
        () = stop.cancelled() => None,
    }
}

async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Answers are small and whole: waiting to fill a packet only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::trace!(%error, "a connection ended before it began");
                }
                return (stream, address);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
