//! `migrate`, `topics`, `schemas`, `bootstrap`: on the servers themselves.

use headgate_testkit::Environment;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use super::{headgate, on};

#[tokio::test]
async fn migrating_twice_is_migrating_once_and_makes_day_partitions() {
    let environment = Environment::new("migrate").await;
    for _ in 0..2 {
        let migrated: Value = on(&environment, &["migrate", "--output", "json"]).await.json();
        assert_eq!(
            migrated["migrations"],
            headgate_schemas::MIGRATIONS.iter().count()
        );
    }
    let partitions: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'inbox'",
    )
    .fetch_one(environment.pool())
    .await
    .expect("MySQL answers");
    assert!(partitions > 14, "{partitions} partitions");
}

#[tokio::test]
async fn a_database_that_is_missing_is_made_only_if_asked_for() {
    let environment = Environment::new("create_database").await;
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "DROP DATABASE headgate_{}",
        environment.name()
    )))
    .execute(environment.pool())
    .await
    .expect("it goes");
    on(&environment, &["migrate"]).await.code(4);
    on(&environment, &["migrate", "--create-database"]).await.code(0);
}

#[tokio::test]
async fn a_server_that_is_away_is_exit_code_3() {
    let environment = Environment::new("away").await;
    let mut variables = environment.env_vars();
    for (name, value) in [
        ("MYSQL_URL", "mysql://headgate:headgate@127.0.0.1:1/headgate"),
        ("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1"),
        ("HEADGATE_OPERATOR_URL", "http://127.0.0.1:1"),
        ("HEADGATE_OPERATOR_TOKEN", "0123456789abcdef"),
        ("HEADGATE_MYSQL__ACQUIRE_TIMEOUT_MS", "200"),
    ] {
        variables.push((name.to_owned(), value.to_owned()));
    }
    headgate(&variables, &["migrate"])
        .await
        .code(3)
        .says("MySQL does not answer");
    headgate(&variables, &["schemas", "check"])
        .await
        .code(3)
        .says("registry");
    headgate(&variables, &["lag"])
        .await
        .code(3)
        .says("operator listener");
}

fn admin(environment: &Environment) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", environment.kafka_bootstrap())
        .create()
        .expect("a client")
}

fn states(topics: &Value) -> Vec<&str> {
    let topics = topics.as_array().expect("a list");
    topics
        .iter()
        .map(|topic| topic["state"].as_str().expect("a state"))
        .collect()
}

#[tokio::test]
async fn topics_are_made_once_and_checked() {
    let environment = Environment::new("topics").await;
    let check = ["topics", "apply", "--check", "--output", "json"];
    let missing = on(&environment, &check).await;
    let planned: Value = serde_json::from_str(&missing.code(1).stdout).expect("JSON");
    assert_eq!(states(&planned), ["create"; 10]);
    on(&environment, &["topics", "apply"]).await.code(0);
    let there: Value = on(&environment, &check).await.json();
    assert_eq!(states(&there), ["current"; 10]);
    on(&environment, &["topics", "apply"]).await.code(0);
    let listed: Value = on(&environment, &["topics", "list", "--output", "json"])
        .await
        .json();
    assert_eq!(listed[0]["partitions"], 4);
}

#[tokio::test]
async fn other_settings_of_a_topic_are_set_back_and_foreign_ones_kept() {
    let environment = Environment::new("topic_settings").await;
    let name = format!("{}headgate.coupons", environment.kafka_prefix());
    let topic = NewTopic::new(&name, 4, TopicReplication::Fixed(1))
        .set("retention.ms", "60000")
        .set("compression.type", "lz4");
    admin(&environment)
        .create_topics(&[topic], &AdminOptions::new())
        .await
        .expect("Kafka answers");
    let planned = on(&environment, &["topics", "apply", "--check"]).await;
    assert!(
        planned.code(1).stdout.contains("retention.ms=604800000"),
        "{}",
        planned.stdout
    );
    on(&environment, &["topics", "apply"]).await.code(0);
    on(&environment, &["topics", "apply", "--check"]).await.code(0);
    let described = admin(&environment)
        .describe_configs(
            &[rdkafka::admin::ResourceSpecifier::Topic(&name)],
            &AdminOptions::new(),
        )
        .await
        .expect("Kafka answers");
    let topic = described[0].as_ref().expect("a topic");
    let value = |name| topic.get(name).and_then(|entry| entry.value.as_deref());
    assert_eq!(
        (value("retention.ms"), value("compression.type")),
        (Some("604800000"), Some("lz4"))
    );
}

