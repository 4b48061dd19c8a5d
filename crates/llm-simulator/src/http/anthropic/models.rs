//! `/v1/models` as Anthropic has it: in pages.

use axum::response::Response;
use http::HeaderMap;
use url::form_urlencoded;

use super::refusal::Refusal;
use super::wire::{Model, ModelPage};
use super::{JSON, authorize, with_headers};
use crate::http::Shared;
use crate::http::serving::json_answer;

/// Models of a page where the client does not say.
const USUAL: usize = 20;
/// Models of the longest page.
const MOST: usize = 1_000;

/// Which page.
#[derive(Debug, Default)]
struct Page {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
}

impl Page {
    fn read(query: &str) -> Result<Self, Refusal> {
        let mut page = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => {
                    let wrong =
                        || Refusal::wrong("limit", format!("Input should be a valid integer, 1 to {MOST}"));
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    page.limit = Some(limit.ok_or_else(wrong)?);
                }
                "after_id" => page.after = Some(value.into_owned()),
                "before_id" => page.before = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(page)
    }

    /// The models of the page, and whether more follow in its direction.
    fn of<'a>(&self, models: &'a [String]) -> Result<(&'a [String], bool), Refusal> {
        let limit = self.limit.unwrap_or(USUAL);
        let find = |name: &str, id: &String| {
            let place = models.iter().position(|model| model == id);
            place.ok_or_else(|| Refusal::wrong(name, format!("there is no model {id:?}")))
        };
        if let Some(before) = &self.before {
            let end = find("before_id", before)?;
            let start = end.saturating_sub(limit);
            return Ok((models.get(start..end).unwrap_or_default(), start > 0));
        }
        let start = match &self.after {
            Some(after) => find("after_id", after)? + 1,
            None => 0,
        };
        let end = models.len().min(start.saturating_add(limit));
        Ok((models.get(start..end).unwrap_or_default(), end < models.len()))
    }
}

/// `GET /v1/models`: the models on offer.
pub(in crate::http) fn models(
    shared: &Shared,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response, Refusal> {
    authorize(shared, headers)?;
    let (page, has_more) = Page::read(query)?.of(shared.simulator.models().named())?;
    let data = page.iter().map(|id| Model::new(id)).collect();
    let ends = [page.first(), page.last()].map(|id| id.map(String::as_str));
    let [first_id, last_id] = ends;
    Ok(with_headers(json_answer(JSON, &ModelPage { data, has_more, first_id, last_id })))
}

/// `GET /v1/models/{id}`: one of them.
pub(in crate::http) fn model(shared: &Shared, headers: &HeaderMap, id: &str) -> Result<Response, Refusal> {
    authorize(shared, headers)?;
    if !shared.simulator.models().offers(id) {
        return Err(Refusal::ModelNotFound(id.to_owned()));
    }
    Ok(with_headers(json_answer(JSON, &Model::new(id))))
}

#[cfg(test)]
mod tests {
    use super::Page;

    fn page(query: &str) -> Result<(Vec<String>, bool), String> {
        let models: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let page =
            Page::read(query).and_then(|page| page.of(&models).map(|(page, more)| (page.to_vec(), more)));
        page.map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn pages_go_both_ways() {
        let check = |query: &str, ids: &[&str], more: bool| {
            assert_eq!(
                page(query).unwrap(),
                (ids.iter().map(|id| (*id).to_owned()).collect(), more),
                "{query}"
            );
        };
        check("", &["a", "b", "c", "d"], false);
        check("limit=2", &["a", "b"], true);
        check("limit=2&after_id=b", &["c", "d"], false);
        check("limit=2&before_id=d", &["b", "c"], true);
        check("before_id=a", &[], false);
        check("after_id=d&x=y", &[], false);
        for bad in ["limit=0", "limit=1001", "limit=x", "after_id=x", "before_id=x"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }
}
