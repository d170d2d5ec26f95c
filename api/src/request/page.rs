//! `?limit=&cursor=` of lists.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use crate::app::App;
use crate::problem::{Code, Problem, WrongField};

/// Items of a page unless the request says otherwise.
pub const PAGE_ITEMS_USUAL: u32 = 20;
/// Most items of a page.
pub const PAGE_ITEMS_MAX: u32 = 100;

/// Which page of a list is asked for. A cursor is the id of the last item of the page
/// before, but nobody outside should count on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<C> {
    /// Most items.
    pub limit: u32,
    /// Behind which item.
    pub after: Option<C>,
}

impl<C: FromStr> FromRequestParts<App> for Page<C> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::parameter("query", "must be name=value pairs, percent-encoded"))?;
        Self::of_pairs(pairs).map_err(|wrong| Problem::wrong_fields(Code::InvalidParameter, wrong))
    }
}

impl<C: FromStr> Page<C> {
    fn of_pairs(pairs: Vec<(String, String)>) -> Result<Self, Vec<WrongField>> {
        let mut page = Self {
            limit: PAGE_ITEMS_USUAL,
            after: None,
        };
        let mut wrong = Vec::new();
        for (name, value) in pairs {
            let detail = match name.as_str() {
                "limit" => match value.parse() {
                    Ok(limit @ 1..=PAGE_ITEMS_MAX) => {
                        page.limit = limit;
                        continue;
                    }
                    _ => format!("must be between 1 and {PAGE_ITEMS_MAX}"),
                },
                "cursor" => match value.parse() {
                    Ok(after) => {
                        page.after = Some(after);
                        continue;
                    }
                    Err(_) => "must be a next_cursor of this list".to_owned(),
                },
                _ => "is unknown".to_owned(),
            };
            wrong.push(WrongField { field: name, detail });
        }
        if wrong.is_empty() { Ok(page) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headgate_schemas::ids::CampaignId;

    fn page(pairs: &[(&str, &str)]) -> Result<Page<CampaignId>, Vec<String>> {
        let pairs = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Page::of_pairs(pairs).map_err(|wrong| wrong.into_iter().map(|wrong| wrong.field).collect())
    }

    #[test]
    fn limits_and_cursors_are_checked_together() {
        let id = CampaignId::generate();
        let usual = Page {
            limit: PAGE_ITEMS_USUAL,
            after: None,
        };
        assert_eq!(page(&[]), Ok(usual));
        let second = Page {
            limit: 7,
            after: Some(id),
        };
        assert_eq!(page(&[("limit", "7"), ("cursor", &id.to_string())]), Ok(second));
        let wrong = page(&[("limit", "101"), ("cursor", "x"), ("offset", "1")]);
        assert_eq!(wrong, Err(vec!["limit".into(), "cursor".into(), "offset".into()]));
        assert_eq!(page(&[("limit", "0")]), Err(vec!["limit".into()]));
    }
}
