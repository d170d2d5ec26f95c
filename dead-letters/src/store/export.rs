//! Letters with their records, page by page.

use std::collections::HashMap;

use headgate_outbox::multirow;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySqlPool, QueryBuilder, Row};

use super::list::{Page, Slice, list};
use crate::Error;
use crate::filter::LetterFilter;
use crate::letter::LetterSummary;

/// Bytes of the records of a page, but for the first.
const PAGE_BYTES_MAX: u64 = 4 << 20;

/// A letter with its record as it came.
#[derive(Clone, Debug)]
pub struct Exported {
    /// All but the bytes.
    pub letter: LetterSummary,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value.
    pub value: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: RawHeaders,
}

/// The letters that match, with their records. A page ends early where its records become too
/// large to be in memory together.
pub async fn export(pool: &MySqlPool, filter: &LetterFilter, slice: Slice) -> Result<Page<Exported>, Error> {
    let page = list(pool, filter, slice).await?;
    let ids: Vec<DeadLetterId> = page.items.iter().map(|letter| letter.letter_id).collect();
    let sizes = sizes(pool, &ids).await?;
    let fit = fitting(ids.iter().map(|id| sizes.get(id).copied().unwrap_or_default()));
    let mut records = records(pool, &ids[..fit]).await?;
    let next_cursor = if fit < ids.len() {
        ids[..fit].last().copied()
    } else {
        page.next_cursor
    };
    let items = page.items.into_iter().take(fit).filter_map(|letter| {
        let (key, value, headers) = records.remove(&letter.letter_id)?;
        Some(Exported {
            letter,
            key,
            value,
            headers,
        })
    });
    Ok(Page {
        items: items.collect(),
        total: page.total,
        next_cursor,
    })
}

/// How many of the first records may be in memory together.
fn fitting(sizes: impl Iterator<Item = u64>) -> usize {
    let mut bytes = 0;
    let fit = sizes.take_while(|size| {
        let fits = bytes == 0 || bytes + size <= PAGE_BYTES_MAX;
        bytes += size;
        fits
    });
    fit.count()
}

async fn sizes(pool: &MySqlPool, letters: &[DeadLetterId]) -> Result<HashMap<DeadLetterId, u64>, Error> {
    let begin =
        "SELECT letter_id, CAST(COALESCE(OCTET_LENGTH(record_value), 0) + OCTET_LENGTH(record_headers)
             AS UNSIGNED) AS bytes FROM dead_letters WHERE letter_id IN (";
    let mut sizes = HashMap::with_capacity(letters.len());
    for row in of_letters(pool, begin, letters).await? {
        sizes.insert(row.try_get("letter_id")?, row.try_get("bytes")?);
    }
    Ok(sizes)
}

type Bytes = (Option<Vec<u8>>, Option<Vec<u8>>, RawHeaders);

async fn records(pool: &MySqlPool, letters: &[DeadLetterId]) -> Result<HashMap<DeadLetterId, Bytes>, Error> {
    let begin =
        "SELECT letter_id, record_key, record_value, record_headers FROM dead_letters WHERE letter_id IN (";
    let mut records = HashMap::with_capacity(letters.len());
    for row in of_letters(pool, begin, letters).await? {
        let headers: Vec<u8> = row.try_get("record_headers")?;
        let bytes = (
            row.try_get("record_key")?,
            row.try_get("record_value")?,
            RawHeaders::from_bytes(&headers)?,
        );
        records.insert(row.try_get("letter_id")?, bytes);
    }
    Ok(records)
}

async fn of_letters(
    pool: &MySqlPool,
    begin: &'static str,
    letters: &[DeadLetterId],
) -> Result<Vec<sqlx::mysql::MySqlRow>, Error> {
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::new(begin);
    let mut list = select.separated(", ");
    for letter_id in multirow::padded(letters) {
        list.push_bind(letter_id);
    }
    select.push(")");
    Ok(select.build().fetch_all(pool).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_what_fits_and_always_the_first() {
        let fit = |sizes: &[u64]| fitting(sizes.iter().copied());
        assert_eq!((fit(&[]), fit(&[2 * PAGE_BYTES_MAX, 1])), (0, 1));
        assert_eq!(fit(&[PAGE_BYTES_MAX - 1, 1, 1]), 2);
    }
}
