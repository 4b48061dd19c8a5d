//! The command that compares two targets or two builds.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use common_models::{Comparison, ComparisonState, StartComparison, Verdict};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{AppError, INCONCLUSIVE, THRESHOLDS, open, runs_on};
use crate::builds::{self, Build};
use crate::comparisons::store::files::FileComparisons;
use crate::comparisons::{AsItIs, Comparisons, ComparisonsError, Side, Sides, text};
use crate::console;
use crate::ledger::Origin;
use crate::settings::{CompareRequest, Format, Settings};
use crate::targets::Target;

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
    let sides = sides(&mut settings, &mut asked, request.state.as_deref())?;
    let ledger = open(&settings).await?;
    let runs = runs_on(Arc::clone(&ledger), &settings, metrics, Origin::Command)?;
    runs.recover().await?;
    let comparisons = Comparisons::new(runs.clone(), store(&settings).await?);
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

/// Where a path was written, a build takes the place of a configured target.
fn sides(
    settings: &mut Settings,
    asked: &mut StartComparison,
    state: Option<&Path>,
) -> Result<Sides, AppError> {
    let folder = settings.data_dir.join("builds");
    let mut side = |written: &mut String, name: &str| -> Result<Arc<dyn Side>, AppError> {
        if !builds::is_path(written) {
            return Ok(Arc::new(AsItIs));
        }
        let build = Build::new(Path::new(written), folder.clone(), state.map(Path::to_owned))
            .map_err(AppError::Build)?;
        let url = Url::parse(&format!("http://127.0.0.1:{}", build.port()))
            .map_err(|error| AppError::Build(error.to_string()))?;
        settings.targets.retain(|target| target.name != name);
        settings.targets.push(Target { name: name.to_owned(), url });
        name.clone_into(written);
        Ok(Arc::new(build))
    };
    let baseline = side(&mut asked.baseline, "baseline")?;
    let candidate = side(&mut asked.candidate, "candidate")?;
    Ok(Sides { baseline, candidate })
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
    match doubt {
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
