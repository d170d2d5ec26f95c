//! Bodies that are too large: a client that is still sending hears so, and not a broken
//! connection.

use std::io;
use std::net::SocketAddr;

use headgate_domain::partners::Scopes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::harness::Installation;

/// Far more than what the client's and the api's sockets hold together, so that the client
/// cannot end before the api has read.
const BODY_BYTES: usize = 2 * 1024 * 1024;
const SEND_BUFFER_BYTES: u32 = 64 * 1024;
/// A connection that is cut off may break early or late.
const CLIENTS: usize = 8;

/// Sends all of its request, and only then reads.
async fn ask(address: SocketAddr, head: &str, body: &[u8]) -> io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    let mut connection = socket.connect(address).await?;
    connection.set_nodelay(true)?;
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Asks with a body of [`BODY_BYTES`], which `announced` says something of.
async fn refused(installation: &Installation, announced: &str, body: &[u8]) {
    let api = installation.start().await;
    let (_, key) = installation.partner_and_key(Scopes::all()).await;
    let address = api.url.strip_prefix("http://").expect("an address");
    let head = format!(
        "POST /v1/campaigns HTTP/1.1\r\nHost: {address}\r\nX-API-KEY: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{announced}\r\n\r\n",
        key.text.reveal()
    );
    let address = address.parse().expect("an address");
    for _ in 0..CLIENTS {
        let answer = ask(address, &head, body).await.expect("all of it is read");
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("body-too-large"), "{answer}");
    }
    assert_eq!(installation.count("campaigns").await, 0);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_client_that_is_still_sending_hears_that_its_body_is_too_large() {
    let installation = Installation::new("large_body").await;
    let announced = format!("Content-Length: {BODY_BYTES}");
    refused(&installation, &announced, &vec![b' '; BODY_BYTES]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_client_that_sends_a_large_body_in_chunks_hears_so_too() {
    let installation = Installation::new("large_chunks").await;
    let mut body = Vec::with_capacity(BODY_BYTES + BODY_BYTES / 64);
    while body.len() < BODY_BYTES {
        body.extend_from_slice(b"1000\r\n");
        body.extend_from_slice(&[b' '; 0x1000]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    refused(&installation, "Transfer-Encoding: chunked", &body).await;
}
