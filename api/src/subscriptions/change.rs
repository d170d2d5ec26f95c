//! Making, changing and ending subscriptions. All by names that the partner gives: whoever did not
//! hear an answer asks again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::TimeDelta;
use headgate_domain::notifications::{NewSubscription, Put, Sink, store};
use headgate_domain::{Change, Error};
use headgate_schemas::names::SubscriptionId;
use sqlx::{MySql, Transaction};

use super::answer::SubscriptionBody;
use super::read::not_found;
use super::request::PutSubscription;
use crate::app::App;
use crate::keys::{Caller, SubscriptionsWrite};
use crate::problem::{self, Code, Problem, WrongField};
use crate::request::{Body, NamedSubscription, Nothing};
use crate::transaction::{Work, commit};

/// Make a subscription, or make it what the body says.
///
/// Events that are published from now on are delivered, each at least once and, as far as it can
/// be, in their order; `webhook-id` is the same at every attempt. The answer that makes a webhook
/// shows its secret, once. Whoever did not hear it asks for another one. Changing a subscription
/// ends a rest of its endpoint.
#[utoipa::path(
    put,
    path = "/v1/subscriptions/{subscription_id}",
    tag = "subscriptions",
    operation_id = "put_subscription",
    security(("api_key" = ["subscriptions:write"])),
    params(("subscription_id" = String, Path, description = "The partner's own name of it, 1 to 64 characters.")),
    request_body = PutSubscription,
    responses(
        (status = 200, description = "Changed, or as it was.", body = SubscriptionBody),
        (status = 201, description = "Made.", body = SubscriptionBody),
        (status = 400, description = "`malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`too-many-subscriptions`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn put_subscription(
    caller: Caller<SubscriptionsWrite>,
    NamedSubscription(subscription_id): NamedSubscription,
    State(app): State<App>,
    Body(wanted): Body<NewSubscription>,
) -> Result<(StatusCode, Json<SubscriptionBody>), Problem> {
    if matches!(wanted.sink, Sink::Email(_)) && !app.config().subscriptions.email {
        let wrong = WrongField {
            field: "sink.type".to_owned(),
            detail: "`email` is not set up here".to_owned(),
        };
        return Err(Problem::wrong_fields(Code::InvalidBody, vec![wrong]));
    }
    let work = ChangeOne {
        partner_no: caller.partner_no(),
        subscription_id,
        what: What::Put(wanted),
    };
    let put = commit(&app, &work).await?.ok_or_else(not_found)?;
    let status = if put.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(SubscriptionBody::of_put(put, app.clock().now()))))
}

/// Give a webhook a new secret, which the answer shows, once.
///
/// Until `previous_secret_until` each delivery has two signatures, by the new secret and by the one
/// before. Asked again meanwhile, only the new one is replaced.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/{subscription_id}/secret",
    tag = "subscriptions",
    operation_id = "rotate_secret",
    security(("api_key" = ["subscriptions:write"])),
    params(("subscription_id" = String, Path, description = "The partner's own name of it.")),
    responses(
        (status = 200, description = "The subscription with its new secret.", body = SubscriptionBody),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 404, description = "`subscription-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`subscription-not-webhook`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn rotate_secret(
    caller: Caller<SubscriptionsWrite>,
    NamedSubscription(subscription_id): NamedSubscription,
    State(app): State<App>,
    Body(Nothing): Body<Nothing>,
) -> Result<Json<SubscriptionBody>, Problem> {
    let overlap = app.config().subscriptions.secret_overlap;
    let work = ChangeOne {
        partner_no: caller.partner_no(),
        subscription_id,
        what: What::Rotate(TimeDelta::from_std(overlap).unwrap_or_default()),
    };
    let put = commit(&app, &work).await?.ok_or_else(not_found)?;
    Ok(Json(SubscriptionBody::of_put(put, app.clock().now())))
}

/// End a subscription. What is on its way is not sent any more.
#[utoipa::path(
    delete,
    path = "/v1/subscriptions/{subscription_id}",
    tag = "subscriptions",
    operation_id = "delete_subscription",
    security(("api_key" = ["subscriptions:write"])),
    params(("subscription_id" = String, Path, description = "The partner's own name of it.")),
    responses(
        (status = 204, description = "It is no more."),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 404, description = "`subscription-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn delete_subscription(
    caller: Caller<SubscriptionsWrite>,
    NamedSubscription(subscription_id): NamedSubscription,
    State(app): State<App>,
) -> Result<StatusCode, Problem> {
    if store::remove(app.pool(), caller.partner_no(), &subscription_id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found())
    }
}

/// What is done with a subscription.
enum What {
    Put(NewSubscription),
    /// The secret before signs, too, for so long.
    Rotate(TimeDelta),
}

struct ChangeOne {
    partner_no: u32,
    subscription_id: SubscriptionId,
    what: What,
}

impl Work for ChangeOne {
    /// `None` if the partner has no such subscription.
    type Done = Option<Put>;
    type Prepared = ();

    async fn prepare(&self, _app: &App) -> Result<(), Error> {
        Ok(())
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        (): &(),
    ) -> Result<Option<Put>, Error> {
        let (partner_no, id, now) = (self.partner_no, &self.subscription_id, change.now);
        match &self.what {
            What::Put(wanted) => store::put(transaction, partner_no, id, wanted, now)
                .await
                .map(Some),
            What::Rotate(overlap) => store::rotate(transaction, partner_no, id, now, now + *overlap).await,
        }
    }
}
