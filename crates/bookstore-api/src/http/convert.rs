//! Wire to domain and back.

use common_models as wire;
use llm::{Attempt, ProviderName, Refusal, TokenUsage, Usd};

use crate::book::{Author, AuthorDraft, Book, BookDraft, Price, Violation};
use crate::catalog::UseCaseError;
use crate::isbn::Isbn;
use crate::limits::{LimitKind, Scope};
use crate::spend::LimitState;
use crate::summaries::{Answer, Origin, milliseconds};

/// A book as clients see it.
pub(crate) fn book(book: Book) -> wire::Book {
    wire::Book {
        id: book.id,
        isbn: book.isbn.map(|isbn| isbn.to_string()),
        title: book.title,
        authors: book
            .authors
            .into_iter()
            .map(|author| wire::AuthorRef { id: author.id, name: author.name })
            .collect(),
        published_year: book.published_year,
        language: book.language,
        genres: book.genres,
        description: book.description,
        price: book.price.map(|price| wire::Price { amount: price.amount, currency: price.currency }),
        rating: book.rating,
        summary: book.summary,
        version: book.version,
        created_at: book.created_at,
        updated_at: book.updated_at,
    }
}

/// What a client wrote, as a draft.
pub(crate) fn book_draft(book: wire::WriteBook) -> Result<BookDraft, UseCaseError> {
    let isbn = match book.isbn.as_deref().map(Isbn::parse) {
        None => Ok(None),
        Some(Ok(isbn)) => Ok(Some(isbn)),
        Some(Err(error)) => {
            Err(Violation { field: "isbn".to_owned(), code: error.kind(), message: error.to_string() })
        }
    };
    let draft = BookDraft {
        isbn: isbn.as_ref().ok().cloned().flatten(),
        title: book.title,
        author_ids: book.author_ids,
        published_year: book.published_year,
        language: book.language,
        genres: book.genres,
        description: book.description,
        price: book.price.map(|price| Price { amount: price.amount, currency: price.currency }),
        rating: book.rating,
    };
    match isbn {
        Ok(_) => Ok(draft),
        // Together with whatever else is wrong.
        Err(violation) => Err(UseCaseError::Invalid([vec![violation], draft.violations()].concat())),
    }
}

/// A book as a client would write it to leave it as it is: what a patch is merged into.
pub(crate) fn write_book(book: &Book) -> wire::WriteBook {
    wire::WriteBook {
        isbn: book.isbn.as_ref().map(ToString::to_string),
        title: book.title.clone(),
        author_ids: book.authors.iter().map(|author| author.id).collect(),
        published_year: book.published_year,
        language: book.language.clone(),
        genres: book.genres.clone(),
        description: book.description.clone(),
        price: book
            .price
            .as_ref()
            .map(|price| wire::Price { amount: price.amount, currency: price.currency.clone() }),
        rating: book.rating,
    }
}

/// An author as clients see it.
pub(crate) fn author(author: Author) -> wire::Author {
    wire::Author {
        id: author.id,
        name: author.name,
        biography: author.biography,
        born_year: author.born_year,
        died_year: author.died_year,
        version: author.version,
        created_at: author.created_at,
        updated_at: author.updated_at,
    }
}

/// What a client wrote, as a draft.
pub(crate) fn author_draft(author: wire::WriteAuthor) -> AuthorDraft {
    AuthorDraft {
        name: author.name,
        biography: author.biography,
        born_year: author.born_year,
        died_year: author.died_year,
    }
}

/// An author as a client would write them to leave them as they are.
pub(crate) fn write_author(author: &Author) -> wire::WriteAuthor {
    wire::WriteAuthor {
        name: author.name.clone(),
        biography: author.biography.clone(),
        born_year: author.born_year,
        died_year: author.died_year,
    }
}

