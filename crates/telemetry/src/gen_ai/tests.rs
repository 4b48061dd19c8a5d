//! Spans and metrics of LLM calls, as they leave.
