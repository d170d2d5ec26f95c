//! Letters that hold a wallet's balance up.

use std::collections::HashSet;

use headgate_groups::Group;
use headgate_schemas::ids::WalletId;
use sqlx::MySqlConnection;

/// Those of `wallets` of which an event is an unsettled letter of the group `point-balances`.
pub(super) async fn with_letters(
    on: &mut MySqlConnection,
    wallets: &[WalletId],
) -> Result<HashSet<WalletId>, sqlx::Error> {
    if wallets.is_empty() {
        return Ok(HashSet::new());
    }
    let keys: Vec<String> = wallets.iter().map(ToString::to_string).collect();
    let held = sqlx::query_scalar!(
        r#"SELECT DISTINCT CONVERT(d.record_key USING latin1) AS "wallet_id!: String"
           FROM consumer_groups g JOIN dead_letters d USING (group_no)
           JOIN JSON_TABLE(?, '$[*]' COLUMNS (wallet_id CHAR(36) CHARACTER SET latin1 PATH '$')) AS j
               ON j.wallet_id = CONVERT(d.record_key USING latin1)
           WHERE g.name = ? AND d.state IN ('open', 'replaying', 'archived', 'quarantined')"#,
        serde_json::to_string(&keys).unwrap_or_default(),
        Group::PointBalances.name()
    )
    .fetch_all(on)
    .await?;
    Ok(held
        .iter()
        .filter_map(|wallet_id| wallet_id.parse().ok())
        .collect())
}
