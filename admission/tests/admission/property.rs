//! Whatever happens to reservations, commits and Redis, in whatever order: nobody who
//! holds a claim is turned away, and in the end the whole quota can be claimed.

use crate::campaign::{AT_ONCE, Campaign, ticket_number, user_id};
use headgate_admission::Held;
use headgate_admission::release::{Pending, TicketIs};
use headgate_admission::reserve::{Answer, Known, Reserved};
use headgate_schemas::ids::ClaimId;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Row;

const CASES: u32 = 1_000;
const QUOTA: u32 = 4;
const USERS: u8 = 5;
/// With newcomers, more than enough to use the quota up.
const ASKERS: u8 = 8;
const STEPS_MAX: usize = 14;
/// Rounds of asking, sweeping and auditing within which the quota has to be used up.
const ROUNDS_MAX: usize = 6;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A user asks, and the process dies before the commit.
    AskAndDie(u8),
    /// A user asks, and the claim is committed; Redis is told, or not.
    AskAndCommit {
        user: u8,
        confirm: bool,
    },
    /// A user asks, and the reservation is given back.
    AskAndRelease(u8),
    /// The earliest claim is released by an operator; Redis is told, or not.
    Discard {
        tell: bool,
    },
    Sweep,
    Audit,
    Rebuild,
    /// Redis forgets the campaign.
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..USERS).prop_map(Step::AskAndDie),
        5 => (0..USERS, any::<bool>()).prop_map(|(user, confirm)| Step::AskAndCommit { user, confirm }),
        1 => (0..USERS).prop_map(Step::AskAndRelease),
        1 => any::<bool>().prop_map(|tell| Step::Discard { tell }),
        1 => Just(Step::Sweep),
        1 => Just(Step::Audit),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Flush),
    ]
}

struct World {
    campaign: Campaign,
    epoch: u32,
}

impl World {
    /// As the api does: a holder whom MySQL does not know is looked into.
    async fn ask(&mut self, claim_id: ClaimId, user: &str) -> Answer {
        let answer = self.ask_redis(claim_id, user).await;
        let Answer::Held(held) = answer else { return answer };
        let campaign = &self.campaign;
        let forgot = campaign
            .admission
            .forget_released(
                campaign.environment.pool(),
                campaign.campaign_no,
                campaign.campaign_id,
                &user_id(user),
                held,
            )
            .await
            .expect("redis and mysql");
        if forgot {
            self.ask_redis(claim_id, user).await
        } else {
            answer
        }
    }

    /// An api that knows what MySQL holds of the campaign.
    async fn ask_redis(&mut self, claim_id: ClaimId, user: &str) -> Answer {
        let known = Known {
            epoch: self.epoch,
            quota: QUOTA,
            highest_ticket: 0,
        };
        if let Reserved::Answers { answers, .. } = self.campaign.ask_knowing(known, claim_id, user).await {
            return answers[0];
        }
        self.epoch = self.campaign.rebuild().await;
        self.campaign.ask(self.epoch, claim_id, user).await
    }

    async fn holder_of(&self, column: &str, value: impl Into<Vec<u8>>) -> Option<(ClaimId, u32)> {
        let sql = format!("SELECT claim_id, ticket FROM claims WHERE campaign_no = ? AND {column} = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.campaign.campaign_no)
            .bind(value.into())
            .fetch_optional(self.campaign.environment.pool())
            .await
            .expect("mysql");
        row.map(|row| (row.get("claim_id"), row.get("ticket")))
    }

    /// Commits a reservation, or sorts out why MySQL refuses it.
    async fn commit(&mut self, pending: &Pending, user: &str, confirm: bool) {
        if let Some((claim_id, ticket)) = self.holder_of("user_id", user).await {
            let taken = self
                .holder_of("ticket", pending.ticket.to_string())
                .await
                .is_some();
            let held = Held {
                claim_id,
                ticket: ticket_number(ticket),
                sequence: 1,
            };
            self.release(
                pending,
                if taken { TicketIs::Taken } else { TicketIs::Free },
                Some(held),
            )
            .await;
        } else if let Some((claim_id, ticket)) = self.holder_of("ticket", pending.ticket.to_string()).await {
            self.release(pending, TicketIs::Taken, None).await;
            let held = Held {
                claim_id,
                ticket: ticket_number(ticket),
                sequence: 1,
            };
            let holder: Vec<u8> = sqlx::query_scalar("SELECT user_id FROM claims WHERE claim_id = ?")
                .bind(claim_id)
                .fetch_one(self.campaign.environment.pool())
                .await
                .expect("mysql");
            let holder = String::from_utf8(holder).expect("a user");
            self.campaign
                .admission
                .learn(self.campaign.campaign_id, &user_id(&holder), held)
                .await
                .expect("redis");
        } else {
            self.campaign
                .plant(pending.claim_id, user, pending.ticket.get())
                .await;
            if confirm {
                let claims = std::slice::from_ref(pending);
                self.campaign
                    .admission
                    .confirm(self.campaign.campaign_id, claims)
                    .await
                    .expect("redis");
            }
        }
    }

    async fn release(&self, pending: &Pending, ticket: TicketIs, holds: Option<Held>) {
        let campaign_id = self.campaign.campaign_id;
        self.campaign
            .admission
            .release(campaign_id, pending, ticket, holds)
            .await
            .expect("redis");
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::AskAndDie(user) => drop(self.reserve(user).await),
            Step::AskAndCommit { user, confirm } => {
                if let Some(pending) = self.reserve(user).await {
                    self.commit(&pending, &name(user), confirm).await;
                }
            }
            Step::AskAndRelease(user) => {
                if let Some(pending) = self.reserve(user).await {
                    let taken = self
                        .holder_of("ticket", pending.ticket.to_string())
                        .await
                        .is_some();
                    self.release(
                        &pending,
                        if taken { TicketIs::Taken } else { TicketIs::Free },
                        None,
                    )
                    .await;
                }
            }
            Step::Discard { tell } => self.discard(tell).await,
            Step::Sweep => self.sweep().await,
            Step::Audit => self.audit().await,
            Step::Rebuild => self.epoch = self.campaign.rebuild().await,
            Step::Flush => self.campaign.flush().await,
        }
    }

