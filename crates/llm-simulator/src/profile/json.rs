//! A profile as a file: JSON, version 1.
//!
//! Owns how it is written, and checks everything when it is read. Figures keep seven significant
//! digits, far more than any measurement has, and so that what is read is what was written to the
//! last bit.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use statistics::QuantileTable;

use super::Profile;
use super::distribution::{Circumstances, Covariate, Distribution, Effect};
use super::errors::{Error, ErrorKind, Errors};
use super::goodness::Goodness;
use super::ranks::{COLUMNS, Ranks, Row};

/// The version that is written and read.
pub const VERSION: u32 = 1;
/// Longest file, in bytes.
pub const LONGEST: usize = 8 << 20;
/// Fewest tokens in a chunk, in the mean.
pub(super) const LEAST_PER_CHUNK: f64 = 0.01;
/// Longest name and source, in bytes.
const LONGEST_TEXT: usize = 2_000;
/// Most points of an effect.
const MOST_FACTORS: usize = 64;
/// Most kinds of failure.
const MOST_KINDS: usize = 64;

/// Why a text is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It is too long.
    #[error("it is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    /// It is not JSON, or a member is missing, unknown or of a wrong type.
    #[error("it is no profile: {0}")]
    Shape(String),
    /// It is of another version.
    #[error("it has version {0}, this program reads version {VERSION}; fit it again from its recordings")]
    Version(u64),
    /// A figure cannot be.
    #[error("{0}")]
    Figure(String),
}

impl ProfileError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Shape(_) => "shape",
            Self::Version(_) => "version",
            Self::Figure(_) => "figure",
        }
    }
}

/// The members, in the order in which they are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    name: String,
    source: String,
    output_tokens: Quantity,
    first_token_ms: Quantity,
    gap_ms: Quantity,
    ending_ms: Quantity,
    tokens_per_chunk: Quantity,
    gap_jitter: Vec<(f64, f64)>,
    ranks: Rows,
    errors: Vec<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errors_effect: Option<Factors>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fit: Option<Goodness>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    /// Shares and values.
    quantiles: Vec<(f64, f64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Factors>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Factors {
    of: Covariate,
    /// Values of the covariate and factors.
    factors: Vec<(f64, f64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// The circumstances that matter.
    by: Vec<Covariate>,
    /// Input tokens, concurrency, and the ranks.
    rows: Vec<(u64, u32, [u16; COLUMNS])>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    rate: f64,
    /// Milliseconds; for `cut`, the share of the answer.
    after: Vec<(f64, f64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<Vec<(f64, f64)>>,
}

/// Reads a profile.
pub(super) fn read(text: &str) -> Result<Profile, ProfileError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    if text.len() > LONGEST {
        return Err(ProfileError::TooLong);
    }
    let shape = |error: serde_json::Error| ProfileError::Shape(error.to_string());
    let Versioned { version } = serde_json::from_str(text).map_err(shape)?;
    if version != u64::from(VERSION) {
        return Err(ProfileError::Version(version));
    }
    let file: File = serde_json::from_str(text).map_err(shape)?;
    checked(file).map(rounded).map_err(ProfileError::Figure)
}

/// Writes a profile.
pub(super) fn write(profile: &Profile) -> Result<String, ProfileError> {
    let shape = |error: &dyn std::fmt::Display| ProfileError::Shape(error.to_string());
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, MemberLines { depth: 0 });
    written(profile).serialize(&mut serializer).map_err(|error| shape(&error))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|error| shape(&error))
}

/// One line a member, so that a difference between two profiles can be read.
struct MemberLines {
    /// Objects begun and not ended.
    depth: usize,
}

impl Formatter for MemberLines {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        let comma: &[u8] = if first { b"" } else { b"," };
        writer.write_all(comma)?;
        writer.write_all(if self.depth == 1 { b"\n  " } else { b"" })
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        writer.write_all(if self.depth == 0 { b"\n}" } else { b"}" })
    }
}

