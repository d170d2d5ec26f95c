//! The server of the bare programs: the same route, request and answer as the api's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use redis::Script;
use redis::aio::ConnectionManager;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::group_commit::{GroupCommit, Row};
use super::{Arguments, Kind};
use crate::stack::servers;

const SCRIPT: &str = "
if redis.call('SADD', KEYS[1], ARGV[1]) == 0 then return 0 end
return redis.call('INCR', KEYS[2])";
const BACKLOG: u32 = 4_096;

#[derive(Clone)]
struct Bare {
    sequence: Arc<AtomicU64>,
    redis: Option<(ConnectionManager, Arc<Script>)>,
    commits: Option<GroupCommit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    user_id: String,
}

#[derive(Serialize)]
struct Admitted {
    claim_id: Uuid,
    campaign_id: Uuid,
    user_id: String,
    ticket: u64,
    sequence: u64,
    state: &'static str,
}

/// Serves until it is told to stop.
pub async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let redis = if arguments.kind == Kind::Axum {
        None
    } else {
        let connection = servers::redis_connection(&arguments.redis_url)?;
        Some((connection, Arc::new(Script::new(SCRIPT))))
    };
    let commits = if arguments.kind == Kind::GroupCommit {
        Some(GroupCommit::start(arguments)?)
    } else {
        None
    };
    let routes = Router::new()
        .route("/v1/campaigns/{campaign_id}/claims", post(claim))
        .with_state(Bare {
            sequence: Arc::default(),
            redis,
            commits,
        });
    let listener = listen()?;
    let address = listener.local_addr()?;
    println!("{}", serde_json::json!({"event": "listening", "http": address}));
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        served = async { axum::serve(listener, routes).await } => served.context("serve"),
        _ = terminate.recv() => Ok(()),
    }
}

/// With room for all connections that come at once.
fn listen() -> anyhow::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(BACKLOG)?)
}

async fn claim(
    State(bare): State<Bare>,
    Path(campaign_id): Path<Uuid>,
    headers: HeaderMap,
    Json(claim): Json<Claim>,
) -> Response {
    if !headers.contains_key("x-api-key") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match bare.admit(campaign_id, claim.user_id).await {
        Ok(Some(admitted)) => {
            let location = [(header::LOCATION, format!("/v1/claims/{}", admitted.claim_id))];
            (StatusCode::ACCEPTED, location, Json(admitted)).into_response()
        }
        Ok(None) => StatusCode::CONFLICT.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")).into_response(),
    }
}

impl Bare {
    /// None: the user has claimed before.
    async fn admit(mut self, campaign_id: Uuid, user_id: String) -> anyhow::Result<Option<Admitted>> {
        let sequence = match &mut self.redis {
            None => self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            Some((connection, script)) => {
                script
                    .key(format!("bare:{{{campaign_id}}}:users"))
                    .key(format!("bare:{{{campaign_id}}}:count"))
                    .arg(&user_id)
                    .invoke_async(connection)
                    .await?
            }
        };
        if sequence == 0 {
            return Ok(None);
        }
        let claim_id = Uuid::now_v7();
        if let Some(commits) = &self.commits {
            let row = Row {
                claim_id,
                user_id: user_id.clone(),
                ticket: u32::try_from(sequence)?,
            };
            commits.commit(row).await?;
        }
        Ok(Some(Admitted {
            claim_id,
            campaign_id,
            user_id,
            ticket: sequence,
            sequence,
            state: "admitted",
        }))
    }
}
