//! The options of `compare`, and their check.

use std::path::PathBuf;

use clap::Args;
use common_models::{ComparedMetric, StartComparison};

use super::{Check, given};
use crate::builds::{Variable, is_build};
use crate::comparisons::metrics;
use crate::scenarios;

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person at a terminal.
    #[default]
    Plain,
    /// For a pull request.
    Markdown,
    /// For a program.
    Json,
}

/// A comparison asked for on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareRequest {
    /// What a client would send; targets may be paths of builds.
    pub asked: StartComparison,
    /// Folder that each run of a build starts from a copy of.
    pub state: Option<PathBuf>,
    /// What the baseline's build is told.
    pub baseline_variables: Vec<Variable>,
    /// What the candidate's build is told.
    pub candidate_variables: Vec<Variable>,
    /// How to print it.
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub(super) struct CompareWritten {
    /// Name of a configured target, or a bookstore-api that is started for each of its runs: a binary's path, or image:REFERENCE
    baseline: String,
    /// What is judged: written the same way
    candidate: String,
    /// Name of the scenario [default: smoke]
    #[arg(long)]
    scenario: Option<String>,
    /// Measured load of each run, such as 10s; up to 10m [default: 10s]
    #[arg(long)]
    duration: Option<String>,
    /// Virtual users, 1 to 200 [default: the scenario's own]
    #[arg(long)]
    users: Option<String>,
    /// LLM provider to ask for summaries [default: the target's own]
    #[arg(long)]
    provider: Option<String>,
    /// The figure that decides: p50, p95, p99, rps, failedRate, tokensPerRequest, costUsdPerRequest or listCostUsdPerRequest [default: p95]
    #[arg(long)]
    metric: Option<String>,
    /// Chance of no false word in percent, 80 to 99.9 [default: 95]
    #[arg(long)]
    level: Option<String>,
    /// The smallest change that matters in percent, 0.1 to 100 [default: 5]
    #[arg(long)]
    min_effect: Option<String>,
    /// Exactly so many pairs of runs, 2 to 200 [default: 12 to 60, as the noise asks for]
    #[arg(long)]
    pairs: Option<String>,
    /// Decides which of a pair comes first; a whole number [default: drawn]
    #[arg(long)]
    seed: Option<String>,
    /// Folder of which each run of a build gets a copy as its DATA_DIR [default: an empty one]
    #[arg(long)]
    state: Option<String>,
    /// What both builds are told, NAME=VALUE, or NAME alone for this environment's value, which is never shown; may be repeated. A binary has this environment, an image has only what is named
    #[arg(long)]
    env: Vec<String>,
    /// What the baseline alone is told
    #[arg(long)]
    baseline_env: Vec<String>,
    /// What the candidate alone is told
    #[arg(long)]
    candidate_env: Vec<String>,
    /// Dollars that all runs together may spend; needed where a target bills [default: none]
    #[arg(long)]
    max_cost_usd: Option<String>,
    /// Print the comparison as JSON, and nothing else, on standard output
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print it as Markdown
    #[arg(long)]
    markdown: bool,
}

impl Check {
    pub(super) fn compare(&mut self, written: &CompareWritten) -> CompareRequest {
        let percent = |text: &str| {
            let text = text.trim_end_matches('%').trim_end();
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(|value| value / 100.0)
        };
        let asked = StartComparison {
            baseline: written.baseline.clone(),
            candidate: written.candidate.clone(),
            scenario: given(&written.scenario).map(str::to_owned),
            duration_seconds: self.read(
                "--duration",
                &written.duration,
                scenarios::seconds,
                "a duration such as 10s or 1m",
            ),
            users: self.read(
                "--users",
                &written.users,
                |text| text.parse().ok(),
                "a whole number from 1 to 200",
            ),
            provider: given(&written.provider).map(str::to_owned),
            primary: self.read::<ComparedMetric>(
                "--metric",
                &written.metric,
                metrics::named,
                &metrics::ALL.map(metrics::name).join(" or "),
            ),
            level: self.read("--level", &written.level, percent, "a percentage from 80 to 99.9"),
            minimum_effect: self.read(
                "--min-effect",
                &written.min_effect,
                percent,
                "a percentage from 0.1 to 100",
            ),
            pairs: self.read(
                "--pairs",
                &written.pairs,
                |text| text.parse().ok(),
                "a whole number from 2 to 200",
            ),
            max_cost_usd: self.read(
                "--max-cost-usd",
                &written.max_cost_usd,
                |text| text.parse().ok().filter(|most: &f64| most.is_finite() && *most >= 0.0),
                "dollars, such as 0.50",
            ),
            seed: self.read(
                "--seed",
                &written.seed,
                |text| text.parse().ok(),
                "a whole number from 0 to 2^64 - 1",
            ),
        };
        let format = match (written.json, written.markdown) {
            (true, _) => Format::Json,
            (false, true) => Format::Markdown,
            (false, false) => Format::Plain,
        };
        let baseline_variables =
            self.variables(&asked.baseline, "--baseline-env", &written.env, &written.baseline_env);
        let candidate_variables =
            self.variables(&asked.candidate, "--candidate-env", &written.env, &written.candidate_env);
        let state = given(&written.state).map(PathBuf::from);
        CompareRequest { asked, state, baseline_variables, candidate_variables, format }
    }

    /// What a side is told: of two of a name the later one counts, so its own over that of both.
    fn variables(&mut self, side: &str, own: &str, both: &[String], of_side: &[String]) -> Vec<Variable> {
        if !is_build(side) && !of_side.is_empty() {
            self.mistakes
                .push(format!("{own} is for a build that is started; {side} is a configured target"));
        }
        let mut variables: Vec<Variable> = Vec::new();
        for (option, text) in
            both.iter().map(|text| ("--env", text)).chain(of_side.iter().map(|text| (own, text)))
        {
            match Variable::parse(text, super::of_environment) {
                Ok(variable) => {
                    variables.retain(|earlier| earlier.name != variable.name);
                    variables.push(variable);
                }
                Err(wanted) => {
                    let name = text.split_once('=').map_or(text.as_str(), |(name, _)| name);
                    self.wrong(option, name, &wanted);
                }
            }
        }
        variables
    }

    fn read<T>(
        &mut self,
        name: &str,
        text: &Option<String>,
        read: impl Fn(&str) -> Option<T>,
        wanted: &str,
    ) -> Option<T> {
        let text = given(text)?;
        let value = read(text);
        if value.is_none() {
            self.wrong(name, text, wanted);
        }
        value
    }
}
