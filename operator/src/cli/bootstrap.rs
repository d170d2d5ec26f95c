//! `headgate bootstrap`: everything that a fresh installation needs.

use clap::Args;
use headgate_domain::partners::{Rates, Scopes, hash, store};
use headgate_runtime::mysql;
use headgate_runtime::registry::Registry;
use headgate_schemas::ids::PartnerId;
use serde::Serialize;
use sqlx::MySqlPool;

use super::Error;
use super::config::Config;
use super::migrate::{create_database, migrate};
use super::output::{Output, fields};
use super::progress::Spinner;
use crate::topics::admin::Topics;
use crate::topics::wanted;
use crate::{partners, transaction};

/// Who the audit log says made the partner.
const ACTOR: &str = "bootstrap";

/// Makes a fresh installation ready: database, topics, schemas, a partner with a key
///
/// Meant for a machine of one's own. Doing it again changes nothing: a key in
/// HEADGATE_API_KEY that still holds is kept; without one a new partner is made.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate bootstrap
  export HEADGATE_API_KEY=$(headgate bootstrap --output json | jq -r .api_key)")]
pub struct Bootstrap {
    /// Name of the partner, if one is made
    #[arg(long, default_value = "local")]
    partner: String,
}

/// What is in force afterwards.
#[derive(Debug, Serialize)]
struct Ready {
    topics: usize,
    schemas: usize,
    partner_id: PartnerId,
    api_key: String,
    /// Whether the key was made just now.
    created: bool,
}

impl Bootstrap {
    pub async fn run(self, config: &Config, output: Output) -> Result<(), Error> {
        create_database(config).await?;
        let pool = mysql::pool(&config.mysql).map_err(|error| Error::database("connect", error))?;
        migrate(&pool).await?;
        let names = config.kafka.names();
        let topics = {
            let _spinner = Spinner::start("making topics");
            let replication = config.topics.replication;
            Topics::new(&config.kafka, replication)?
                .apply(wanted(&names, replication))
                .await?
        };
        let schemas = {
            let _spinner = Spinner::start("registering schemas");
            let registry = Registry::new(&config.registry)?;
            registry.register_all(&names).await?;
            registry.check_all(&names).await?
        };
        let key = self.key(&pool).await?;
        let ready = Ready {
            topics: topics.len(),
            schemas: schemas.len(),
            partner_id: key.partner_id,
            api_key: key.text,
            created: key.created,
        };
        output.print(&ready, |ready| {
            fields([
                ("topics", ready.topics.to_string()),
                ("schemas", ready.schemas.to_string()),
                ("partner", ready.partner_id.to_string()),
                ("api key", ready.api_key.clone()),
                ("created", ready.created.to_string()),
            ])
        })?;
        Ok(())
    }

    async fn key(&self, pool: &MySqlPool) -> Result<Key, Error> {
        if let Ok(text) = std::env::var("HEADGATE_API_KEY")
            && let Some(hash) = hash(text.as_bytes())
            && let Some(principal) = store::find_by_key_hash(pool, &hash).await?
        {
            return Ok(Key {
                partner_id: principal.partner_id,
                text,
                created: false,
            });
        }
        let mut transaction = pool
            .begin()
            .await
            .map_err(|error| Error::database("begin", error))?;
        // For load tests from one address, too.
        let granted = (Scopes::all(), Rates::HIGHEST);
        let created = partners::register(&mut transaction, &self.partner, granted, ACTOR).await;
        let created = transaction::conclude(transaction, created).await?;
        Ok(Key {
            partner_id: created.partner.partner_id,
            text: created.api_key,
            created: true,
        })
    }
}

struct Key {
    partner_id: PartnerId,
    text: String,
    created: bool,
}
