//! When an epoch opens, by MySQL's clock. Nobody waits here for that: what is compared is
//! what the campaign's row says.

use crate::claiming::{Claiming, user};
use chrono::{DateTime, Utc};
use headgate_domain::claims::fallback::{self, Answer, Request};
use headgate_domain::claims::store::epochs::{self, Beginning, Begun};
use headgate_schemas::ids::ClaimId;
use headgate_testkit::eventually;
use sqlx::mysql::MySqlRow;
use sqlx::{Connection, MySqlConnection, MySqlPool, Row};
use std::time::Duration;

/// Longer than any test takes.
const REST: Duration = Duration::from_mins(1);

/// An epoch of Redis begins, unless MySQL holds on to the tickets.
async fn begin(pool: &MySqlPool, campaign_no: u32) -> Option<Begun> {
    let beginning = Beginning {
        in_redis: 0,
        rest: REST,
        mysql_holds: REST,
    };
    epochs::begin_redis_epoch(pool, campaign_no, beginning)
        .await
        .expect("mysql")
}

/// A newcomer asks MySQL.
async fn ask_mysql(claiming: &Claiming) -> Answer {
    let found = claiming.campaign().await;
    let campaign = fallback::Campaign {
        campaign_no: found.campaign_no,
        campaign_id: found.campaign_id,
        partner_id: found.partner_id,
    };
    let request = Request {
        claim_id: ClaimId::generate(),
        user_id: user(1),
        traceparent: None,
    };
    let mut connection = claiming.pool(1).acquire().await.expect("mysql").detach();
    let mut transaction = connection.begin().await.expect("mysql");
    let writer = claiming.writer();
    let answer = fallback::admit(&mut transaction, &writer, campaign, &[request], REST, Utc::now())
        .await
        .expect("mysql");
    transaction.commit().await.expect("mysql");
    answer
}

/// What MySQL's clock says now.
async fn now(connection: &mut MySqlConnection) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT SYSDATE(6)")
        .fetch_one(connection)
        .await
        .expect("mysql")
}

/// When an epoch opens whose rest begins now.
async fn after_a_rest(claiming: &Claiming) -> DateTime<Utc> {
    let mut connection = claiming.environment.pool().acquire().await.expect("mysql");
    now(&mut connection).await + REST
}

/// When the campaign's epoch opens.
async fn opens_at(claiming: &Claiming) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT admission_opens_at FROM campaigns")
        .fetch_one(claiming.environment.pool())
        .await
        .expect("mysql")
}

/// Whether somebody's change has begun and is not done. (Not by `information_schema`, whose
/// list fails on the binary values of other tests' statements.)
async fn is_being_changed(claiming: &Claiming) -> bool {
    let pool = claiming.environment.pool();
    let database: String = sqlx::query_scalar("SELECT DATABASE()")
        .fetch_one(pool)
        .await
        .expect("mysql");
    let sessions = sqlx::query("SHOW PROCESSLIST")
        .fetch_all(pool)
        .await
        .expect("mysql");
    let says = |session: &MySqlRow, column: &str, text: &str| {
        let said: Option<String> = session.get(column);
        said.as_deref() == Some(text)
    };
    sessions
        .iter()
        .any(|session| says(session, "db", &database) && says(session, "State", "updating"))
}

#[tokio::test]
async fn t11_an_epoch_of_redis_rests_from_when_everybody_sees_it() {
    let claiming = Claiming::new("redis_rests", 10).await;
    let campaign_no = claiming.campaign().await.campaign_no;
    let only = claiming.pool(1);
    let first = begin(&only, campaign_no).await.expect("nobody holds on");
    let meanwhile = async {
        // Whoever begins the epoch has it first. It is ours after the commit, before it is
        // theirs again.
        let connection = only.acquire().await.expect("mysql");
        assert_eq!(claiming.campaign().await.admission_epoch, first.epoch + 1);
        assert!(
            opens_at(&claiming).await > after_a_rest(&claiming).await,
            "timed before anybody could see it"
        );
        let mut holding = claiming.environment.pool().begin().await.expect("mysql");
        sqlx::query("SELECT campaign_no FROM campaigns FOR UPDATE")
            .execute(&mut *holding)
            .await
            .expect("mysql");
        drop(connection);
        eventually("the opening to be timed", Duration::from_secs(20), async || {
            is_being_changed(&claiming).await.then_some(())
        })
        .await;
        let free_from = now(&mut holding).await;
        holding.commit().await.expect("mysql");
        free_from
    };
    let (begun, free_from) = tokio::join!(begin(&only, campaign_no), meanwhile);
    let begun = begun.expect("nobody holds on");
    let opens_at = opens_at(&claiming).await;
    assert!(
        opens_at >= free_from + REST,
        "{opens_at}: counted from before it was {free_from}, while it still waited"
    );
    assert!(begun.rests <= REST, "{begun:?}");
}

#[tokio::test]
async fn t11_an_epoch_of_mysql_rests_from_when_everybody_sees_it() {
    let claiming = Claiming::new("mysql_rests", 10).await;
    let (pool, campaign_no) = (claiming.pool(1), claiming.campaign().await.campaign_no);
    let of_redis = begin(&pool, campaign_no).await.expect("nobody holds on");
    let switched = ask_mysql(&claiming).await;
    assert!(matches!(switched, Answer::Resting(_)), "{switched:?}");
    assert_eq!(claiming.campaign().await.admission_epoch, of_redis.epoch + 1);
    let visible_and_a_rest = after_a_rest(&claiming).await;
    assert!(
        opens_at(&claiming).await > visible_and_a_rest,
        "timed before anybody could see it"
    );
    assert_eq!(begin(&pool, campaign_no).await, None, "it is MySQL's");
    let timed = ask_mysql(&claiming).await;
    assert!(
        matches!(timed, Answer::Resting(left) if left == REST),
        "{timed:?}"
    );
    assert!(opens_at(&claiming).await >= visible_and_a_rest);
    assert_eq!(claiming.count("claims").await, 0);
}

#[tokio::test]
async fn t11_a_clock_set_back_lengthens_no_rest_in_mysql() {
    let claiming = Claiming::new("set_back", 10).await;
    let (pool, campaign_no) = (claiming.pool(1), claiming.campaign().await.campaign_no);
    begin(&pool, campaign_no).await.expect("nobody holds on");
    set_clock_back(&claiming, "redis").await;
    let begun = begin(&pool, campaign_no).await.expect("nobody holds on");
    assert!(begun.rests <= REST, "{begun:?}");
    assert!(opens_at(&claiming).await <= after_a_rest(&claiming).await);
    set_clock_back(&claiming, "mysql").await;
    let answer = ask_mysql(&claiming).await;
    assert!(
        matches!(answer, Answer::Resting(left) if left <= REST),
        "{answer:?}"
    );
    assert!(opens_at(&claiming).await <= after_a_rest(&claiming).await);
}

/// The opening was timed by a clock that was a day ahead.
async fn set_clock_back(claiming: &Claiming, source: &str) {
    sqlx::query(
        "UPDATE campaigns SET admission_source = ?, admission_opens_at = SYSDATE(6) + INTERVAL 1 DAY",
    )
    .bind(source)
    .execute(claiming.environment.pool())
    .await
    .expect("mysql");
}
