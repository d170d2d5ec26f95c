//! The end of a transaction: committed as a whole, or rolled back explicitly.

use sqlx::{MySql, Transaction};

use crate::Error;

/// Commits what was done, or rolls back what was not.
pub(crate) async fn conclude<T>(
    transaction: Transaction<'_, MySql>,
    done: Result<T, Error>,
) -> Result<T, Error> {
    match done {
        Ok(done) => {
            transaction.commit().await?;
            Ok(done)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}