fn checked(file: File) -> Result<Profile, String> {
    let text = |name: &str, text: String| {
        if text.trim().is_empty() || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
            return Err(format!(
                "{name} is empty, longer than {LONGEST_TEXT} bytes or has control characters"
            ));
        }
        Ok(text)
    };
    if file.errors.len() > MOST_KINDS {
        return Err(format!("errors has {} kinds, {MOST_KINDS} are the most", file.errors.len()));
    }
    let kinds = file.errors.into_iter().map(error).collect::<Result<Vec<_>, _>>()?;
    let rate: f64 = kinds.iter().map(|error| error.rate).sum();
    if rate > 1.0 + 1e-6 {
        return Err(format!("the rates in errors add up to {rate}, which is more than 1"));
    }
    let effect = file.errors_effect.map(|factors| effect("errors_effect", factors)).transpose()?;
    Ok(Profile {
        name: text("name", file.name)?,
        source: text("source", file.source)?,
        output_tokens: quantity("output_tokens", file.output_tokens, 0.0, 1e7)?,
        first_token: quantity("first_token_ms", file.first_token_ms, 0.0, 1e8)?,
        gap: quantity("gap_ms", file.gap_ms, 0.0, 1e8)?,
        ending: quantity("ending_ms", file.ending_ms, 0.0, 1e8)?,
        tokens_per_chunk: quantity("tokens_per_chunk", file.tokens_per_chunk, LEAST_PER_CHUNK, 1e7)?,
        jitter: table("gap_jitter", file.gap_jitter, 0.0, 1e7)?,
        ranks: ranks(file.ranks)?,
        errors: Errors { kinds, effect },
        fit: file.fit,
    })
}

fn ranks(rows: Rows) -> Result<Ranks, String> {
    let row = |(input_tokens, concurrency, ranks)| Row {
        circumstances: Circumstances {
            input_tokens,
            concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
        },
        ranks,
    };
    Ranks::new(rows.rows.into_iter().map(row).collect(), rows.by).map_err(|error| format!("ranks: {error}"))
}

fn quantity(name: &str, quantity: Quantity, least: f64, most: f64) -> Result<Distribution, String> {
    let table = table(name, quantity.quantiles, least, most)?;
    let effects: Vec<Effect> =
        quantity.effects.into_iter().map(|factors| effect(name, factors)).collect::<Result<_, _>>()?;
    if effects.iter().enumerate().any(|(i, one)| effects.iter().take(i).any(|o| o.covariate == one.covariate))
    {
        return Err(format!("{name} has two effects of one covariate"));
    }
    Ok(Distribution { table, effects })
}

fn table(name: &str, knots: Vec<(f64, f64)>, least: f64, most: f64) -> Result<QuantileTable, String> {
    let table = QuantileTable::new(knots).map_err(|error| format!("{name}: {error}"))?;
    if table.knots().iter().any(|(_, value)| !(least..=most).contains(value)) {
        return Err(format!("{name}: its values have to lie between {least} and {most}"));
    }
    Ok(table)
}

fn effect(name: &str, Factors { of, factors }: Factors) -> Result<Effect, String> {
    let sound = |(value, factor): &(f64, f64)| (1.0..=1e12).contains(value) && (1e-6..=1e6).contains(factor);
    let rises = factors.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0));
    if factors.is_empty() || factors.len() > MOST_FACTORS || !factors.iter().all(sound) || !rises {
        return Err(format!(
            "{name}: the factors of {} have to be 1 to {MOST_FACTORS} pairs of rising values from 1 and factors above 0",
            of.as_str()
        ));
    }
    Ok(Effect { covariate: of, factors })
}

fn error(kind: Kind) -> Result<Error, String> {
    let Kind { kind: name, status, rate, after, retry_after_seconds } = kind;
    let kind = match (name.as_str(), status) {
        ("rate_limited", None) => ErrorKind::RateLimited,
        ("server_error", None) => ErrorKind::ServerError,
        ("unavailable", None) => ErrorKind::Unavailable,
        ("overloaded", None) => ErrorKind::Overloaded,
        ("reset", None) => ErrorKind::Reset,
        ("cut", None) => ErrorKind::Cut,
        ("status", Some(status @ 400..=599)) => ErrorKind::Status(status),
        _ => return Err(format!("errors: {name:?} with status {status:?} is no kind of failure")),
    };
    if !(0.0..=1.0).contains(&rate) {
        return Err(format!("errors: the rate of {name} is {rate}, which is not between 0 and 1"));
    }
    let most = if kind == ErrorKind::Cut { 1.0 } else { 1e8 };
    let retry_after = retry_after_seconds
        .map(|knots| table(&format!("errors: retry_after_seconds of {name}"), knots, 0.0, 1e6))
        .transpose()?;
    Ok(Error {
        kind,
        rate,
        after: table(&format!("errors: after of {name}"), after, 0.0, most)?,
        retry_after,
    })
}

impl ErrorKind {
    /// The name in a profile and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Reset => "reset",
            Self::Cut => "cut",
            Self::Status(_) => "status",
        }
    }
}

