//! Work under a key: one transaction holds the key, does the work, and keeps the answer.

use headgate_domain::idempotency::{Reservation, store};
use headgate_domain::{Change, Error};
use headgate_runtime::trace;
use sqlx::{MySql, Transaction};

use super::Answer;
use crate::app::App;
use crate::problem::Problem;
use crate::transaction::Work;

/// The work `work`, whose answer `answer` makes.
pub(super) struct Once<'o, W, A> {
    pub app: &'o App,
    pub reservation: Reservation,
    pub work: W,
    pub answer: A,
}

impl<W, A> Work for Once<'_, W, A>
where
    W: Work,
    A: Fn(W::Done) -> Result<Answer, Problem> + Sync,
{
    /// The answer, which is kept.
    type Done = Result<Answer, Problem>;

    type Prepared = W::Prepared;

    async fn prepare(&self, app: &App) -> Result<W::Prepared, Error> {
        self.work.prepare(app).await
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        prepared: &W::Prepared,
    ) -> Result<Self::Done, Error> {
        store::hold(transaction, &self.reservation).await?;
        let done = self.work.run(transaction, change, prepared).await?;
        let (given, kept) = match (self.answer)(done) {
            Ok(answer) => (Ok(answer.clone()), answer),
            Err(problem) => {
                let (problem, answer) = traced(self.app, problem);
                (Err(problem), answer)
            }
        };
        store::answer(&mut **transaction, &self.reservation, kept.kept()).await?;
        Ok(given)
    }

    async fn finish(&self, prepared: W::Prepared) {
        self.work.finish(prepared).await;
    }
}

/// The problem under a trace id of its own, and the answer that will be made of it.
pub(super) fn traced(app: &App, problem: Problem) -> (Problem, Answer) {
    let trace_id = trace::trace_id();
    let answer = Answer::of_problem(&problem, &app.config().http.problem_base, &trace_id);
    (problem.traced(trace_id), answer)
}
