//! Lists and searches: filters, order and pages as MongoDB's queries.
//!
//! A search looks words up in a multikey index, the last by an anchored expression, which an index serves
//! as a range; `$text` knows no beginnings of words. A page begins after the last item seen, by sort key
//! and id, so each order has an index of the two.

use std::collections::HashMap;

use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::Hint;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::documents::{BookDocument, ScoredDocument, book_fields, id, ids, uuid};
use super::summaries::one_of;
use super::{MongoStore, READ};
use crate::book::{Author, Book};
use crate::prompt;
use crate::search::Search;
use crate::store::cursor::{Cursor, Key, best, fingerprint};
use crate::store::derived::{AuthorKeys, BookKeys, genre_key, language_key, price_key, year_key};
use crate::store::{
    AuthorOrder, AuthorQuery, BookFilter, BookOrder, BookQuery, Listing, StoreError, TOTAL_CAP,
};

/// One more than is counted exactly tells that there are more.
const COUNTED: u64 = TOTAL_CAP + 1;

/// A page in the making.
struct Page {
    filter: Document,
    /// Field that orders; none when the id alone does.
    order: Option<&'static str>,
    /// Whether that field is a date.
    dated: bool,
    descending: bool,
    limit: u32,
}

impl Page {
    /// The filter with the place where to go on.
    fn from(&self, cursor: Option<&str>, fingerprint: &str) -> Result<Document, StoreError> {
        let Some(cursor) = cursor else { return Ok(self.filter.clone()) };
        let Cursor { key, id: last } = Cursor::decode(cursor, fingerprint)?;
        let beyond = if self.descending { "$lt" } else { "$gt" };
        let last = doc! { beyond: id(last) };
        let key = match (key, self.dated) {
            (Key::None, _) => Bson::Null,
            (Key::Number(micros), true) => DateTime::from_millis(micros.div_euclid(1_000)).into(),
            (Key::Number(number), false) => number.into(),
            (Key::Text(text), _) => text.into(),
        };
        let place = match (self.order, key) {
            (None, Bson::Null) => doc! { "_id": last },
            (Some(_), Bson::Null) | (None, _) => return Err(StoreError::BadCursor),
            (Some(order), key) => {
                // The bound stands outside too: whichever way the server goes, it begins at this key.
                let bound = if self.descending { "$lte" } else { "$gte" };
                doc! {
                    order: { bound: key.clone() },
                    "$or": [{ order: { beyond: key.clone() } }, { order: key, "_id": last }],
                }
            }
        };
        Ok(if self.filter.is_empty() {
            place
        } else {
            doc! { "$and": [self.filter.clone(), place] }
        })
    }

    /// The documents, one more than asked for if there are as many.
    async fn read<T: DeserializeOwned + Send + Sync + Unpin>(
        &self,
        collection: &Collection<T>,
        filter: Document,
        fields: Document,
    ) -> Result<Vec<T>, StoreError> {
        let direction = if self.descending { -1 } else { 1 };
        let mut order = Document::new();
        if let Some(field) = self.order {
            order.insert(field, direction);
        }
        order.insert("_id", direction);
        let wanted = self.limit.saturating_add(1);
        let found = collection
            .find(filter)
            .sort(order)
            .limit(i64::from(wanted))
            // All in the first answer.
            .batch_size(wanted)
            .projection(fields)
            .max_time(READ)
            .await?;
        Ok(found.try_collect().await?)
    }
}

/// How many fit, at most [`TOTAL_CAP`], and whether there are more.
async fn count<T: Send + Sync>(
    collection: &Collection<T>,
    filter: Document,
) -> Result<(u64, bool), StoreError> {
    let everything = filter.is_empty();
    let mut count = collection.count_documents(filter).limit(COUNTED).max_time(READ);
    if everything {
        // Without a condition nothing but this makes it an index scan.
        count = count.hint(Hint::Keys(doc! { "_id": 1 }));
    }
    let counted = count.await?;
    Ok((counted.min(TOTAL_CAP), counted > TOTAL_CAP))
}

