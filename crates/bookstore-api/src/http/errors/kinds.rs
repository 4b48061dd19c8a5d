//! Every kind of problem that the service can answer: one table, from which problems are made and
//! the documentation is written.

use common_models::Problem;
use llm::ErrorKind;

/// A kind of problem.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// HTTP status.
    pub status: u16,
    /// Stable name.
    pub code: &'static str,
    /// The same for every occurrence.
    pub title: &'static str,
    /// When it happens and what to do; also the detail of an occurrence that has no more to say.
    pub detail: &'static str,
}

impl Kind {
    /// A problem of this kind, with its general detail.
    pub(crate) fn problem(&self) -> Problem {
        self.plain().with_detail(self.detail)
    }

    /// A problem of this kind with the words for this occurrence.
    pub(crate) fn saying(&self, detail: impl Into<String>) -> Problem {
        self.plain().with_detail(detail)
    }

    /// A problem of this kind without a detail.
    pub(crate) fn plain(&self) -> Problem {
        Problem::new(self.status, self.code, self.title)
    }
}

macro_rules! kinds {
    ($($name:ident: $status:literal $code:literal, $title:literal, $detail:literal;)+) => {
        $(pub(crate) const $name: Kind = Kind { status: $status, code: $code, title: $title, detail: $detail };)+
        /// All of them, by status.
        pub(crate) const ALL: &[Kind] = &[$($name),+];
    };
}

