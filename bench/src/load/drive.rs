//! The client's threads: each drives its share of the connections on a runtime of its
//! own, so that nothing is shared but the schedule.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::answer::{Answer, field};
use super::connection::{Connection, Request};
use super::pace::Schedule;
use super::tally::Tally;
use super::{Pace, Plan};

/// A client that cannot connect tries again after this.
const RECONNECT_EVERY: Duration = Duration::from_millis(100);
const STATUS_ADMITTED: u16 = 202;

/// What all threads share.
#[derive(Debug)]
pub struct Shared {
    pub plan: Plan,
    pub schedule: Schedule,
    pub measured: (Instant, Instant),
    /// Claim ids that are told as they come.
    pub samples: mpsc::Sender<String>,
}

/// What a thread's connections share.
struct Thread {
    shared: Arc<Shared>,
    tally: RefCell<Tally>,
    admitted: RefCell<u64>,
}

/// Runs one thread's connections to the end of the schedule.
pub fn drive(shared: &Arc<Shared>, connections: usize) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a client thread")?;
    let thread = Rc::new(Thread {
        shared: shared.clone(),
        tally: RefCell::new(Tally::new(shared.measured.0, shared.measured.1)?),
        admitted: RefCell::new(0),
    });
    let tasks = LocalSet::new();
    for number in 0..connections {
        tasks.spawn_local(ask_until_the_end(thread.clone(), number));
    }
    runtime.block_on(tasks);
    let thread = Rc::into_inner(thread).context("a connection is still at work")?;
    Ok(thread.tally.into_inner())
}

async fn ask_until_the_end(thread: Rc<Thread>, number: usize) {
    let plan = &thread.shared.plan;
    let mut requests = requests(plan);
    let mut connection = connect(&thread).await;
    let mut turn = number;
    while let Some((user, due)) = thread.shared.schedule.next() {
        if plan.pace != Pace::Closed {
            tokio::time::sleep_until(due.into()).await;
        }
        turn = (turn + 1) % requests.len();
        match connection.as_mut() {
            Some(open) => {
                let user = plan.point_users.map_or(user, |users| user % users);
                if let Ok(answer) = open.ask(&mut requests[turn], user).await {
                    thread.answered(&answer, due);
                } else {
                    thread.tally.borrow_mut().lost(due);
                    connection = None;
                }
            }
            None => thread.tally.borrow_mut().lost(due),
        }
        if connection.is_none() {
            connection = connect(&thread).await;
        }
    }
}

fn requests(plan: &Plan) -> Vec<Request> {
    if plan.point_users.is_some() {
        return vec![Request::use_point(plan.address, &plan.api_key, &plan.user_prefix)];
    }
    plan.campaigns
        .iter()
        .map(|campaign| Request::claim(plan.address, campaign, &plan.api_key, &plan.user_prefix))
        .collect()
}

/// None: not before the end.
async fn connect(thread: &Thread) -> Option<Connection> {
    while Instant::now() < thread.shared.measured.1 {
        if let Ok(connection) = Connection::open(thread.shared.plan.address).await {
            return Some(connection);
        }
        tokio::time::sleep(RECONNECT_EVERY).await;
    }
    None
}

impl Thread {
    fn answered(&self, answer: &Answer<'_>, due: Instant) {
        self.tally.borrow_mut().answered(answer, due);
        let Some(every) = self.shared.plan.sample_every else {
            return;
        };
        if answer.status == STATUS_ADMITTED {
            let mut admitted = self.admitted.borrow_mut();
            *admitted += 1;
            if admitted.is_multiple_of(every)
                && let Some(claim_id) = field(answer.body, "claim_id")
            {
                // A sample more or less: never wait for the reader.
                let _full = self.shared.samples.try_send(claim_id.to_owned());
            }
        }
    }
}