    async fn reserve(&mut self, user: u8) -> Option<Pending> {
        let claim_id = ClaimId::generate();
        match self.ask(claim_id, &name(user)).await {
            Answer::Reserved { ticket, .. } => Some(Pending {
                claim_id,
                ticket,
                user_id: user_id(&name(user)),
            }),
            Answer::Held(_) | Answer::SoldOut { .. } => None,
        }
    }

    async fn discard(&self, tell: bool) {
        let first = sqlx::query(
            "SELECT claim_id, ticket, user_id FROM claims WHERE campaign_no = ? ORDER BY ticket LIMIT 1",
        )
        .bind(self.campaign.campaign_no)
        .fetch_optional(self.campaign.environment.pool())
        .await
        .expect("mysql");
        let Some(first) = first else { return };
        let claim_id: ClaimId = first.get("claim_id");
        sqlx::query("DELETE FROM claims WHERE claim_id = ?")
            .bind(claim_id)
            .execute(self.campaign.environment.pool())
            .await
            .expect("mysql");
        if tell {
            let user = String::from_utf8(first.get("user_id")).expect("a user");
            let pending = Pending {
                claim_id,
                ticket: ticket_number(first.get("ticket")),
                user_id: user_id(&user),
            };
            self.release(&pending, TicketIs::Free, None).await;
        }
    }

    async fn sweep(&self) {
        let campaign = &self.campaign;
        let swept = campaign.admission.sweep(
            campaign.environment.pool(),
            campaign.campaign_no,
            campaign.campaign_id,
        );
        swept.await.expect("a sweep");
    }

    async fn audit(&self) {
        let campaign = &self.campaign;
        let audited = campaign.admission.audit(
            campaign.environment.pool(),
            campaign.campaign_no,
            campaign.campaign_id,
        );
        audited.await.expect("an audit");
    }

    async fn claims(&self) -> u32 {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM claims WHERE campaign_no = ?")
            .bind(self.campaign.campaign_no)
            .fetch_one(self.campaign.environment.pool())
            .await
            .expect("mysql");
        u32::try_from(count).expect("few")
    }
}

fn name(user: u8) -> String {
    format!("u{user}")
}

async fn check(world: &mut World, steps: &[Step]) -> Result<(), TestCaseError> {
    world.campaign.anew().await;
    world.epoch = 0;
    for step in steps {
        world.run(*step).await;
    }
    // Everybody asks again, and newcomers with them, while sweeper and audit do their work.
    for round in 0..ROUNDS_MAX {
        for user in 0..ASKERS {
            world
                .run(Step::AskAndCommit {
                    user,
                    confirm: round % 2 == 0,
                })
                .await;
        }
        world.sweep().await;
        world.audit().await;
        if world.claims().await == QUOTA {
            break;
        }
    }
    prop_assert_eq!(world.claims().await, QUOTA, "the quota leaked");
    for user in 0..USERS {
        let holds = world.holder_of("user_id", name(user)).await;
        let answer = world.ask(ClaimId::generate(), &name(user)).await;
        match holds {
            Some(_) => prop_assert!(matches!(answer, Answer::Held(_)), "a winner heard {answer:?}"),
            None => prop_assert!(
                matches!(answer, Answer::SoldOut { .. }),
                "a loser heard {answer:?}"
            ),
        }
    }
    Ok(())
}

#[test]
fn g03_no_quota_leaks_and_no_holder_is_turned_away() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let campaign = runtime.block_on(Campaign::new("property", QUOTA, AT_ONCE, AT_ONCE));
    let world = std::cell::RefCell::new(World { campaign, epoch: 0 });
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        ..Config::default()
    });
    println!("{CASES} cases, PROPTEST_RNG_SEED repeats a run");
    runner
        .run(&proptest::collection::vec(step(), 0..STEPS_MAX), |steps| {
            runtime.block_on(check(&mut world.borrow_mut(), &steps))
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