fn written(profile: &Profile) -> File {
    let factors = |effect: &Effect| Factors { of: effect.covariate, factors: effect.factors.clone() };
    let quantity = |distribution: &Distribution| Quantity {
        quantiles: distribution.table.knots().to_vec(),
        effects: distribution.effects.iter().map(factors).collect(),
    };
    let row = |row: &Row| {
        let Circumstances { input_tokens, concurrency } = row.circumstances;
        (input_tokens, u32::try_from(concurrency).unwrap_or(u32::MAX), row.ranks)
    };
    let kind = |error: &Error| Kind {
        kind: error.kind.as_str().to_owned(),
        status: if let ErrorKind::Status(status) = error.kind { Some(status) } else { None },
        rate: error.rate,
        after: error.after.knots().to_vec(),
        retry_after_seconds: error.retry_after.as_ref().map(|table| table.knots().to_vec()),
    };
    File {
        version: VERSION,
        name: profile.name.clone(),
        source: profile.source.clone(),
        output_tokens: quantity(&profile.output_tokens),
        first_token_ms: quantity(&profile.first_token),
        gap_ms: quantity(&profile.gap),
        ending_ms: quantity(&profile.ending),
        tokens_per_chunk: quantity(&profile.tokens_per_chunk),
        gap_jitter: profile.jitter.knots().to_vec(),
        ranks: Rows { by: profile.ranks.by().to_vec(), rows: profile.ranks.rows().iter().map(row).collect() },
        errors: profile.errors.kinds.iter().map(kind).collect(),
        errors_effect: profile.errors.effect.as_ref().map(factors),
        fit: profile.fit.clone(),
    }
}

/// The same profile with figures as a file holds them.
pub(crate) fn rounded(mut profile: Profile) -> Profile {
    let quantities = [
        &mut profile.output_tokens,
        &mut profile.first_token,
        &mut profile.gap,
        &mut profile.ending,
        &mut profile.tokens_per_chunk,
    ];
    for quantity in quantities {
        round_table(&mut quantity.table);
        quantity.effects.iter_mut().for_each(round_effect);
    }
    round_table(&mut profile.jitter);
    for error in &mut profile.errors.kinds {
        error.rate = digits(error.rate);
        round_table(&mut error.after);
        error.retry_after.iter_mut().for_each(round_table);
    }
    profile.errors.effect.iter_mut().for_each(round_effect);
    if let Some(fit) = &mut profile.fit {
        round_goodness(fit);
    }
    profile
}

fn round_table(table: &mut QuantileTable) {
    // Rounding keeps the order, so it stays a table.
    if let Ok(rounded) = table.map(|(share, value)| (digits(share), digits(value))) {
        *table = rounded;
    }
}

fn round_effect(effect: &mut Effect) {
    for (value, factor) in &mut effect.factors {
        (*value, *factor) = (digits(*value), digits(*factor));
    }
}

fn round_goodness(fit: &mut Goodness) {
    let pair = |(low, high): (f64, f64)| (digits(low), digits(high));
    for quantity in &mut fit.quantities {
        quantity.distance = digits(quantity.distance);
        quantity.p_value = digits(quantity.p_value);
        for quantile in &mut quantity.quantiles {
            quantile.q = digits(quantile.q);
            quantile.held_out = digits(quantile.held_out);
            quantile.interval = pair(quantile.interval);
            quantile.simulated = digits(quantile.simulated);
        }
    }
    for error in &mut fit.errors {
        error.fitted = digits(error.fitted);
        error.held_out = digits(error.held_out);
        error.interval = pair(error.interval);
    }
    for dependence in &mut fit.dependences {
        dependence.rho = digits(dependence.rho);
        dependence.p_value = digits(dependence.p_value);
        dependence.slope = dependence.slope.map(digits);
    }
}

