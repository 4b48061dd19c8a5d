//! The indexes: every order, filter and search has one, as has whatever must be unique or be found by
//! upkeep.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document};
use mongodb::options::IndexOptions;

use super::MongoStore;
use crate::store::StoreError;

/// What an index demands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// Nothing.
    Plain,
    /// Only documents that have the field are in it.
    Sparse,
    /// No value twice among the documents that have the field. Sparse rather than partial: that is
    /// enough here and every server knows it.
    Unique,
}

/// An index: its collection, its name, its fields (`-` before one that descends), its demand.
type Index = (&'static str, &'static str, &'static [&'static str], Demand);

/// All indexes but those on `_id`.
const INDEXES: &[Index] = &[
    ("authors", "by_updated_at", &["updatedAt", "_id"], Demand::Plain),
    ("authors", "by_name", &["sort.name", "_id"], Demand::Plain),
    ("authors", "by_born_year", &["sort.bornYear", "_id"], Demand::Plain),
    ("authors", "by_died_year", &["sort.diedYear", "_id"], Demand::Plain),
    ("authors", "words", &["words", "_id"], Demand::Plain),
    ("authors", "name_key", &["nameKey", "_id"], Demand::Plain),
    ("authors", "import_name_key", &["importNameKey"], Demand::Unique),
    ("authors", "pending", &["pending"], Demand::Sparse),
    ("books", "by_updated_at", &["updatedAt", "_id"], Demand::Plain),
    ("books", "by_title", &["sort.title", "_id"], Demand::Plain),
    ("books", "by_published_year", &["sort.publishedYear", "_id"], Demand::Plain),
    ("books", "by_price", &["sort.price", "_id"], Demand::Plain),
    ("books", "by_rating", &["sort.rating", "_id"], Demand::Plain),
    ("books", "by_language", &["sort.language", "_id"], Demand::Plain),
    ("books", "words", &["words", "_id"], Demand::Plain),
    ("books", "author", &["authors.id", "_id"], Demand::Plain),
    ("books", "genre", &["genreKeys", "_id"], Demand::Plain),
    ("books", "currency", &["price.currency", "_id"], Demand::Plain),
    ("books", "latest_summary", &["latestSummary.promptVersion", "_id"], Demand::Plain),
    ("books", "isbn", &["isbn"], Demand::Unique),
    ("books", "import_key", &["importKey"], Demand::Unique),
    ("claims", "resource", &["resource"], Demand::Plain),
    ("claims", "expires_at", &["expiresAt"], Demand::Plain),
    ("jobs", "expires_at", &["expiresAt"], Demand::Plain),
    ("summaries", "latest", &["_id.book", "_id.contentHash", "-generatedAt"], Demand::Plain),
    ("summaries", "pending", &["pending"], Demand::Sparse),
    ("tallies", "by_key", &["_id.key", "_id.writer"], Demand::Plain),
    ("tallies", "expires_at", &["expiresAt"], Demand::Plain),
    ("tombstones", "at", &["at"], Demand::Plain),
];

/// Name of the unique index on ISBNs.
pub(super) const ISBN: &str = "isbn";

fn keys(fields: &[&str]) -> Document {
    let key = |field: &&str| match field.strip_prefix('-') {
        Some(field) => (field.to_owned(), Bson::Int32(-1)),
        None => ((*field).to_owned(), Bson::Int32(1)),
    };
    fields.iter().map(key).collect()
}

impl MongoStore {
    /// Makes the indexes that are missing. Each command is carried out whole or not, and may be repeated.
    pub(super) async fn create_indexes(&self) -> Result<(), StoreError> {
        let mut models: BTreeMap<&str, Vec<IndexModel>> = BTreeMap::new();
        for (collection, name, fields, demand) in INDEXES {
            let mut options = IndexOptions::default();
            options.name = Some((*name).to_owned());
            options.unique = (*demand == Demand::Unique).then_some(true);
            options.sparse = (*demand != Demand::Plain).then_some(true);
            let model = IndexModel::builder().keys(keys(fields)).options(options).build();
            models.entry(collection).or_default().push(model);
        }
        for (collection, models) in models {
            self.database.collection::<Document>(collection).create_indexes(models).await?;
        }
        Ok(())
    }

    /// What is missing or different: collection, index and how.
    pub(super) async fn wrong_indexes(&self) -> Result<Vec<String>, StoreError> {
        let mut there: BTreeMap<&str, BTreeMap<String, IndexModel>> = BTreeMap::new();
        for (collection, ..) in INDEXES {
            if there.contains_key(collection) {
                continue;
            }
            let listed = match self.database.collection::<Document>(collection).list_indexes().await {
                Ok(listed) => listed.try_collect::<Vec<_>>().await?,
                // 26: there is no such collection.
                Err(error) if error.code_is(26) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            let named =
                listed.into_iter().filter_map(|model| Some((model.options.as_ref()?.name.clone()?, model)));
            there.insert(collection, named.collect());
        }
        let mut wrong = Vec::new();
        for (collection, name, fields, demand) in INDEXES {
            let Some(found) = there.get(collection).and_then(|found| found.get(*name)) else {
                wrong.push(format!("{collection} has no index {name}"));
                continue;
            };
            let options = found.options.clone().unwrap_or_default();
            // Servers answer 1 as a number of any kind.
            let same_keys =
                found
                    .keys
                    .iter()
                    .map(|(field, sign)| (field.clone(), sign_of(sign)))
                    .eq(keys(fields).iter().map(|(field, sign)| (field.clone(), sign_of(sign))));
            let unique = options.unique.unwrap_or(false);
            if !same_keys || unique != (*demand == Demand::Unique) {
                wrong.push(format!("index {name} of {collection} is not what this version makes"));
            }
        }
        Ok(wrong)
    }
}

fn sign_of(sign: &Bson) -> i64 {
    match sign {
        Bson::Int32(sign) => i64::from(*sign),
        Bson::Int64(sign) => *sign,
        Bson::Double(sign) if *sign < 0.0 => -1,
        Bson::Double(_) => 1,
        _ => 0,
    }
}

/// The server's number for an error.
pub(super) trait Code {
    /// Whether it is this one.
    fn code_is(&self, code: i32) -> bool;
}

impl Code for mongodb::error::Error {
    fn code_is(&self, code: i32) -> bool {
        matches!(self.kind.as_ref(), mongodb::error::ErrorKind::Command(error) if error.code == code)
    }
}
