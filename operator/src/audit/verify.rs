//! `GET /v1/audit/verify`: whether the chain of the audit log holds.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use headgate_outbox::audit::Link;
use headgate_outbox::audit::verify::{self, Fault, FaultKind, Limits};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::Query;
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;

/// Most lines of one request.
const LINES_MAX: u64 = 1_000_000;

/// What to verify.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChainPage {
    /// A line that was noted elsewhere, as `NUMBER:HASH`: whether it is still the same is said
    /// with the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Most lines to look at, 1 to 1,000,000; without, as many as the time of a request allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A part of the chain, verified.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChainVerification {
    /// Lines that this request looked at.
    pub looked_at: u64,
    /// The last line that was looked at, as `NUMBER:HASH`.
    pub reached: String,
    /// The last line of the chain in the moment of this request, as `NUMBER:HASH`: to be noted
    /// elsewhere, once all pages hold. Absent: the row that says it is gone.
    pub head: Option<String>,
    /// How many lines the chain has, by its head.
    pub lines: u64,
    /// How many faults this request found; 0: this part of the chain holds.
    pub faults: u64,
    /// The first 20 of them.
    pub found: Vec<ChainFault>,
    /// Where it ended, if there is more: ask again with it as `cursor`.
    pub next_cursor: Option<String>,
}

/// A fault of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainFault {
    /// `changed`, `replaced`, `missing`, `inserted`, `head-missing` or `noted-differs`.
    pub kind: String,
    /// Number of the line.
    pub audit_no: u64,
    /// The same in words.
    pub detail: String,
}

impl From<Fault> for ChainFault {
    fn from(fault: Fault) -> Self {
        let Fault {
            kind,
            audit_no: no,
            last_no,
        } = fault;
        let detail = match kind {
            FaultKind::Changed => {
                format!("line {no} is not what its hash was made of: one of its fields was changed")
            }
            FaultKind::Replaced => {
                format!("what comes behind line {no} was written behind another line {no}")
            }
            FaultKind::Missing if no == last_no => format!("line {no} is missing"),
            FaultKind::Missing => format!("lines {no} to {last_no} are missing"),
            FaultKind::Inserted => format!("line {no} has no place in the chain: it was put there"),
            FaultKind::HeadMissing => {
                format!("the row that says which line is the last is missing; there are {no} lines")
            }
            FaultKind::NotedDiffers => {
                format!(
                    "line {no} is gone or not the one that was noted: the chain was cut off or written anew"
                )
            }
        };
        Self {
            kind: kind.as_str().to_owned(),
            audit_no: no,
            detail,
        }
    }
}

/// Verifies the chain of the audit log: every line's hash, that it follows the line before, that
/// none is missing, and that there are as many as its head says. Looks at as much as it can in
/// the time of a request, a line at a time.
#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit", params(ChainPage),
    responses((status = 200, body = ChainVerification), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn verify(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(page): Query<ChainPage>,
) -> Result<Json<ChainVerification>, Error> {
    let limits = Limits {
        lines_max: page.lines_max()?,
        until: Instant::now() + servers.config.http.request_timeout / 2,
    };
    let noted = link("head", page.head.as_deref())?;
    let after = link("cursor", page.cursor.as_deref())?.unwrap_or(Link::START);
    let mut connection = servers.pool.acquire().await?;
    let verified = verify::verify(&mut connection, after, noted, limits).await?;
    if verified.faults > 0 {
        tracing::error!(
            faults = verified.faults,
            first = verified.found.first().map(|fault| fault.audit_no),
            "the chain of the audit log does not hold"
        );
    }
    let reached = verified.reached;
    Ok(Json(ChainVerification {
        looked_at: verified.looked_at,
        reached: reached.to_string(),
        head: verified.head.map(|head| head.to_string()),
        lines: verified.head.unwrap_or(reached).audit_no,
        faults: verified.faults,
        found: verified.found.into_iter().map(ChainFault::from).collect(),
        next_cursor: (!verified.is_complete).then(|| reached.to_string()),
    }))
}

impl ChainPage {
    fn lines_max(&self) -> Result<u64, Error> {
        let lines = self.limit.unwrap_or(LINES_MAX);
        if (1..=LINES_MAX).contains(&lines) {
            return Ok(lines);
        }
        let detail = format!("must lie between 1 and {LINES_MAX}");
        Err(Error::InvalidParameter(vec![FieldError::new("limit", detail)]))
    }
}

fn link(field: &'static str, text: Option<&str>) -> Result<Option<Link>, Error> {
    let parse = |text: &str| {
        text.parse::<Link>()
            .map_err(|error| Error::InvalidParameter(vec![FieldError::new(field, error.to_string())]))
    };
    text.map(parse).transpose()
}
