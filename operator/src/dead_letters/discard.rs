//! `POST /v1/dead-letters/{letter_id}/discard`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::discard::{self, Discarding};
use headgate_domain::claims::release::ReleasedClaim;
use headgate_groups::{Context, DeadEvent, Group, TerminalAction};
use headgate_schemas::ids::{ClaimId, DeadLetterId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::Problem;
use crate::state::Servers;
use crate::tickets;

/// Why something is done with a letter.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// 1 to 256 characters; goes into the audit log, and of a discard into the event that follows.
    #[schema(min_length = 1, max_length = 256)]
    pub reason: String,
}

/// What a discard did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Discarded {
    /// The letter.
    #[schema(value_type = Uuid)]
    pub letter_id: DeadLetterId,
    /// What was done about the promise the event carried: `claim-released` or `nothing`.
    pub action: String,
    /// The claim that was released; its ticket goes to the next asker.
    #[schema(value_type = Option<Uuid>)]
    pub claim_id: Option<ClaimId>,
}

/// Gives a letter up, for a reason. What the event promised is settled in the same
/// transaction: a claim whose coupon will never be issued is released.
#[utoipa::path(
    post, path = "/v1/dead-letters/{letter_id}/discard", tag = "dead letters", request_body = Reason,
    params(("letter_id" = Uuid, Path, description = "The letter")),
    responses((status = 200, body = Discarded), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn discard(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(letter_id): Path<DeadLetterId>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<Discarded>, Error> {
    let actor = acting.operator.name.as_str();
    let context = Context::new(servers.writer().await?.clone(), servers.now().await?);
    let mut discarding = discard::begin(&servers.pool, &context.writer, letter_id, actor, &reason).await?;
    let action = match settle(&mut discarding, &context, actor, &reason).await {
        Ok(action) => action,
        Err(error) => {
            discarding.roll_back().await?;
            return Err(error);
        }
    };
    discarding.commit().await?;
    servers.waker.wake();
    let released = match &action {
        TerminalAction::Nothing => None,
        TerminalAction::Released(claim) => Some(claim),
    };
    if let Some(claim) = released {
        tickets::give_back(&servers, claim).await;
    }
    let claim_id = released.map(|claim: &ReleasedClaim| claim.claim_id);
    tracing::info!(%letter_id, operator = actor, released = claim_id.is_some(), "dead letter discarded");
    Ok(Json(Discarded {
        letter_id,
        action: if released.is_some() {
            "claim-released"
        } else {
            "nothing"
        }
        .to_owned(),
        claim_id,
    }))
}

/// The group's terminal action, in the discard's transaction.
async fn settle(
    discarding: &mut Discarding,
    context: &Context,
    actor: &str,
    reason: &str,
) -> Result<TerminalAction, Error> {
    let (letter, transaction) = discarding.parts();
    let group = letter.summary.group.as_str();
    let event = DeadEvent::new(
        letter.summary.event_type.as_deref(),
        letter.key.as_deref(),
        &letter.headers,
    );
    Ok(Group::discard_for(group, transaction, context, &event, actor, reason).await?)
}
