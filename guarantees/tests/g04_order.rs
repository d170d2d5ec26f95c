//! G4: first come, first served.

use headgate_guarantees::Installation;
use headgate_guarantees::pipeline::assert_all_hold;
use headgate_testkit::checkers::{Evidence, assert_none, order};

const QUOTA: u32 = 600;
const USERS: usize = 800;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g04_tickets_follow_the_order_of_arrival() {
    let installation = Installation::new("g04_order").await;
    let pipeline = installation.start(2).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    // Few at a time, so that many requests begin after another one's answer.
    let ledger = pipeline.load(&installation, campaign, USERS, 4).run().await;
    assert_none(&ledger.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    assert_none(&order::tickets_follow(&evidence));
    assert_eq!(evidence.coupons.len(), 600);
    pipeline.stop().await;
}