kinds! {
    MALFORMED_JSON: 400 "malformed_json", "The body is not well-formed JSON",
        "The detail says where; JSON nested deeper than 127 levels counts as malformed too.";
    MALFORMED_PATH: 400 "malformed_path", "A parameter in the path is malformed", "Ids are UUIDs.";
    MALFORMED_QUERY: 400 "malformed_query", "A query parameter is malformed or unknown",
        "The detail names it; a parameter that is sent twice is malformed.";
    BODY_UNREADABLE: 400 "body_unreadable", "The body could not be read whole",
        "The connection broke or the framing was wrong; send it again.";
    HOST_MISSING: 400 "host_missing", "The request names no valid host",
        "Send a Host header with the name under which you reach this service.";
    BAD_CURSOR: 400 "bad_cursor", "The cursor does not belong to this list",
        "Take nextCursor from an answer to the same query, or start without a cursor.";
    BAD_CONDITION: 400 "bad_condition", "If-Match or If-None-Match is malformed",
        "Send * or a list of entity tags in double quotes, such as \"3\", \"4\".";
    BAD_IDEMPOTENCY_KEY: 400 "bad_idempotency_key", "The Idempotency-Key is not usable",
        "Send one Idempotency-Key of 1 to 255 visible ASCII characters; a UUID is a good one.";
    UNKNOWN_PROVIDER: 400 "unknown_provider", "There is no such LLM provider", "The detail lists those there are.";
    PROVIDER_NOT_CONFIGURED: 400 "provider_not_configured", "This LLM provider is not set up here",
        "The detail lists those that are.";
    TOKEN_REQUIRED: 401 "token_required", "This needs the API token",
        "Send Authorization: Bearer with the API_TOKEN of the service.";
    UNKNOWN_API_KEY: 401 "unknown_api_key", "No tenant has this X-Api-Key",
        "Send the key that `bookstore-api tenant-key` printed, or none: then it is on the default tenant's account.";
    CROSS_ORIGIN: 403 "cross_origin", "Pages of other origins may not change anything here",
        "Send the request from a page of this service or from a program.";
    OTHER_TENANT: 403 "other_tenant", "A tenant's key shows what that tenant spends",
        "Leave `tenant` out, or send the API token in place of X-Api-Key.";
    BOOK_NOT_FOUND: 404 "book_not_found", "There is no such book", "No book has this id.";
    AUTHOR_NOT_FOUND: 404 "author_not_found", "There is no such author", "No author has this id.";
    IMPORT_NOT_FOUND: 404 "import_not_found", "There is no such import",
        "No import has this id; imports are forgotten after a week.";
    ROUTE_NOT_FOUND: 404 "route_not_found", "There is nothing at this path", "This documentation lists the paths there are.";
    METHOD_NOT_ALLOWED: 405 "method_not_allowed", "This path does not take this method",
        "The Allow header lists what it takes.";
    NOT_ACCEPTABLE: 406 "not_acceptable", "The answer comes in no media type that you accept",
        "Accept application/json, or text/event-stream for a streamed answer.";
    BODY_TOO_SLOW: 408 "body_too_slow", "The body did not arrive in time",
        "Send less at once or over a faster line.";
    ISBN_TAKEN: 409 "isbn_taken", "Another book has this ISBN",
        "An ISBN belongs to one book; correct it or leave it out.";
    AUTHOR_HAS_BOOKS: 409 "author_has_books", "The author still has books",
        "Say what happens to them: ?books=detach takes the author off them, ?books=delete deletes them too.";
    CONCURRENT_CHANGES: 409 "concurrent_changes", "Others keep changing this",
        "Nothing was changed; send the patch again.";
    PRECONDITION_FAILED: 412 "precondition_failed", "It has another version than you expect",
        "Somebody changed it meanwhile: read it again and send your change with the ETag it has now.";
    BODY_TOO_LARGE: 413 "body_too_large", "The body is too large",
        "Send less, or use the import for many books at once.";
    UNSUPPORTED_MEDIA_TYPE: 415 "unsupported_media_type", "The body is of the wrong media type",
        "The detail says which Content-Type is taken.";
    HOST_NOT_ALLOWED: 421 "host_not_allowed", "This service does not answer under this host name",
        "ALLOWED_HOSTS can add the name.";
    VALIDATION_FAILED: 422 "validation_failed", "The request is not valid",
        "One entry in errors for each field or parameter that is wrong.";
    IDEMPOTENCY_KEY_REUSED: 422 "idempotency_key_reused", "The Idempotency-Key was used for another request",
        "A key stands for one request with one content for 24 hours; take a new key for a new request.";
    UNUSABLE_FILE: 422 "unusable_file", "The file cannot be imported", "The detail says what it lacks.";
    LLM_REFUSED: 422 "llm_refused", "The LLM provider refused this content", "Another provider may not.";
    LLM_CONTEXT_TOO_LONG: 422 "llm_context_too_long", "The book's text is too long for the model",
        "Shorten the description, or ask a provider with a larger model.";
    PRECONDITION_REQUIRED: 428 "precondition_required", "This write needs If-Match",
        "Read it, and send If-Match with the ETag you got, or * to overwrite whatever is there.";
    LLM_LIMIT_REACHED: 429 "llm_limit_reached", "A limit of yours or of this service is used up",
        "Retry-After says when to ask again; the detail says which limit and what is left.";
    INTERNAL_ERROR: 500 "internal_error", "Something went wrong inside the service",
        "The failure was logged under this trace id; trying again may help.";
    LLM_UNAUTHORIZED: 502 "llm_unauthorized", "The LLM provider refused our credentials",
        "The operator has to correct them.";
    LLM_BAD_REQUEST: 502 "llm_bad_request", "The LLM provider does not accept our request",
        "The operator has to correct the model or address.";
    LLM_BAD_ANSWER: 502 "llm_bad_answer", "The LLM provider's answer cannot be used", "Ask again, or another provider.";
    UNSAFE_ANSWER: 502 "unsafe_answer", "The LLM provider's answer is not fit to be served",
        "It was neither stored nor cached. Look at the book's text: it may speak to the model; or ask another provider.";
    STORE_UNAVAILABLE: 503 "store_unavailable", "The store cannot be reached",
        "A write may have been carried out all the same: read before you send it again, or send it with an Idempotency-Key.";
    TOO_MANY_IMPORTS: 503 "too_many_imports", "Other imports have to end first", "Send the file again later.";
    NOT_READY: 503 "not_ready", "The service is not ready", "A dependency is down; the detail names it.";
    STOPPING: 503 "stopping", "The service is stopping",
        "Requests under way are finished; send new ones elsewhere.";
    OVERLOADED: 503 "overloaded", "The service has too much to do",
        "As many requests as it takes at once are under way; send it again in a second.";
    BUDGET_UNAVAILABLE: 503 "budget_unavailable", "It cannot be found out what may still be spent",
        "What costs nothing goes on; Retry-After says when to ask again.";
    LLM_RATE_LIMITED: 503 "llm_rate_limited", "The LLM provider limits our requests", "Retry-After says when to ask again.";
    LLM_OVERLOADED: 503 "llm_overloaded", "The LLM provider is overloaded", "Retry-After says when to ask again.";
    LLM_UNAVAILABLE: 503 "llm_unavailable", "The LLM provider cannot be reached or failed",
        "Retry-After says when to ask again.";
    DEADLINE_EXCEEDED: 504 "deadline_exceeded", "The request took too long",
        "A write may have been carried out all the same: read before you send it again.";
    LLM_TIMEOUT: 504 "llm_timeout", "The LLM provider did not answer in time", "Ask again, or another provider.";
}

/// The kind of a provider's failure.
pub(crate) const fn llm(kind: ErrorKind) -> Kind {
    match kind {
        ErrorKind::RateLimited => LLM_RATE_LIMITED,
        ErrorKind::Overloaded => LLM_OVERLOADED,
        ErrorKind::Unavailable => LLM_UNAVAILABLE,
        ErrorKind::Timeout => LLM_TIMEOUT,
        ErrorKind::Unauthorized => LLM_UNAUTHORIZED,
        ErrorKind::BadRequest => LLM_BAD_REQUEST,
        ErrorKind::BadAnswer => LLM_BAD_ANSWER,
        ErrorKind::Refused => LLM_REFUSED,
        ErrorKind::ContextTooLong => LLM_CONTEXT_TOO_LONG,
        ErrorKind::NotAdmitted => LLM_LIMIT_REACHED,
    }
}

/// The kind of this code.
pub(crate) fn of(code: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    #[test]
    fn codes_are_unique_and_sorted_by_status() {
        assert!(ALL.is_sorted_by_key(|kind| kind.status));
        assert_eq!(ALL.iter().map(|kind| kind.code).collect::<BTreeSet<_>>().len(), ALL.len());
        for kind in ALL {
            assert!(!kind.title.is_empty() && kind.detail.ends_with('.'), "{kind:?}");
        }
    }
}
