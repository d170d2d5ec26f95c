//! What the tests of this crate share.

use std::time::Duration;

use headgate_runtime::mysql;
use headgate_testkit::Environment;
use sqlx::MySqlPool;

/// Longest wait for something to become true.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A pool as the product's processes have it.
pub fn pool(environment: &Environment) -> MySqlPool {
    mysql::pool(&mysql::Config {
        url: environment.mysql_url(),
        connections_max: 8,
        acquire_timeout: LIMIT,
        lock_wait_timeout_s: 2,
        select_timeout: LIMIT,
    })
    .expect("the address is readable")
}
