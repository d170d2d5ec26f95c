//! The life of a key: remembered, rotated, revoked.

use std::time::{Duration, Instant};

use headgate_domain::partners::{Scopes, store};
use headgate_testkit::eventually;

use crate::harness::Installation;
use crate::partner::Partner;

/// What `docs/errors/unauthenticated.md` promises.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn i1_a_revoked_key_stops_working_in_every_process_within_five_seconds() {
    let installation = Installation::new("revoked").await;
    let apis = [installation.start().await, installation.start().await];
    let (_, key) = installation.partner_and_key(Scopes::all()).await;
    let partners = [&apis[0], &apis[1]].map(|api| Partner::new(&api.url, key.text.reveal()));
    for partner in &partners {
        assert_eq!(partner.get("/v1/campaigns").await.status, 200);
    }
    let revoked = store::revoke_key(installation.pool(), key.key_id).await;
    assert!(revoked.expect("mysql"));
    let begun = Instant::now();
    for partner in &partners {
        let left = REVOKED_WITHIN.saturating_sub(begun.elapsed());
        eventually("the key to stop working", left, async || {
            let answer = partner.get("/v1/campaigns").await;
            (answer.status == 401).then_some(())
        })
        .await;
    }
    // Redis still has it, and a process that starts now believes it no more than the others.
    let fresh = installation.start().await;
    let partner = Partner::new(&fresh.url, key.text.reveal());
    assert_eq!(
        partner.get("/v1/campaigns").await.problem(),
        (401, "unauthenticated")
    );
    fresh.stop().await;
    for api in apis {
        api.stop().await;
    }
}

#[tokio::test]
async fn i1_a_key_costs_mysql_one_question_for_all_processes() {
    let installation = Installation::new("remembered").await;
    let apis = [installation.start().await, installation.start().await];
    let (_, key) = installation.partner_and_key(Scopes::all()).await;
    let first = Partner::new(&apis[0].url, key.text.reveal());
    assert_eq!(first.get("/v1/campaigns").await.status, 200);
    // What MySQL does not have any more can only come from memory: the other process's
    // is empty, so it comes from Redis.
    installation.sql("DELETE FROM api_keys").await;
    let second = Partner::new(&apis[1].url, key.text.reveal());
    for partner in [&first, &second] {
        for _ in 0..20 {
            assert_eq!(partner.get("/v1/campaigns").await.status, 200);
        }
    }
    for api in apis {
        api.stop().await;
    }
}

#[tokio::test]
async fn i1_a_rotated_key_goes_on_for_its_overlap_and_no_longer() {
    let installation = Installation::new("rotated").await;
    let api = installation.start().await;
    let (partner_no, key) = installation.partner_and_key(Scopes::all()).await;
    let old = Partner::new(&api.url, key.text.reveal());
    assert_eq!(old.get("/v1/campaigns").await.status, 200);
    let rotate = async |key_id, overlap| {
        let mut transaction = installation.pool().begin().await.expect("a transaction");
        let rotated = store::rotate_key(&mut transaction, key_id, overlap).await;
        transaction.commit().await.expect("committed");
        rotated.expect("mysql")
    };
    let newer = rotate(key.key_id, Duration::from_hours(1)).await.expect("a key");
    let new = Partner::new(&api.url, newer.text.reveal());
    assert_eq!(new.get("/v1/campaigns").await.status, 200);
    assert_eq!(old.get("/v1/campaigns").await.status, 200);
    let keys = store::list_keys(installation.pool(), partner_no, 10)
        .await
        .expect("mysql");
    let ends: Vec<_> = keys.iter().map(|key| key.expires_at.is_some()).collect();
    assert_eq!(ends, [true, false]);
    assert_eq!(keys[0].scopes, keys[1].scopes);
    // Without an overlap the old one is over at once, also where it is remembered.
    let newest = rotate(newer.key_id, Duration::ZERO).await.expect("a key");
    let latest = Partner::new(&api.url, newest.text.reveal());
    assert_eq!(latest.get("/v1/campaigns").await.status, 200);
    eventually("the rotated key to end", REVOKED_WITHIN, async || {
        (new.get("/v1/campaigns").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(old.get("/v1/campaigns").await.status, 200);
    let again = rotate(newer.key_id, Duration::ZERO).await;
    assert!(again.is_none(), "{again:?}");
    api.stop().await;
}
