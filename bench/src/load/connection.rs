//! One kept-alive connection, one request at a time.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{self, Answer};

/// Longest wait for a connection or an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const BUFFER_BYTES: usize = 4 * 1024;

/// Digits of a user's number: of one width, so that requests differ only there.
const NUMBER_DIGITS: usize = 10;

/// The bytes of a request, but for the user's number.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Request {
    /// A claim in `campaign`.
    pub fn claim(address: SocketAddr, campaign: &str, api_key: &str, user_prefix: &str) -> Self {
        let body = format!("{{\"user_id\":\"{user_prefix}{:0NUMBER_DIGITS$}\"}}", 0);
        let head = format!(
            "POST /v1/campaigns/{campaign}/claims HTTP/1.1\r\nhost: {address}\r\nx-api-key: {api_key}\r\n\
             content-type: application/json\r\naccept: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body.as_bytes()].concat();
        let number_at = bytes.len() - NUMBER_DIGITS - "\"}".len();
        Self { bytes, number_at }
    }

    /// A use of one point.
    pub fn use_point(address: SocketAddr, api_key: &str, user_prefix: &str) -> Self {
        let body = r#"{"amount":1}"#;
        let path = format!("POST /v1/users/{user_prefix}");
        let rest = format!(
            "{:0NUMBER_DIGITS$}/points/use HTTP/1.1\r\nhost: {address}\r\nx-api-key: {api_key}\r\n\
             content-type: application/json\r\naccept: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            0,
            body.len()
        );
        Self {
            number_at: path.len(),
            bytes: [path, rest].concat().into_bytes(),
        }
    }

    fn for_user(&mut self, number: u64) -> &[u8] {
        let mut rest = number;
        for digit in self.bytes[self.number_at..self.number_at + NUMBER_DIGITS]
            .iter_mut()
            .rev()
        {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        &self.bytes
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the answer that was read last.
    answered: usize,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = tokio::time::timeout(TIMEOUT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            answered: 0,
        })
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: &mut Request, user: u64) -> Result<Answer<'_>, Error> {
        self.buffer.drain(..self.answered);
        self.answered = 0;
        self.stream.write_all(request.for_user(user)).await?;
        let bytes = tokio::time::timeout(TIMEOUT, self.read()).await??;
        self.answered = bytes;
        answer::parse(&self.buffer)
            .ok()
            .flatten()
            .ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Reads until an answer is whole; returns its bytes.
    async fn read(&mut self) -> Result<usize, Error> {
        loop {
            match answer::parse(&self.buffer) {
                Ok(Some(answer)) => return Ok(answer.bytes),
                Ok(None) if self.buffer.len() < ANSWER_BYTES_MAX => {}
                _ => return Err(ErrorKind::InvalidData.into()),
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_the_users_number() {
        let address = "127.0.0.1:80".parse().expect("an address");
        let mut request = Request::claim(address, "c-1", "key", "u-");
        let text = String::from_utf8(request.for_user(4_711).to_vec()).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert_eq!(body, r#"{"user_id":"u-0000004711"}"#);
        assert!(head.contains(&format!("content-length: {}", body.len())));
        let mut request = Request::use_point(address, "key", "u-");
        let text = String::from_utf8(request.for_user(4_711).to_vec()).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("POST /v1/users/u-0000004711/points/use HTTP/1.1\r\n"));
        assert_eq!(body, r#"{"amount":1}"#);
    }
}