#[tokio::test]
async fn a_topic_with_another_number_of_partitions_is_refused_and_nothing_is_made() {
    let environment = Environment::new("partitions").await;
    for partitions in [3, 8] {
        let prefix = format!("{}{partitions}.", environment.kafka_prefix());
        let name = format!("{prefix}headgate.coupons");
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        admin(&environment)
            .create_topics(&[topic], &AdminOptions::new())
            .await
            .expect("Kafka answers");
        let mut variables = environment.env_vars();
        variables.push(("HEADGATE_KAFKA__PREFIX".to_owned(), prefix));
        let refused = headgate(&variables, &["topics", "apply"]).await;
        refused.code(4).says(&format!("{name} has {partitions}, not 4"));
        let planned = headgate(&variables, &["topics", "list", "--output", "json"]).await;
        let planned: Value = planned.json();
        let mut expected = ["create"; 10];
        expected[0] = "refuse";
        assert_eq!(states(&planned), expected, "nothing else was made");
    }
}

#[tokio::test]
async fn schemas_are_registered_once_and_checked() {
    let environment = Environment::new("schemas").await;
    on(&environment, &["schemas", "check"])
        .await
        .code(1)
        .says("21 schemas are not registered");
    let ids = async || -> Vec<Value> {
        let states: Value = on(&environment, &["schemas", "register", "--output", "json"])
            .await
            .json();
        let states = states.as_array().expect("a list");
        states.iter().map(|state| state["schema_id"].clone()).collect()
    };
    let first = ids().await;
    assert_eq!(ids().await, first);
    on(&environment, &["schemas", "check"]).await.code(0);
}

#[tokio::test]
async fn a_bootstrap_can_be_repeated_and_keeps_the_key_that_holds() {
    let environment = Environment::new("bootstrap").await;
    let bootstrap = ["bootstrap", "--output", "json"];
    let first: Value = on(&environment, &bootstrap).await.json();
    assert_eq!(
        (&first["created"], &first["topics"], &first["schemas"]),
        (&true.into(), &10.into(), &21.into())
    );
    let mut variables = environment.env_vars();
    let key = first["api_key"].as_str().expect("a key").to_owned();
    variables.push(("HEADGATE_API_KEY".to_owned(), key));
    let second: Value = headgate(&variables, &bootstrap).await.json();
    assert_eq!(
        (&second["created"], &second["api_key"]),
        (&false.into(), &first["api_key"])
    );
    assert_eq!(second["partner_id"], first["partner_id"]);
    sqlx::query("UPDATE api_keys SET revoked_at = NOW(6)")
        .execute(environment.pool())
        .await
        .expect("MySQL answers");
    let third: Value = headgate(&variables, &bootstrap).await.json();
    assert_eq!(third["created"], true);
    let audited: Vec<String> = sqlx::query_scalar("SELECT CONCAT(actor, ' ', action) FROM audit_log")
        .fetch_all(environment.pool())
        .await
        .expect("MySQL answers");
    assert_eq!(audited, ["bootstrap partner.create"; 2]);
}

#[tokio::test]
async fn wrong_settings_are_all_reported_and_are_exit_code_2() {
    let environment = Environment::new("wrong_settings").await;
    let mut variables = environment.env_vars();
    variables.push(("MYSQL_URL".to_owned(), "nowhere".to_owned()));
    variables.push(("HEADGATE_TOPICS__REPLICATION".to_owned(), "0".to_owned()));
    headgate(&variables, &["migrate"])
        .await
        .code(2)
        .says("mysql.url")
        .says("topics.replication");
}
