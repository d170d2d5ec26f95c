//! `headgate migrate`.

use clap::Args;
use headgate_outbox::partitions;
use headgate_runtime::mysql;
use serde::Serialize;
use sqlx::migrate::MigrateDatabase;

use super::Error;
use super::config::Config;
use super::output::{Output, table};
use super::progress::Spinner;

/// Brings the database to the newest schema
///
/// Applies the migrations that are missing and makes the day partitions of the coming
/// days. Safe to repeat, and to run from several places at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate migrate
  MYSQL_URL=mysql://root@127.0.0.1:3306/headgate headgate migrate --create-database")]
pub struct Migrate {
    /// Make the database first if it is not there
    #[arg(long)]
    create_database: bool,
}

/// What is in force afterwards.
#[derive(Debug, Serialize)]
struct Migrated {
    migrations: usize,
    newest: String,
}

impl Migrate {
    pub async fn run(&self, config: &Config, output: Output) -> Result<(), Error> {
        if self.create_database {
            create_database(config).await?;
        }
        let pool = mysql::pool(&config.mysql).map_err(|error| Error::database("connect", error))?;
        migrate(&pool).await?;
        let newest = headgate_schemas::MIGRATIONS.iter().last();
        let migrated = Migrated {
            migrations: headgate_schemas::MIGRATIONS.iter().count(),
            newest: newest
                .map(|newest| newest.description.to_string())
                .unwrap_or_default(),
        };
        output.print(&migrated, |migrated| {
            let mut table = table(&["migrations", "newest"]);
            table.add_row([migrated.migrations.to_string(), migrated.newest.clone()]);
            table
        })?;
        Ok(())
    }
}

/// Makes the database that the URL names, if it is missing.
pub async fn create_database(config: &Config) -> Result<(), Error> {
    let url = &config.mysql.url;
    let failed = |error| Error::database("create the database", error);
    if !sqlx::MySql::database_exists(url).await.map_err(failed)? {
        sqlx::MySql::create_database(url).await.map_err(failed)?;
    }
    Ok(())
}

/// Days for which partitions are made ahead. The retention job makes more in time.
const PARTITION_DAYS_AHEAD: u32 = 14;

/// Applies what is missing.
pub async fn migrate(pool: &sqlx::MySqlPool) -> Result<(), Error> {
    let _spinner = Spinner::start("migrating");
    mysql::migrate(pool).await?;
    partitions::ensure(pool, PARTITION_DAYS_AHEAD).await?;
    Ok(())
}
