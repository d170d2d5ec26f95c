//! A request that may carry a key.

use axum::extract::{FromRequest, Request};
use headgate_domain::idempotency::{Fingerprint, KeyedRequest, ScopedKey};
use headgate_domain::partners::Principal;

use super::key::Key;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::{RawBody, ReadBody};

/// A JSON body, and the key that came with it.
pub struct Keyed<T> {
    /// What was read. Wrong bodies are refused later: a request that was answered before
    /// hears that answer.
    pub(super) body: Result<T, Problem>,
    presented: Option<Presented>,
}

/// A key, and what it came with.
struct Presented {
    key: Key,
    method: String,
    path: String,
    fingerprint: Fingerprint,
}

impl<T: ReadBody> FromRequest<App> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let key = Key::of(request.headers())?;
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let raw = RawBody::from_request(request, app).await?;
        Ok(Self {
            body: raw.read(app),
            presented: key.map(|key| Presented {
                key,
                method,
                path,
                fingerprint: Fingerprint::of(&raw.bytes),
            }),
        })
    }
}

impl<T> Keyed<T> {
    /// What was read, unless it is wrong.
    pub fn body(&self) -> Option<&T> {
        self.body.as_ref().ok()
    }

    /// Refuses a request without a key.
    pub fn with_key(self) -> Result<Self, Problem> {
        if self.presented.is_none() {
            let detail = "the header Idempotency-Key is required here";
            return Err(Problem::new(Code::IdempotencyKeyMissing, detail));
        }
        Ok(self)
    }

    /// The request as this caller's; `None` without a key. All keys of a partner share
    /// one scope: a rotation does not make its requests new ones.
    pub(super) fn of(&self, caller: &Principal) -> Option<KeyedRequest> {
        let presented = self.presented.as_ref()?;
        let caller = format!("partner/{}", caller.partner_id);
        Some(KeyedRequest {
            key: ScopedKey::new(
                &caller,
                &presented.method,
                &presented.path,
                presented.key.as_str(),
            ),
            fingerprint: presented.fingerprint,
        })
    }
}
