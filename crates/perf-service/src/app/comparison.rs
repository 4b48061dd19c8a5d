//! The command that compares two targets, two builds or two configurations of one.

use std::process::ExitCode;
use std::sync::Arc;

use common_models::{Comparison, ComparisonState, StartComparison, Verdict};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{AppError, INCONCLUSIVE, THRESHOLDS, open, runs_on};
use crate::builds::{self, Build, Variable, Workspace};
use crate::comparisons::store::files::FileComparisons;
use crate::comparisons::{Comparisons, ComparisonsError, Sides, text};
use crate::console;
use crate::ledger::Origin;
use crate::settings::{CompareRequest, Format, Settings};
use crate::targets::Target;

/// Names of builds as targets.
const BASELINE: &str = "baseline";
const CANDIDATE: &str = "candidate";

/// Compares two targets in this process, with progress on standard error and the verdict on standard
/// output. `stop` cancels it, and so does the terminal going away.
///
/// # Errors
/// When it cannot be started; what it came to is in the exit code.
pub async fn compare(
    settings: &Settings,
    request: &CompareRequest,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<ExitCode, AppError> {
    let mut settings = settings.clone();
    let mut asked = request.asked.clone();
    let sides = sides(&mut settings, &mut asked, request, &stop).await?;
    let ledger = open(&settings).await?;
    let runs = runs_on(Arc::clone(&ledger), &settings, metrics, Origin::Command)?;
    runs.recover().await?;
    let comparisons = Comparisons::new(runs.clone(), store(&settings).await?);
    comparisons.recover().await?;
    let comparison = comparisons.start(asked, sides).await?;
    console::say(&text::beforehand(&comparison));
    if let Some(mut progress) = comparisons.watch(comparison.id) {
        let ended = CancellationToken::new();
        let watching = async {
            let mut told = 0;
            while progress.changed().await.is_ok() {
                let now = progress.borrow_and_update().clone();
                if now.pairs.len() > told {
                    told = now.pairs.len();
                    console::say(&pair(&now));
                }
            }
            ended.cancel();
        };
        let stopping = async {
            tokio::select! {
                () = stop.cancelled() => comparisons.stop().await,
                () = console::hangup::hangup() => comparisons.stop().await,
                () = ended.cancelled() => {}
            }
        };
        tokio::join!(watching, stopping);
    }
    comparisons.stop().await;
    runs.stop().await;
    let comparison = comparisons.read(comparison.id).await?;
    match request.format {
        Format::Plain => console::tell(&text::plain(&comparison)),
        Format::Markdown => console::tell(&text::markdown(&comparison)),
        // Strings and finite numbers only: this cannot fail.
        Format::Json => console::tell(&serde_json::to_string_pretty(&comparison).unwrap_or_default()),
    }
    Ok(exit_code(&comparison))
}

pub(super) async fn store(settings: &Settings) -> Result<Arc<FileComparisons>, AppError> {
    let folder = settings.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || FileComparisons::open(&folder)).await;
    let opened = opened.map_err(|_| crate::comparisons::store::StoreError::BrokenOff);
    Ok(Arc::new(opened.and_then(|opened| opened).map_err(ComparisonsError::from)?))
}

/// Where a build was written, it takes the place of a configured target.
async fn sides(
    settings: &mut Settings,
    asked: &mut StartComparison,
    request: &CompareRequest,
    stop: &CancellationToken,
) -> Result<Sides, AppError> {
    let mut sides = Sides::as_they_are();
    if !builds::is_build(&asked.baseline) && !builds::is_build(&asked.candidate) {
        return Ok(sides);
    }
    let workspace = Arc::new(Workspace::open(&settings.data_dir).map_err(AppError::Build)?);
    if builds::is_build(&asked.baseline) {
        let written = std::mem::replace(&mut asked.baseline, BASELINE.to_owned());
        let build = build(&written, &workspace, &request.baseline_variables, request, settings)?;
        sides.baseline_build = Some(prepare(&build, BASELINE, settings, stop).await?);
        sides.baseline = Arc::new(build);
    }
    if builds::is_build(&asked.candidate) {
        let written = std::mem::replace(&mut asked.candidate, CANDIDATE.to_owned());
        let build = build(&written, &workspace, &request.candidate_variables, request, settings)?;
        sides.candidate_build = Some(prepare(&build, CANDIDATE, settings, stop).await?);
        sides.candidate = Arc::new(build);
    }
    Ok(sides)
}

fn build(
    written: &str,
    workspace: &Arc<Workspace>,
    variables: &[Variable],
    request: &CompareRequest,
    settings: &Settings,
) -> Result<Build, AppError> {
    let (workspace, state) = (Arc::clone(workspace), request.state.clone());
    Build::new(written, workspace, state, variables.to_vec(), &settings.docker).map_err(AppError::Build)
}

/// Makes a target of a build, and says which it is.
async fn prepare(
    build: &Build,
    name: &str,
    settings: &mut Settings,
    stop: &CancellationToken,
) -> Result<String, AppError> {
    let url = Url::parse(&format!("http://127.0.0.1:{}", build.port()))
        .map_err(|error| AppError::Build(error.to_string()))?;
    settings.targets.retain(|target| target.name != name);
    settings.targets.push(Target { name: name.to_owned(), url });
    let say = |text: String| console::say(&format_args!("{name}: {text}"));
    build.prepare(&say, stop).await.map_err(|why| AppError::Build(format!("{name}: {why}")))
}

fn pair(now: &Comparison) -> String {
    let made = now.pairs.len();
    let doubt = now.pairs.last().and_then(|pair| pair.left_out.as_deref());
    let plan = &now.plan;
    let of = if plan.least_pairs == plan.most_pairs {
        plan.most_pairs.to_string()
    } else {
        format!("{} to {}", plan.least_pairs, plan.most_pairs)
    };
    let wanted = plan.wanted_pairs.filter(|wanted| *wanted > plan.most_pairs);
    match doubt {
        None if wanted.is_some() && u32::try_from(made) == Ok(plan.least_pairs) => format!(
            "pair {made} of {of}; they spread so far that {} would be wanted for a small change, so only a large one will be told",
            wanted.map_or_else(String::new, |wanted| wanted.to_string())
        ),
        None => format!("pair {made} of {of}"),
        Some(doubt) => format!("pair {made} counts for nothing, because {doubt}"),
    }
}

fn exit_code(comparison: &Comparison) -> ExitCode {
    match (comparison.state, comparison.verdict) {
        (ComparisonState::Finished, Some(Verdict::Better | Verdict::Same)) => ExitCode::SUCCESS,
        (ComparisonState::Finished, Some(Verdict::Worse)) => ExitCode::from(THRESHOLDS),
        (ComparisonState::Finished, Some(Verdict::NotEnoughEvidence)) => ExitCode::from(INCONCLUSIVE),
        _ => ExitCode::FAILURE,
    }
}
