//! Lists: their parameters checked, all mistakes at once, and their pages linked (RFC 8288).

use axum::response::{IntoResponse, Response};
use common_models::Page;
use http::Uri;
use http::header::LINK;
use http_server::extract::Json;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::book::{Rules, YEARS};
use crate::catalog::UseCaseError;
use crate::search::Search;
use crate::store::{AuthorOrder, BookOrder, Listing, Sort};

/// Longest search, in characters.
const LONGEST_TEXT: usize = 200;
/// Items on a page when nobody says how many, and at most.
const USUAL_LIMIT: i64 = 20;
const LARGEST_LIMIT: i64 = 100;

/// What books can be sorted by.
pub(crate) const BOOK_ORDERS: &[(&str, BookOrder)] = &[
    ("createdAt", BookOrder::CreatedAt),
    ("updatedAt", BookOrder::UpdatedAt),
    ("title", BookOrder::Title),
    ("publishedYear", BookOrder::PublishedYear),
    ("price", BookOrder::Price),
    ("rating", BookOrder::Rating),
    ("language", BookOrder::Language),
];

/// What authors can be sorted by.
pub(crate) const AUTHOR_ORDERS: &[(&str, AuthorOrder)] = &[
    ("createdAt", AuthorOrder::CreatedAt),
    ("updatedAt", AuthorOrder::UpdatedAt),
    ("name", AuthorOrder::Name),
    ("bornYear", AuthorOrder::BornYear),
    ("diedYear", AuthorOrder::DiedYear),
];

/// The order that only books have, and only with a text.
const RELEVANCE: &str = "relevance";

/// Reads the parameters of a list and collects what is wrong with them.
#[derive(Default)]
pub(crate) struct Parameters(Rules);

impl Parameters {
    /// What to look for. A text of spaces is none.
    pub(crate) fn text(&mut self, text: Option<&str>) -> Option<Search> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        self.0.text("q", text, LONGEST_TEXT);
        Some(Search::parse(text))
    }

    /// A name that is not blank.
    pub(crate) fn name(&mut self, field: &str, name: Option<String>, longest: usize) -> Option<String> {
        if let Some(name) = &name {
            self.0.required(field, name, longest);
        }
        name
    }

    /// A language tag.
    pub(crate) fn language(&mut self, field: &str, language: Option<String>) -> Option<String> {
        if let Some(language) = &language {
            self.0.language(field, language);
        }
        language
    }

    /// A currency.
    pub(crate) fn currency(&mut self, field: &str, currency: Option<String>) -> Option<String> {
        if let Some(currency) = &currency {
            self.0.currency(field, currency);
        }
        currency
    }

    /// A range of years.
    pub(crate) fn years(
        &mut self,
        [from_field, to_field]: [&str; 2],
        [from, to]: [Option<i64>; 2],
    ) -> [Option<i32>; 2] {
        let mut year = |field: &str, year: Option<i64>| {
            let year = year?;
            let believed = i32::try_from(year).ok().filter(|year| YEARS.contains(year));
            if believed.is_none() {
                let message = format!("is {year}; {} to {} are allowed", YEARS.start(), YEARS.end());
                self.0.broken(field, "out_of_range", message);
            }
            believed
        };
        let range = [year(from_field, from), year(to_field, to)];
        self.ordered([from_field, to_field], &range);
        range
    }

    /// A range of amounts.
    pub(crate) fn amounts(
        &mut self,
        [from_field, to_field]: [&str; 2],
        [from, to]: [Option<&str>; 2],
    ) -> [Option<rust_decimal::Decimal>; 2] {
        let mut amount = |field: &str, text: Option<&str>| {
            let amount = common_models::book::parse_amount(text?);
            match amount {
                Some(amount) => self.0.amount(field, amount),
                None => self.0.broken(field, "form", "is not a decimal number such as 12.99"),
            }
            amount
        };
        let range = [amount(from_field, from), amount(to_field, to)];
        self.ordered([from_field, to_field], &range);
        range
    }

    fn ordered<T: PartialOrd>(&mut self, [from_field, to_field]: [&str; 2], range: &[Option<T>; 2]) {
        if let [Some(from), Some(to)] = range
            && from > to
        {
            self.0.broken(
                from_field,
                "contradiction",
                format!("lies above {to_field}: nothing can fit both"),
            );
        }
    }

    /// The order of authors.
    pub(crate) fn author_sort(&mut self, sort: Option<&str>) -> Sort<AuthorOrder> {
        sort.map_or_else(Sort::default, |sort| self.sort(sort, AUTHOR_ORDERS, "").unwrap_or_default())
    }

    /// The order of books: by relevance where a text is looked for and nothing else is said.
    pub(crate) fn book_sort(&mut self, sort: Option<&str>, has_text: bool) -> Sort<BookOrder> {
        let by_relevance = Sort { by: BookOrder::Relevance, descending: false };
        match sort {
            None if has_text => by_relevance,
            None => Sort::default(),
            Some(RELEVANCE) => {
                if !has_text {
                    self.0.broken("sort", "needs_text", "orders by relevance, which needs q to be given");
                }
                by_relevance
            }
            Some(sort) => self.sort(sort, BOOK_ORDERS, ", and with q relevance").unwrap_or_default(),
        }
    }

    fn sort<O: Copy>(&mut self, sort: &str, orders: &[(&str, O)], besides: &str) -> Option<Sort<O>> {
        let (name, descending) = match sort.strip_prefix('-') {
            Some(name) => (name, true),
            None => (sort, false),
        };
        let found = orders.iter().find(|(order, _)| *order == name);
        if found.is_none() {
            let names: Vec<&str> = orders.iter().map(|(name, _)| *name).collect();
            let message = format!("is none of {}, each with - for descending{besides}", names.join(", "));
            self.0.broken("sort", "choice", message);
        }
        found.map(|&(_, by)| Sort { by, descending })
    }

    /// The size of a page.
    pub(crate) fn limit(&mut self, limit: Option<i64>) -> u32 {
        let limit = limit.unwrap_or(USUAL_LIMIT);
        if !(1..=LARGEST_LIMIT).contains(&limit) {
            self.0.broken("limit", "out_of_range", format!("is {limit}; 1 to {LARGEST_LIMIT} are allowed"));
        }
        u32::try_from(limit).unwrap_or_default()
    }

    /// Nothing, or everything that is wrong.
    pub(crate) fn check(self) -> Result<(), UseCaseError> {
        let Self(Rules(violations)) = self;
        if violations.is_empty() { Ok(()) } else { Err(UseCaseError::Invalid(violations)) }
    }
}

