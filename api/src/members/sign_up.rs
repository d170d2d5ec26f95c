//! `POST /v1/members`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use headgate_domain::{members, partners};

use super::answer::MemberBody;
use super::caller::Anybody;
use super::request::Credentials;
use crate::app::App;
use crate::problem::{self, Code, Problem, WrongField};
use crate::request::Body;

/// Sign up.
///
/// The member is a new user of the partner, whose name is drawn here: nobody signs up as a user
/// that the partner has already.
#[utoipa::path(
    post,
    path = "/v1/members",
    tag = "members",
    operation_id = "sign_up",
    request_body = Credentials,
    responses(
        (status = 201, description = "The member, who may log in now.", body = MemberBody),
        (status = 409, description = "`login-taken`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn sign_up(
    _anybody: Anybody,
    State(app): State<App>,
    Body(request): Body<Credentials>,
) -> Result<(StatusCode, Json<MemberBody>), Problem> {
    let partner = partners::store::find_partner(app.pool(), request.partner_id).await?;
    if partner.is_none() {
        let wrong = WrongField {
            field: "partner_id".to_owned(),
            detail: "no partner has this id".to_owned(),
        };
        return Err(Problem::wrong_fields(Code::InvalidBody, vec![wrong]));
    }
    let hash = app.members().passwords.hash(request.password).await?;
    let created = members::store::create(app.pool(), request.partner_id, &request.login, &hash).await?;
    let Some(member_id) = created else {
        let detail = "somebody has signed up with this login name";
        return Err(Problem::new(Code::LoginTaken, detail));
    };
    let body = MemberBody {
        member_id,
        user_id: member_id.to_string(),
    };
    Ok((StatusCode::CREATED, Json(body)))
}