/// An answer as clients see it: tokens and dollars of this very request on top, those of the attempt
/// that made the text under `generation`.
pub(crate) fn summary(answer: Answer) -> wire::Summary {
    let Answer { summary, origin, usage: used, cost, attempts, arm, latency, first_chunk } = answer;
    let generation = wire::Generation {
        usage: wire::Usage {
            input_tokens: summary.input_tokens,
            output_tokens: summary.output_tokens,
            cached_input_tokens: summary.cached_input_tokens,
            cache_write_input_tokens: summary.cache_write_input_tokens,
            reasoning_output_tokens: summary.reasoning_output_tokens,
            source: source(summary.reported),
        },
        cost_usd: summary.cost_usd,
        list_cost_usd: summary.list_cost_usd,
        latency_ms: summary.latency_ms,
        time_to_first_chunk_ms: summary.first_chunk_ms,
    };
    wire::Summary {
        book_id: summary.book_id,
        summary: summary.text,
        provider: summary.provider,
        model: summary.model,
        simulated: summary.simulated,
        usage: usage(&used),
        cost_usd: cost.billed_usd(),
        list_cost_usd: cost.list_usd(),
        latency_ms: milliseconds(latency),
        time_to_first_chunk_ms: first_chunk.map(milliseconds),
        cached: origin != Origin::Provider,
        generated_at: summary.generated_at,
        generation,
        attempts: attempts.into_iter().map(attempt).collect(),
        request_id: summary.request_id,
        experiment: arm.as_ref().map(|arm| arm.experiment.clone()),
        arm: arm.as_ref().map(|arm| arm.arm.clone()),
        trace_id: telemetry::current_trace_id(),
    }
}

fn usage(usage: &TokenUsage) -> wire::Usage {
    wire::Usage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cached_input_tokens: usage.cached_input,
        cache_write_input_tokens: usage.cache_write_input,
        reasoning_output_tokens: usage.reasoning_output,
        source: source(usage.reported),
    }
}

const fn source(reported: bool) -> wire::UsageSource {
    if reported { wire::UsageSource::Reported } else { wire::UsageSource::Estimated }
}

fn attempt(attempt: Attempt) -> wire::Attempt {
    wire::Attempt {
        number: attempt.number,
        provider: attempt.provider.as_str().to_owned(),
        model: attempt.model,
        outcome: attempt.error.unwrap_or("ok").to_owned(),
        latency_ms: milliseconds(attempt.latency),
        request_id: attempt.request_id,
    }
}

/// What is left of a limit as clients see it.
pub(crate) fn limit(state: LimitState) -> wire::LimitState {
    let figure = |figure| figure_of(state.kind, figure);
    wire::LimitState {
        scope: state.scope.as_str().to_owned(),
        tenant: match &state.scope {
            Scope::Global => None,
            Scope::Tenant(tenant) => Some(tenant.to_string()),
        },
        kind: state.kind.as_str().to_owned(),
        limit: figure(state.limit),
        left: figure(state.left),
        resets_at: state.resets_at,
    }
}

/// The limit that did not let a call in; none where it was not known what is left.
pub(crate) fn refusal(refusal: &Refusal) -> Option<wire::LimitState> {
    let Refusal::Limit { scope, kind, limit, left, resets_at } = refusal else { return None };
    let figure = |figure| LimitKind::named(kind).map(|kind| figure_of(kind, figure));
    Some(wire::LimitState {
        scope: (*scope).to_owned(),
        tenant: None,
        kind: (*kind).to_owned(),
        limit: figure(*limit)?,
        left: figure(*left)?,
        resets_at: (*resets_at).into(),
    })
}

/// A limit's figure in dollars, tokens or calls.
#[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
const fn figure_of(kind: LimitKind, figure: u64) -> f64 {
    match kind {
        LimitKind::DailyBudget => Usd::from_nanos(figure).dollars(),
        LimitKind::TokensPerMinute | LimitKind::RequestsPerMinute => figure as f64,
    }
}

/// The names of all providers, for error texts.
pub(crate) fn provider_names() -> String {
    ProviderName::ALL.map(ProviderName::as_str).join(", ")
}
