//! The commands and what belongs to one of them only.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do; without one, serve.
#[derive(Clone, Debug, Default, Subcommand)]
pub enum Command {
    /// Serve until told to stop (the default)
    #[default]
    Serve,
    /// Stand in front of a real provider and record what goes by
    Record(RecordArguments),
    /// Estimate a profile from recordings and print how well it fits
    Fit(FitArguments),
    /// Serve recorded answers
    Replay(ReplayArguments),
    /// List the built-in profiles and where their figures come from
    Profiles,
    /// Ask the running simulator whether it lives; exit code 0 or 1
    Health,
}

/// `record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArguments {
    /// The provider, such as http://127.0.0.1:11434 or https://api.openai.com
    #[arg(long, value_name = "URL")]
    pub upstream: String,
    /// File for the recordings; what it holds is kept, new ones are added
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Keep requests whole or as hashes, by which replay still finds them
    #[arg(long, value_enum, default_value = "hashed")]
    pub requests: Kept,
    /// Keep the words of answers, which replay needs, or their sizes and times only
    #[arg(long, value_enum, default_value = "whole")]
    pub answers: Replayed,
    /// Seconds to wait for the provider's answer to begin, and then for each further piece of it
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
}

/// How much of a request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kept {
    /// Hashes of its parts.
    Hashed,
    /// Its words, secrets removed.
    Whole,
}

/// How much of an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Replayed {
    /// Its words, secrets removed, and its timing.
    Whole,
    /// Sizes and timing, which is all that fitting needs.
    Timing,
}

/// `fit`.
#[derive(Args, Clone, Debug)]
pub struct FitArguments {
    /// Files that `record` wrote
    #[arg(required = true, value_name = "RECORDINGS")]
    pub recordings: Vec<PathBuf>,
    /// File for the profile
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Fit calls of this model only; needed where more than one was recorded
    #[arg(long, value_name = "MODEL")]
    pub only_model: Option<String>,
    /// Leave out lines that cannot be read, in place of refusing the file
    #[arg(long)]
    pub skip_broken: bool,
    /// Fewest calls that are enough
    #[arg(long, value_name = "CALLS", default_value_t = 200)]
    pub min_calls: usize,
}

/// `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArguments {
    /// Files that `record` wrote
    #[arg(required = true, value_name = "RECORDINGS")]
    pub recordings: Vec<PathBuf>,
    /// Take the time that was recorded, or none
    #[arg(long, value_enum, default_value = "recorded")]
    pub timing: RecordedTiming,
    /// What to do with a request that was not recorded
    #[arg(long, value_enum, default_value = "refuse")]
    pub misses: Misses,
    /// Leave out lines that cannot be read, in place of refusing the file
    #[arg(long)]
    pub skip_broken: bool,
}

/// How long a replayed answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecordedTiming {
    /// As long as it took.
    Recorded,
    /// No time at all.
    None,
}

/// What is done with a request that was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Misses {
    /// 404, with what was nearest.
    Refuse,
    /// An answer by the profile.
    Simulate,
}