/// Seven significant digits; nothing smaller than 10⁻¹², which `serde_json` would not read exactly.
fn digits(value: f64) -> f64 {
    if value.abs() < 1e-12 {
        return 0.0;
    }
    format!("{value:.6e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use statistics::QuantileTable;

    use super::super::distribution::{Circumstances, Covariate, Effect};
    use super::super::errors::{Error, ErrorKind};
    use super::super::ranks::Ranks;
    use super::{LONGEST, Profile, ProfileError, digits, rounded};

    /// A profile with everything that one can have.
    fn full() -> Profile {
        let mut profile = Profile::log_normal("a test", (120.0, 360.0), (8.0, 20.0), (90.0, 180.0)).unwrap();
        let effect =
            Effect { covariate: Covariate::Concurrency, factors: vec![(1.0, 1.0), (8.0, 10.0 / 3.0)] };
        profile.gap.effects.push(effect.clone());
        let at = |input_tokens| Circumstances { input_tokens, concurrency: 3 };
        let calls = [(at(7), [1.0, 2.0, 3.0, 4.0, 5.0]), (at(9), [5.0, 4.0, 3.0, 2.0, 1.0])];
        profile.ranks = Ranks::of(&calls, &Covariate::ALL);
        let error = |kind| Error {
            kind,
            rate: 1.0 / 7.0,
            after: QuantileTable::constant(1.0 / 3.0),
            retry_after: Some(QuantileTable::constant(2.0)),
        };
        profile.errors.kinds = vec![error(ErrorKind::RateLimited), error(ErrorKind::Status(502))];
        profile.errors.effect = Some(effect);
        rounded(profile)
    }

    #[test]
    fn a_profile_survives_being_written_and_read() {
        let text = full().to_json().unwrap();
        assert_eq!(Profile::from_json(&text).unwrap(), full());
        assert_eq!(text.lines().count(), 14, "{text}");
        assert!(text.starts_with("{\n  \"version\":1,\n  \"name\":"), "{text}");
    }

    #[test]
    fn seven_digits_are_kept() {
        assert_eq!(
            [1.0 / 3.0, -2e9 / 3.0, 1e-20, 0.0, 299_999.96].map(digits),
            [0.333_333_3, -666_666_700.0, 0.0, 0.0, 300_000.0]
        );
    }

    #[track_caller]
    fn refused(change: impl Fn(&mut Value), why: &str) {
        let mut value: Value = serde_json::from_str(&full().to_json().unwrap()).unwrap();
        let before = value.clone();
        change(&mut value);
        assert_ne!(value, before);
        let error = Profile::from_json(&value.to_string()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }

    #[test]
    fn figures_that_cannot_be_are_named() {
        refused(|v| v["gap_ms"]["quantiles"] = json!([]), "gap_ms: it has 0 knots");
        refused(
            |v| v["gap_ms"]["quantiles"] = json!([[0, 1], [0.5, 0], [1, 2]]),
            "gap_ms: knot 1 is smaller",
        );
        refused(
            |v| v["first_token_ms"]["quantiles"] = json!([[0, -1], [1, 2]]),
            "first_token_ms: its values",
        );
        refused(|v| v["ending_ms"]["quantiles"] = json!([[0.2, 1], [1, 2]]), "not from 0 to 1");
        refused(|v| v["tokens_per_chunk"]["quantiles"] = json!([[0, 0], [1, 2]]), "tokens_per_chunk");
        refused(|v| v["gap_jitter"] = json!([[0, 0], [1, 1e300]]), "gap_jitter");
        refused(|v| v["gap_jitter"] = json!([[0, null], [1, 1]]), "invalid type: null");
        refused(|v| v["ranks"]["rows"][0][2][0] = json!(1), "ranks: column 0");
        refused(|v| v["ranks"]["rows"][0] = json!([1, 2, [3]]), "invalid length 1");
        refused(|v| v["ranks"]["rows"][0][0] = json!(-1), "invalid value");
        refused(|v| v["ranks"]["by"] = json!(["concurrency", "concurrency"]), "a covariate twice");
        refused(|v| v["errors"][0]["rate"] = json!(1.5), "rate of rate_limited is 1.5");
        refused(|v| v["errors"][0]["rate"] = json!(0.95), "add up to");
        refused(|v| v["errors"][0]["kind"] = json!("gone"), "is no kind of failure");
        refused(|v| v["errors"][1]["status"] = json!(200), "is no kind of failure");
        refused(|v| v["gap_ms"]["effects"][0]["factors"] = json!([[8, 1], [1, 2]]), "rising values");
        refused(|v| v["gap_ms"]["effects"][0]["factors"] = json!([[1, 0]]), "factors above 0");
        refused(|v| v["gap_ms"]["effects"][0]["of"] = json!("moon"), "unknown variant");
        refused(|v| v["name"] = json!(""), "name is empty");
        refused(|v| v["source"] = json!("a\u{1b}[2J"), "control characters");
        refused(|v| v["speed"] = json!(1), "unknown field `speed`");
        refused(|v| drop(v.as_object_mut().unwrap().remove("gap_ms")), "missing field `gap_ms`");
    }

    #[test]
    fn what_is_no_profile_of_this_version_is_refused() {
        let kind = |text: &str| Profile::from_json(text).unwrap_err().kind();
        assert_eq!(kind(""), "shape");
        assert_eq!(kind("[]"), "shape");
        assert_eq!(kind("{}"), "shape");
        assert_eq!(kind(r#"{"version": -1}"#), "shape");
        assert_eq!(Profile::from_json(r#"{"version": 2}"#), Err(ProfileError::Version(2)));
        assert_eq!(kind(&full().to_json().unwrap().replace("8.0,", "NaN,")), "shape");
        assert_eq!(kind(&"[".repeat(100_000)), "shape");
        assert_eq!(kind(&" ".repeat(LONGEST + 1)), "too_long");
    }
}
