//! The rights of `deploy/mysql/grants.sql`: enough for the product, too few to change the log.

use headgate_operator::Service;
use headgate_operator::config::Config;
use headgate_operator::partners::CreatedPartner;
use headgate_outbox::partitions;
use headgate_runtime::shutdown::CancellationToken;
use headgate_runtime::{mysql, telemetry};
use headgate_testkit::servers::workspace_root;
use serde_json::json;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use super::{act, execute};
use crate::listener::{ADMIN, Listener};

/// MySQL's number for a right that is missing.
const DENIED: u16 = 1142;

/// A user of the services, gone with the test.
struct Services {
    name: String,
    admin: MySqlPool,
}

impl Services {
    async fn of(listener: &Listener) -> Self {
        let environment = &listener.environment;
        let url = environment.servers().others.get("MYSQL_ADMIN_URL");
        let admin = MySqlPool::connect(url.expect("the test servers have an administrator"))
            .await
            .expect("MySQL answers");
        // MySQL allows 32 characters.
        let name = format!("s_{}", &environment.name()[environment.name().len() - 8..]);
        execute(
            &admin,
            &format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'services'"),
        )
        .await;
        let mut connection = admin.acquire().await.expect("a connection");
        grant(
            &mut connection,
            &format!("headgate_{}", environment.name()),
            &name,
        )
        .await;
        drop(connection);
        Self { name, admin }
    }

    fn mysql(&self, listener: &Listener) -> mysql::Config {
        let url = listener.environment.mysql_url();
        let (_, server) = url.split_once('@').expect("user@server");
        mysql::Config {
            url: format!("mysql://{}:services@{server}", self.name),
            ..listener.config.mysql.clone()
        }
    }

    async fn leave(self) {
        execute(&self.admin, &format!("DROP USER '{}'@'%'", self.name)).await;
    }
}

/// Another listener, for as long as the test runs. Returns its address.
async fn served(config: Config) -> String {
    let metrics = telemetry::metrics_recorder().expect("buckets");
    let service = Service::build(config, metrics.build_recorder().handle())
        .await
        .expect("the listener is built");
    let url = format!("http://{}", service.addresses().http);
    tokio::spawn(service.run_until(CancellationToken::new()));
    url
}

/// Does what the file says.
async fn grant(connection: &mut MySqlConnection, database: &str, user: &str) {
    let file = workspace_root().join("deploy/mysql/grants.sql");
    let file = std::fs::read_to_string(file).expect("the file can be read");
    let set = format!("USE {database}; SET @services = '''{user}''@''%'''");
    sqlx::raw_sql(AssertSqlSafe(set))
        .execute(&mut *connection)
        .await
        .expect("the database is there");
    let statements: Vec<String> = sqlx::query_scalar(AssertSqlSafe(file))
        .fetch_all(&mut *connection)
        .await
        .expect("the file is one statement");
    assert!(statements.len() > 20, "{statements:?}");
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
            .expect("it is granted");
    }
}

async fn denied(pool: &MySqlPool, statement: &str) {
    let error = sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .expect_err(statement);
    let error = error.into_database_error().expect("an answer of MySQL");
    let number = error.downcast_ref::<sqlx::mysql::MySqlDatabaseError>().number();
    assert_eq!(number, DENIED, "{statement}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_user_adds_lines_and_cannot_change_or_remove_any() {
    let mut listener = Listener::start("audit_grants").await;
    let services = Services::of(&listener).await;
    let mysql = services.mysql(&listener);
    let pool = mysql::pool(&mysql).expect("the address is readable");
    // Whoever is asked from here on is one that holds these rights.
    listener.url = served(Config {
        mysql,
        ..listener.config.clone()
    })
    .await;
    let _partner: CreatedPartner = listener
        .post(ADMIN, "/v1/partners", &json!({"name": "shop"}))
        .await
        .ok();
    act(&pool, "o-2").await;
    assert_eq!(listener.holds().await.audit_no, 2);
    partitions::ensure(&pool, 3).await.expect("day partitions");

    for statement in [
        "UPDATE audit_log SET actor = 'lee'",
        "DELETE FROM audit_log WHERE audit_no = 2",
        "TRUNCATE audit_log",
        "DROP TABLE audit_log",
        "ALTER TABLE audit_log DROP PRIMARY KEY",
        "RENAME TABLE audit_log TO gone",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head VALUES (1, 0, '')",
    ] {
        denied(&pool, statement).await;
    }
    assert_eq!(listener.holds().await.audit_no, 2);
    services.leave().await;
}