/// A page with links to the first and the next.
pub(crate) fn page<T, W: Serialize>(uri: &Uri, listing: Listing<T>, item: impl Fn(T) -> W) -> Response {
    let mut links = vec![link(uri, None, "first")];
    links.extend(listing.next_cursor.as_deref().map(|cursor| link(uri, Some(cursor), "next")));
    let page = Page {
        items: listing.items.into_iter().map(item).collect(),
        next_cursor: listing.next_cursor,
        total: listing.total,
        total_capped: listing.total_capped,
    };
    ([(LINK, links.join(", "))], Json(page)).into_response()
}

/// The same query at another place.
fn link(uri: &Uri, cursor: Option<&str>, relation: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let asked = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(asked.filter(|(name, _)| name != "cursor"));
    query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    let query = query.finish();
    let separator = if query.is_empty() { "" } else { "?" };
    format!("<{}{separator}{query}>; rel=\"{relation}\"", uri.path())
}

/// The schema of `sort` of books.
pub(crate) fn book_sorts() -> Object {
    sorts(BOOK_ORDERS.iter().map(|(name, _)| *name), &[RELEVANCE])
}

/// The schema of `sort` of authors.
pub(crate) fn author_sorts() -> Object {
    sorts(AUTHOR_ORDERS.iter().map(|(name, _)| *name), &[])
}

fn sorts(names: impl Iterator<Item = &'static str>, besides: &[&str]) -> Object {
    let both = names.flat_map(|name| [name.to_owned(), format!("-{name}")]);
    let all: Vec<String> = both.chain(besides.iter().map(|&name| name.to_owned())).collect();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(all)).build()
}

#[cfg(test)]
mod tests {
    use super::{Parameters, link};
    use crate::store::{BookOrder, Sort};

    #[test]
    fn links_keep_the_whole_query_but_the_cursor() {
        let uri = "/api/v1/books?q=a%20b%26&cursor=old&sort=-title&genre=%22%3E".parse().unwrap();
        assert_eq!(
            link(&uri, Some("n-_x"), "next"),
            "</api/v1/books?q=a+b%26&sort=-title&genre=%22%3E&cursor=n-_x>; rel=\"next\""
        );
        assert_eq!(link(&"/api/v1/books".parse().unwrap(), None, "first"), "</api/v1/books>; rel=\"first\"");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut parameters = Parameters::default();
        parameters.text(Some(&"x".repeat(201)));
        parameters.name("genre", Some(" ".to_owned()), 50);
        parameters.language("language", Some("e n".to_owned()));
        parameters.years(["publishedFrom", "publishedTo"], [Some(3_000_000_000_000), Some(-5_000)]);
        parameters.years(["from", "to"], [Some(1900), Some(1800)]);
        parameters.amounts(["priceFrom", "priceTo"], [Some("NaN"), Some("12.999")]);
        parameters.amounts(["least", "most"], [Some("2"), Some("1.50")]);
        parameters.currency("currency", Some("usd".to_owned()));
        parameters.book_sort(Some("relevance"), false);
        parameters.author_sort(Some("--name"));
        parameters.limit(Some(0));
        let broken: Vec<(&str, &str)> =
            parameters.0.0.iter().map(|violation| (violation.field.as_str(), violation.code)).collect();
        assert_eq!(
            broken,
            [
                ("q", "too_long"),
                ("genre", "required"),
                ("language", "form"),
                ("publishedFrom", "out_of_range"),
                ("publishedTo", "out_of_range"),
                ("from", "contradiction"),
                ("priceFrom", "form"),
                ("priceTo", "precision"),
                ("least", "contradiction"),
                ("currency", "form"),
                ("sort", "needs_text"),
                ("sort", "choice"),
                ("limit", "out_of_range"),
            ]
        );
    }

    #[test]
    fn a_search_is_ordered_by_relevance_unless_said_otherwise() {
        let sort = |text: Option<&str>, has_text| Parameters::default().book_sort(text, has_text);
        assert_eq!(sort(None, true).by, BookOrder::Relevance);
        assert_eq!(sort(None, false), Sort::default());
        assert_eq!(sort(Some("-price"), true), Sort { by: BookOrder::Price, descending: true });
    }
}
