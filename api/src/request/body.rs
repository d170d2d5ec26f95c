//! JSON bodies.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use serde_json::Value;

use super::Fields;
use super::distinct::Distinct;
use crate::app::App;
use crate::problem::{Code, Problem};

/// Most bytes that are read of a body which is too large.
const READ_PAST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A body that can be read.
pub trait ReadBody: Sized {
    /// Whether a request without a body means the same as `{}`.
    const MAY_BE_ABSENT: bool = false;

    /// Reads the usual case in one pass; `None` leaves it to [`ReadBody::read`], which
    /// can say what is wrong.
    fn read_fast(_body: &[u8]) -> Option<Self> {
        None
    }

    /// Reads the fields. `None` if one of them is wrong.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// A request's JSON body.
pub struct Body<T>(pub T);

impl<T: ReadBody> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        RawBody::from_request(request, app).await?.read(app).map(Self)
    }
}

/// A request's body as it came, not looked at yet.
pub struct RawBody {
    is_json: bool,
    /// The bytes.
    pub bytes: Bytes,
}

impl FromRequest<App> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let settings = &app.config().http;
        let read = read_whole(request.into_body(), settings.body_bytes_max);
        let Ok(read) = tokio::time::timeout(settings.body_timeout, read).await else {
            let detail = format!("its end was waited for {:?}", settings.body_timeout);
            return Err(Problem::new(Code::BodyTimeout, detail));
        };
        let bytes = read?;
        Ok(Self { is_json, bytes })
    }
}

fn too_large(limit: u32) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("at most {limit} bytes are read"))
}

/// Reads a body. One that is too large is not kept, but read on, up to
/// [`READ_PAST_BYTES_MAX`], before it is refused: a client that is cut off while it sends
/// meets a broken connection and not the answer.
async fn read_whole(body: axum::body::Body, bytes_max: u32) -> Result<Bytes, Problem> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut pieces = body.into_data_stream();
    let mut came = 0;
    // As a rule there is one piece, which need not be copied.
    let (mut first, mut whole) = (Bytes::new(), Vec::new());
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            let detail = "the body could not be read to its end";
            return Err(Problem::new(Code::MalformedBody, detail));
        };
        came += piece.len();
        if came > READ_PAST_BYTES_MAX.max(limit) {
            break;
        } else if came > limit {
            (first, whole) = (Bytes::new(), Vec::new());
        } else if came == piece.len() {
            first = piece;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&piece);
        }
    }
    if came > limit {
        return Err(too_large(bytes_max));
    }
    Ok(if whole.is_empty() { first } else { whole.into() })
}

impl RawBody {
    /// Reads it.
    pub fn read<T: ReadBody>(&self, app: &App) -> Result<T, Problem> {
        if self.bytes.is_empty() && T::MAY_BE_ABSENT {
            return read(serde_json::Map::new(), app);
        }
        if !self.is_json {
            let detail = "the content type has to be application/json";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        match T::read_fast(&self.bytes) {
            Some(read) => Ok(read),
            None => read_slowly(&self.bytes, app),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

fn read_slowly<T: ReadBody>(body: &[u8], app: &App) -> Result<T, Problem> {
    let Distinct(value) = serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() {
            Code::InvalidBody
        } else {
            Code::MalformedBody
        };
        Problem::new(code, error.to_string())
    })?;
    match value {
        Value::Object(object) => read(object, app),
        _ => Err(Problem::new(
            Code::InvalidBody,
            "the body has to be a JSON object",
        )),
    }
}

fn read<T: ReadBody>(object: serde_json::Map<String, Value>, app: &App) -> Result<T, Problem> {
    let mut fields = Fields::new(object, app.clock().now());
    let read = T::read(&mut fields);
    fields
        .finish(read)
        .map_err(|wrong| Problem::wrong_fields(Code::InvalidBody, wrong))
}

/// The body of a request that needs none.
pub struct Nothing;

impl ReadBody for Nothing {
    const MAY_BE_ABSENT: bool = true;

    fn read(_fields: &mut Fields) -> Option<Self> {
        Some(Self)
    }
}