/// Cuts what was read to a page.
fn listing<T>(
    mut items: Vec<T>,
    limit: u32,
    (total, total_capped): (u64, bool),
    cursor: impl Fn(&T) -> String,
) -> Listing<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(cursor);
    Listing { items, next_cursor, total, total_capped }
}

impl MongoStore {
    /// A page of books.
    pub(super) async fn list_books(&self, query: &BookQuery) -> Result<Listing<Book>, StoreError> {
        if query.filter.text.as_ref().is_some_and(Search::is_empty) {
            return Ok(Listing::empty());
        }
        let fingerprint = fingerprint(&query.filter, &query.sort);
        let by = query.sort.by;
        if let (BookOrder::Relevance, Some(search)) = (by, &query.filter.text) {
            return self.best_books(query, search, &fingerprint).await;
        }
        let page = Page {
            filter: book_filter(&query.filter),
            order: match by {
                BookOrder::CreatedAt | BookOrder::Relevance => None,
                BookOrder::UpdatedAt => Some("updatedAt"),
                BookOrder::Title => Some("sort.title"),
                BookOrder::PublishedYear => Some("sort.publishedYear"),
                BookOrder::Price => Some("sort.price"),
                BookOrder::Rating => Some("sort.rating"),
                BookOrder::Language => Some("sort.language"),
            },
            dated: by == BookOrder::UpdatedAt,
            descending: query.sort.descending,
            limit: query.limit,
        };
        let books = self.books();
        let filter = page.from(query.cursor.as_deref(), &fingerprint)?;
        let (total, found) =
            futures::try_join!(count(&books, page.filter.clone()), page.read(&books, filter, book_fields()))?;
        let found = found.into_iter().map(BookDocument::book).collect::<Result<Vec<Book>, _>>()?;
        Ok(listing(found, query.limit, total, |book| {
            Cursor { key: BookKeys::key(book, by), id: book.id }.encode(&fingerprint)
        }))
    }

    /// A page of the books that fit a search best.
    async fn best_books(
        &self,
        query: &BookQuery,
        search: &Search,
        fingerprint: &str,
    ) -> Result<Listing<Book>, StoreError> {
        let scored: Collection<ScoredDocument> = self.books().clone_with_type();
        let words = |words: &[String]| words.to_vec();
        let mut candidates: Vec<(u32, Uuid)> = Vec::new();
        let mut found = scored
            .find(book_filter(&query.filter))
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(COUNTED).unwrap_or(i64::MAX))
            .batch_size(u32::try_from(COUNTED).unwrap_or(u32::MAX))
            .projection(doc! { "titleWords": 1, "nameWords": 1 })
            .max_time(READ)
            .await?;
        while let Some(book) = found.try_next().await? {
            let (title, names) = (words(&book.title_words), words(&book.name_words));
            let score = search.score(title.iter().map(String::as_str), names.iter().map(String::as_str));
            candidates.push((score, uuid(book.id)));
        }
        let counted = candidates.len() as u64;
        candidates.truncate(usize::try_from(TOTAL_CAP).unwrap_or(usize::MAX));
        let (page, next_cursor) = best(candidates, query.cursor.as_deref(), query.limit, fingerprint)?;
        let mut books = HashMap::with_capacity(page.len());
        let mut read = self
            .books()
            .find(doc! { "_id": { "$in": ids(&page) } })
            .projection(book_fields())
            .batch_size(query.limit.saturating_add(1))
            .max_time(READ)
            .await?;
        while let Some(book) = read.try_next().await? {
            let book = book.book()?;
            books.insert(book.id, book);
        }
        Ok(Listing {
            // One that was deleted since is left out.
            items: page.iter().filter_map(|id| books.remove(id)).collect(),
            next_cursor,
            total: counted.min(TOTAL_CAP),
            total_capped: counted > TOTAL_CAP,
        })
    }

    /// A page of authors.
    pub(super) async fn list_authors(&self, query: &AuthorQuery) -> Result<Listing<Author>, StoreError> {
        if query.filter.text.as_ref().is_some_and(Search::is_empty) {
            return Ok(Listing::empty());
        }
        let fingerprint = fingerprint(&query.filter, &query.sort);
        let by = query.sort.by;
        let page = Page {
            filter: query.filter.text.as_ref().map(found_by).unwrap_or_default(),
            order: match by {
                AuthorOrder::CreatedAt => None,
                AuthorOrder::UpdatedAt => Some("updatedAt"),
                AuthorOrder::Name => Some("sort.name"),
                AuthorOrder::BornYear => Some("sort.bornYear"),
                AuthorOrder::DiedYear => Some("sort.diedYear"),
            },
            dated: by == AuthorOrder::UpdatedAt,
            descending: query.sort.descending,
            limit: query.limit,
        };
        let authors = self.authors();
        let filter = page.from(query.cursor.as_deref(), &fingerprint)?;
        let (total, found) = futures::try_join!(
            count(&authors, page.filter.clone()),
            page.read(&authors, filter, Document::new())
        )?;
        let found =
            found.into_iter().map(super::documents::AuthorDocument::author).collect::<Result<Vec<_>, _>>()?;
        Ok(listing(found, query.limit, total, |author| {
            Cursor { key: AuthorKeys::key(author, by), id: author.id }.encode(&fingerprint)
        }))
    }
}

