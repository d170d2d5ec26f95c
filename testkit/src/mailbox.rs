//! A mail server: speaks SMTP as `mailin` does, and keeps what it is sent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mailin::{Action, Handler, Response, SessionBuilder, response};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Most mails that are kept.
const MAILS_MAX: usize = 1_000;
/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A mail that came.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// Of the envelope.
    pub from: String,
    /// Of the envelope.
    pub to: Vec<String>,
    /// Headers and text, as they came.
    pub data: String,
}

impl Mail {
    /// A header, as it came; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let head = self.data.split("\r\n\r\n").next().unwrap_or_default();
        let wanted = format!("{}:", name.to_ascii_lowercase());
        let line = head
            .split("\r\n")
            .find(|line| line.to_ascii_lowercase().starts_with(&wanted));
        line.map_or("", |line| line[wanted.len()..].trim())
    }
}

/// The mail server. It serves as long as the test's runtime lives.
#[derive(Clone, Debug)]
pub struct Mailbox {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Mailbox {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = mails.clone();
        tokio::spawn(async move {
            while let Ok((connection, peer)) = listener.accept().await {
                let session = Session {
                    mails: kept.clone(),
                    mail: Mail::default(),
                };
                tokio::spawn(serve(connection, peer.ip(), session));
            }
        });
        Self { address, mails }
    }

    /// Its port, on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// What came, in its order.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().clone()
    }
}

struct Session {
    mails: Arc<Mutex<Vec<Mail>>>,
    mail: Mail,
}

impl Handler for Session {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, from: &str) -> Response {
        self.mail = Mail {
            from: from.to_owned(),
            ..Mail::default()
        };
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.mail.to.push(to.to_owned());
        response::OK
    }

    fn data(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.mail.data.push_str(&String::from_utf8_lossy(piece));
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let mut mails = self.mails.lock();
        assert!(mails.len() < MAILS_MAX, "a mailbox is flooded");
        mails.push(std::mem::take(&mut self.mail));
        response::OK
    }
}

/// Talks with one client, to the end.
async fn serve(connection: TcpStream, peer: IpAddr, session: Session) -> std::io::Result<()> {
    let mut session = SessionBuilder::new("mail.example").build(peer, session);
    let mut connection = BufReader::new(connection);
    connection.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut connection).take(LINE_BYTES_MAX);
        if bounded.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let said = session.process(&line);
        match said.action {
            Action::NoReply => {}
            Action::Close => return connection.write_all(&said.buffer()?).await,
            Action::Reply | Action::UpgradeTls => connection.write_all(&said.buffer()?).await?,
        }
    }
}
