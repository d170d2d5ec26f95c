//! Logging in, going on, logging out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use headgate_domain::members::{Member, RefreshText, Refreshed, Session, store};

use super::answer::TokensBody;
use super::caller::{Anybody, MemberCaller};
use super::request::{Credentials, Refresh};
use crate::app::App;
use crate::problem::{self, Code, Problem};
use crate::rate_limits::Subject;
use crate::request::Body;

/// Log in.
///
/// Who tries too often, from one address for one login name, hears 429. An unknown name and a
/// wrong password are not told apart, neither by the answer nor by its time.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "members",
    operation_id = "log_in",
    request_body = Credentials,
    responses(
        (status = 201, description = "The tokens of a new session.", body = TokensBody),
        (status = 401, description = "`login-failed`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn log_in(
    Anybody(address): Anybody,
    State(app): State<App>,
    Body(request): Body<Credentials>,
) -> Result<(StatusCode, Json<TokensBody>), Problem> {
    let attempt = Subject::Login(request.partner_id, &request.login, address);
    let charge = app.rate_limits().charge(&[attempt]).await?;
    let found = store::find_by_login(app.pool(), request.partner_id, &request.login).await?;
    let (member, stored) = found.unzip();
    let right = app.members().passwords.is_right(request.password, stored).await?;
    let Some(member) = member.filter(|_| right) else {
        let detail = "no member has this login name and password";
        return Err(Problem::new(Code::LoginFailed, detail));
    };
    // Whoever knows the password does not try it out.
    charge.give_back();
    let token = RefreshText::generate();
    let session = open(&app, member, &token).await?;
    Ok((StatusCode::CREATED, tokens(&app, session, &token).await?))
}

async fn open(app: &App, member: Member, token: &RefreshText) -> Result<Session, Problem> {
    let mut transaction = app.pool().begin().await.map_err(headgate_domain::Error::from)?;
    let (now, lives) = (app.clock().now(), app.members().config.session);
    let session = store::open_session(&mut transaction, member, &token.hash(), now, lives).await?;
    transaction.commit().await.map_err(headgate_domain::Error::from)?;
    Ok(session)
}

async fn tokens(app: &App, session: Session, refresh: &RefreshText) -> Result<Json<TokensBody>, Problem> {
    let signer = &app.members().tokens;
    let access = signer.sign(&session).await?;
    Ok(Json(TokensBody::new(session, access, signer.lives(), refresh)))
}

/// Get new tokens for a refresh token.
///
/// A refresh token is good once. One that comes again ends its session, and all tokens of it: one
/// of the two who sent it has stolen it.
#[utoipa::path(
    post,
    path = "/v1/sessions/refresh",
    tag = "members",
    operation_id = "refresh_session",
    request_body = Refresh,
    responses(
        (status = 200, description = "The next tokens.", body = TokensBody),
        (status = 401, description = "`token-invalid`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn refresh(
    _anybody: Anybody,
    State(app): State<App>,
    Body(request): Body<Refresh>,
) -> Result<Json<TokensBody>, Problem> {
    let invalid = || Problem::new(Code::TokenInvalid, "the refresh token is not valid");
    let presented = request.refresh_token.ok_or_else(invalid)?;
    let next = RefreshText::generate();
    let mut transaction = app.pool().begin().await.map_err(headgate_domain::Error::from)?;
    let now = app.clock().now();
    let refreshed = store::refresh(&mut transaction, &presented.hash(), &next.hash(), now).await?;
    transaction.commit().await.map_err(headgate_domain::Error::from)?;
    match refreshed {
        Refreshed::On(session) => tokens(&app, session, &next).await,
        Refreshed::Refused => Err(invalid()),
        Refreshed::Reused(session_id) => {
            app.members().tokens.end(session_id);
            metrics::counter!("headgate_refresh_tokens_reused_total").increment(1);
            tracing::warn!(%session_id, "a refresh token came again: its session was ended");
            Err(invalid())
        }
    }
}

/// Log out: end the session of the access token.
///
/// Its refresh token is refused from now on, its access tokens within five seconds everywhere.
#[utoipa::path(
    delete,
    path = "/v1/sessions/current",
    tag = "members",
    operation_id = "log_out",
    security(("access_token" = [])),
    responses((status = 204, description = "Ended.")),
)]
pub async fn log_out(
    MemberCaller(claims): MemberCaller,
    State(app): State<App>,
) -> Result<StatusCode, Problem> {
    let mut transaction = app.pool().begin().await.map_err(headgate_domain::Error::from)?;
    store::log_out(&mut transaction, claims.sid, app.clock().now()).await?;
    transaction.commit().await.map_err(headgate_domain::Error::from)?;
    app.members().tokens.end(claims.sid);
    Ok(StatusCode::NO_CONTENT)
}
