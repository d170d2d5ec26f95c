//! Lists, page by page.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Installation;
use crate::partner::Partner;

/// Walks through a list with pages of `limit`; returns the ids in order.
async fn walk(partner: &Partner, path: &str, id: &str, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = partner.get(&format!("{path}?limit={limit}{cursor}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let items = page.body["items"].as_array().expect("items");
        assert!(items.len() <= limit);
        ids.extend(
            items
                .iter()
                .map(|item| item[id].as_str().expect("an id").to_owned()),
        );
        match &page.body["next_cursor"] {
            Value::Null => return ids,
            next => cursor = format!("&cursor={}", next.as_str().expect("text")),
        }
        assert_eq!(items.len(), limit, "only the last page is short");
    }
}

#[tokio::test]
async fn campaigns_come_latest_first_each_once_also_while_new_ones_arrive() {
    let (installation, api, partner) = Installation::with_partner("campaign_pages").await;
    let other = installation.partner(&api).await;
    let mut registered = Vec::new();
    for _ in 0..7 {
        registered.push(partner.campaign(1).await);
        other.campaign(1).await;
    }
    registered.reverse();
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(
            walk(&partner, "/v1/campaigns", "campaign_id", limit).await,
            registered
        );
    }
    let page = partner.get("/v1/campaigns?limit=3").await;
    let newer = partner.campaign(1).await;
    let cursor = page.text("next_cursor");
    let rest = partner
        .get(&format!("/v1/campaigns?limit=100&cursor={cursor}"))
        .await;
    let rest: Vec<_> = rest.body["items"].as_array().expect("items").iter().collect();
    assert_eq!(rest.len(), 4);
    assert!(rest.iter().all(|item| item["campaign_id"] != newer));
    api.stop().await;
}

#[tokio::test]
async fn c6_a_users_coupons_come_page_by_page_and_only_that_users() {
    let (installation, api, partner) = Installation::with_partner("coupon_pages").await;
    let mut of_user = Vec::new();
    for _ in 0..5 {
        let campaign = partner.campaign(2).await;
        for user in ["u/1 가", "u/1 나"] {
            let claim = partner.claim(&campaign, user).await;
            installation.issue(claim.id("claim_id")).await;
            if user == "u/1 가" {
                of_user.push(claim.text("claim_id").to_owned());
            }
        }
    }
    of_user.reverse();
    let path = "/v1/users/u%2F1%20%EA%B0%80/coupons";
    for limit in [1, 2, 5, 100] {
        assert_eq!(walk(&partner, path, "coupon_id", limit).await, of_user);
    }
    let of_other = walk(&partner, "/v1/users/u%2F1%20%EB%82%98/coupons", "coupon_id", 2).await;
    let both: BTreeSet<_> = of_user.iter().chain(&of_other).collect();
    assert_eq!(both.len(), 10);
    assert!(
        walk(&partner, "/v1/users/nobody/coupons", "coupon_id", 2)
            .await
            .is_empty()
    );
    api.stop().await;
}
