//! `Idempotency-Key`: a request that is sent again takes effect once and hears the first
//! answer.
//!
//! A handler takes a [`Keyed`] body in place of a `Body` and answers with [`once`]. The
//! key is reserved before the work begins; the transaction of the work holds it first
//! and keeps the answer last (`headgate_domain::idempotency`). Kept is every answer that
//! was reached after the work began, but those that ask to try again.

mod answer;
mod key;
mod keyed;
mod work;

use axum::response::{IntoResponse, Response};
use headgate_domain::idempotency::{KeyedRequest, Reservation, Standing, store};
use headgate_domain::partners::Principal;
use headgate_runtime::crash_point;

use self::answer::replayed;
use self::work::Once;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::transaction::{Work, commit};

pub use answer::Answer;
pub use key::KeyHeader;
pub use keyed::Keyed;

/// Does what a request asks for, unless it was done before under the same key.
///
/// `work` is made of the body; `answer` makes the answer of what came of it, within the
/// transaction if the request has a key.
pub async fn once<T, W, M, A>(
    app: &App,
    caller: &Principal,
    request: Keyed<T>,
    work: M,
    answer: A,
) -> Result<Response, Problem>
where
    W: Work,
    M: FnOnce(T) -> W,
    A: Fn(W::Done) -> Result<Answer, Problem> + Sync,
{
    let Some(keyed) = request.of(caller) else {
        let done = commit(app, &work(request.body?)).await?;
        return answer(done).map(Answer::into_response);
    };
    let body = match request.body {
        Ok(body) => body,
        // What was accepted once may be refused now, such as a time that has passed.
        Err(problem) => {
            let earlier = store::answered(app.pool(), &keyed).await?;
            return earlier.map(replayed).ok_or(problem);
        }
    };
    let reservation = match reserve(app, &keyed).await? {
        Ok(reservation) => reservation,
        Err(earlier) => return Ok(earlier),
    };
    crash_point!("api.after-key-before-work");
    let work = Once {
        app,
        reservation,
        work: work(body),
        answer,
    };
    let done = commit(app, &work).await;
    crash_point!("api.after-keyed-commit-before-answer");
    match done {
        Ok(answered) => answered.map(Answer::into_response),
        Err(error) => Err(refused(app, &reservation, error.into()).await),
    }
}

/// The key, or else the answer that was given before.
async fn reserve(app: &App, request: &KeyedRequest) -> Result<Result<Reservation, Response>, Problem> {
    let standing = store::reserve(app.pool(), request, app.config().idempotency.lease).await?;
    let count =
        |outcome| metrics::counter!("headgate_idempotency_keys_total", "outcome" => outcome).increment(1);
    match standing {
        Standing::Ours(reservation) => {
            count("reserved");
            Ok(Ok(reservation))
        }
        Standing::Answered(answer) => {
            count("replayed");
            Ok(Err(replayed(answer)))
        }
        Standing::InProgress => {
            count("in-progress");
            Err(Problem::in_progress())
        }
        Standing::Reused => {
            count("reused");
            let detail = "this key came with another body before; another request needs another key";
            Err(Problem::new(Code::IdempotencyKeyReused, detail))
        }
    }
}

/// Keeps a refusal, whose work was rolled back, or gives the key back if the refusal
/// asks to try again. Returns what is answered.
async fn refused(app: &App, reservation: &Reservation, problem: Problem) -> Problem {
    if !is_kept(problem.code()) {
        // If this fails, too, the key is free again after its lease.
        if let Err(error) = store::give_back(app.pool(), reservation).await {
            tracing::debug!(%error, "an idempotency key could not be given back");
        }
        return problem;
    }
    let (problem, answer) = work::traced(app, problem);
    match store::answer(app.pool(), reservation, answer.kept()).await {
        Ok(()) => problem,
        // An answer that is not kept may not be given: the next one could differ.
        Err(error) => error.into(),
    }
}

/// Whether an answer is final: what asks to try again is not.
const fn is_kept(code: Code) -> bool {
    !matches!(
        code,
        Code::IdempotencyInProgress
            | Code::Overloaded
            | Code::ServiceUnavailable
            | Code::RequestTimeout
            | Code::WalletBusy
            | Code::RateLimited
    )
}
