//! Summaries, tokens and dollars by provider and model.
//!
//! Owns what is summed and what stays unknown: a price that is not known for one summary is not
//! known for the sum. Usage and cost of an answer are those of its request, zero where no provider
//! was called, so all of them can be added up.

use std::collections::BTreeMap;

use statistics::Quantiles;

use super::{OTHERS, shortened, whole};
use crate::results::LlmRow;
use crate::samples::{Metric, Phase, Sample};

/// Providers and models kept apart.
const MOST_ROWS: usize = 40;
/// The wire contract gives dollars with nine decimals.
const DECIMALS: f64 = 1e9;

/// Sums over all providers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) summaries: u64,
    pub(super) cached: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cost_usd: Option<f64>,
    pub(super) list_cost_usd: Option<f64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Llm {
    rows: BTreeMap<(String, String), Row>,
    simulated: bool,
}

#[derive(Clone, Debug, Default)]
struct Row {
    summaries: u64,
    cached: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: f64,
    list_cost_usd: f64,
    list_costs: u64,
    unknown: u64,
    first_chunk: Quantiles,
    generation: Quantiles,
}

impl Row {
    fn cost(&self) -> Option<f64> {
        (self.unknown == 0).then(|| rounded(self.cost_usd))
    }

    /// A list price is left out of an answer where it is not known, so some are missing then.
    fn list_cost(&self) -> Option<f64> {
        (self.list_costs >= self.summaries).then(|| rounded(self.list_cost_usd))
    }
}

impl Llm {
    pub(super) const fn is_simulated(&self) -> bool {
        self.simulated
    }

    pub(super) fn add(&mut self, sample: &Sample<'_>, phase: Phase) {
        let tags = &sample.tags;
        self.simulated |= tags.is_simulated();
        if phase != Phase::Measured {
            return;
        }
        let mut key = (shortened(tags.get("provider")), shortened(tags.get("model")));
        if self.rows.len() >= MOST_ROWS && !self.rows.contains_key(&key) {
            key = (OTHERS.to_owned(), OTHERS.to_owned());
        }
        let row = self.rows.entry(key).or_default();
        let count = whole(sample.value);
        match sample.metric {
            Metric::Summaries => {
                row.summaries += count;
                if tags.is_cached() {
                    row.cached += count;
                }
            }
            Metric::InputTokens => row.input_tokens += count,
            Metric::OutputTokens => row.output_tokens += count,
            Metric::Cost => row.cost_usd += sample.value,
            Metric::ListCost => {
                row.list_cost_usd += sample.value;
                row.list_costs += 1;
            }
            Metric::CostUnknown => row.unknown += count,
            Metric::FirstChunk if !tags.is_cached() => row.first_chunk.record(sample.value),
            Metric::Generation if !tags.is_cached() => row.generation.record(sample.value),
            Metric::FirstChunk
            | Metric::Generation
            | Metric::Duration
            | Metric::Failed
            | Metric::Users
            | Metric::Check
            | Metric::TokensPerRequest
            | Metric::CostPerRequest
            | Metric::ListCostPerRequest
            | Metric::UnfinishedVisits
            | Metric::CostAtMost
            | Metric::FailedCalls
            | Metric::MeasuredSeconds
            | Metric::DroppedIterations => {}
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let nothing = Totals { cost_usd: Some(0.0), list_cost_usd: Some(0.0), ..Totals::default() };
        self.rows.values().fold(nothing, |sum, row| Totals {
            summaries: sum.summaries + row.summaries,
            cached: sum.cached + row.cached,
            input_tokens: sum.input_tokens + row.input_tokens,
            output_tokens: sum.output_tokens + row.output_tokens,
            cost_usd: sum.cost_usd.zip(row.cost()).map(|(a, b)| rounded(a + b)),
            list_cost_usd: sum.list_cost_usd.zip(row.list_cost()).map(|(a, b)| rounded(a + b)),
        })
    }

    pub(super) fn rows(&self) -> Vec<LlmRow> {
        let mut rows: Vec<LlmRow> = self
            .rows
            .iter()
            .map(|((provider, model), row)| LlmRow {
                provider: provider.clone(),
                model: model.clone(),
                summaries: row.summaries,
                cached: row.cached,
                input_tokens: row.input_tokens,
                output_tokens: row.output_tokens,
                cost_usd: row.cost(),
                list_cost_usd: row.list_cost(),
                first_chunk_p50_ms: quantile(&row.first_chunk, 0.5),
                first_chunk_p95_ms: quantile(&row.first_chunk, 0.95),
                generation_p50_ms: quantile(&row.generation, 0.5),
                generation_p95_ms: quantile(&row.generation, 0.95),
            })
            .collect();
        rows.sort_by(|a, b| {
            b.summaries.cmp(&a.summaries).then_with(|| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)))
        });
        rows
    }
}

fn quantile(values: &Quantiles, q: f64) -> Option<f64> {
    (values.count() > 0).then(|| values.quantile(q))
}

fn rounded(dollars: f64) -> f64 {
    (dollars * DECIMALS).round() / DECIMALS
}
