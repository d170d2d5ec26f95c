//! One HTTP/1.1 connection, one request at a time.

use std::convert::Infallible;
use std::time::Duration;

use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::Answer;
use super::rush::Gate;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answered {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    host: String,
    sender: SendRequest<Body>,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(host: &str) -> Result<Self, String> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, async {
            let stream = TcpStream::connect(host)
                .await
                .map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())
        })
        .await;
        let (sender, connection) = opened.map_err(|_| "no connection in time".to_owned())??;
        // Its end is seen by the requests.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Self {
            host: host.to_owned(),
            sender,
        })
    }

    /// Claims for `user` and reads what comes back.
    pub async fn claim(&mut self, api_key: &str, campaign: Uuid, user: &str) -> Answer {
        let body = Full::new(claim_body(user)).boxed_unsync();
        self.ask(api_key, campaign, user, body).await
    }

    /// The same, but the last byte of the request is kept back until the gate opens.
    pub(super) async fn claim_at(&mut self, gate: Gate, api_key: &str, campaign: Uuid, user: &str) -> Answer {
        let mut first = claim_body(user);
        let last = first.split_off(first.len() - 1);
        let begun = stream::once(async move { Ok(Frame::data(first)) });
        let ended = stream::once(async move {
            gate.pass().await;
            Ok(Frame::data(last))
        });
        let body = StreamBody::new(futures::StreamExt::chain(begun, ended)).boxed_unsync();
        self.ask(api_key, campaign, user, body).await
    }

    async fn ask(&mut self, api_key: &str, campaign: Uuid, user: &str, body: Body) -> Answer {
        let path = format!("/v1/campaigns/{campaign}/claims");
        let length = claim_body(user).len();
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(hyper::header::HOST, &self.host)
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .header(hyper::header::CONTENT_LENGTH, length)
            .header("x-api-key", api_key)
            .body(body)
            .expect("a request of plain parts");
        match self.send(request).await {
            Ok(answered) => Answer::read(&answered),
            Err(why) => Answer::Lost(why),
        }
    }

    async fn send(&mut self, request: Request<Body>) -> Result<Answered, String> {
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, async {
            self.sender.ready().await?;
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Answered {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        })
        .await;
        answered
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| error.to_string())
    }
}

fn claim_body(user: &str) -> Bytes {
    Bytes::from(serde_json::json!({ "user_id": user }).to_string())
}