/// All the words of a search, the last as a beginning.
fn found_by(search: &Search) -> Document {
    let beginning = doc! { "words": { "$regex": beginning(&search.beginning) } };
    if search.whole.is_empty() {
        return beginning;
    }
    doc! { "$and": [{ "words": { "$all": &search.whole } }, beginning] }
}

/// An expression for words that begin so. Words hold letters and digits only; should that change, no sign
/// gets a meaning here.
fn beginning(word: &str) -> String {
    let mut expression = String::with_capacity(word.len() + 1);
    expression.push('^');
    for character in word.chars() {
        if !character.is_alphanumeric() {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression
}

/// A filter as MongoDB has it. Whatever came from a client is a value in it, never a key.
pub(super) fn book_filter(filter: &BookFilter) -> Document {
    let mut query = filter.text.as_ref().map(found_by).unwrap_or_default();
    if let Some(author) = filter.author {
        query.insert("authors.id", id(author));
    }
    if let Some(genre) = &filter.genre {
        query.insert("genreKeys", genre_key(genre));
    }
    if let Some(language) = &filter.language {
        query.insert("sort.language", language_key(language));
    }
    if filter.published_from.is_some() || filter.published_to.is_some() {
        let from = year_key(Some(filter.published_from.unwrap_or(i32::MIN)));
        let to = filter.published_to.map_or(i64::MAX, i64::from);
        query.insert("sort.publishedYear", doc! { "$gte": from, "$lte": to });
    }
    if filter.price_from.is_some() || filter.price_to.is_some() {
        let from = filter.price_from.map_or(0, price_key);
        let to = filter.price_to.map_or(i64::MAX, price_key);
        query.insert("sort.price", doc! { "$gte": from, "$lte": to });
    }
    if let Some(currency) = &filter.currency {
        query.insert("price.currency", currency.as_str());
    }
    match filter.has_summary {
        Some(true) => {
            query.insert("latestSummary.promptVersion", one_of(prompt::VERSIONS));
        }
        Some(false) => {
            query.insert("latestSummary.promptVersion", doc! { "$nin": prompt::VERSIONS });
        }
        None => {}
    }
    query
}

#[cfg(test)]
mod tests {
    use super::{beginning, book_filter};
    use crate::search::Search;
    use crate::store::BookFilter;

    #[test]
    fn what_clients_send_never_becomes_an_operator() {
        assert_eq!(beginning("di"), "^di");
        assert_eq!(beginning("a.*$"), r"^a\.\*\$");
        let filter = BookFilter {
            text: Some(Search::parse("$where {\"$gt\": \"\"} x")),
            genre: Some("$ne".to_owned()),
            language: Some("{$gt: ''}".to_owned()),
            currency: Some("$exists".to_owned()),
            ..BookFilter::default()
        };
        let query = book_filter(&filter);
        let keys: Vec<&String> = query.keys().collect();
        assert_eq!(keys, ["$and", "genreKeys", "sort.language", "price.currency"]);
        assert_eq!(query.get_str("genreKeys").unwrap(), "$ne");
    }
}
