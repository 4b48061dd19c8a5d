//! Amounts as people read them: counts, shares, times and dollars.
//!
//! Owns rounding and units. Must not know what is counted. What is not known shows as a dash.

use minijinja::Environment;

const UNKNOWN: &str = "\u{2013}";

/// Makes the formats known to templates as the filters `count`, `share`, `ms`, `usd`, `rate`,
/// `duration` and `clock`.
pub(super) fn register(page: &mut Environment<'_>) {
    page.add_filter("count", |value: Option<f64>| count(value));
    page.add_filter("share", |value: Option<f64>| share(value));
    page.add_filter("ms", |value: Option<f64>| milliseconds(value));
    page.add_filter("usd", |value: Option<f64>| dollars(value));
    page.add_filter("rate", |value: Option<f64>| rate(value));
    page.add_filter("duration", |value: Option<f64>| duration(value));
    page.add_filter("clock", |value: Option<f64>| clock(value));
}

/// A whole number with its thousands apart: `12,345`.
pub(super) fn count(value: Option<f64>) -> String {
    known(value).map_or_else(unknown, |value| grouped(&format!("{value:.0}")))
}

/// A share of 0 to 1 in percent; a small one is never rounded to none, nor a large one to all.
pub(super) fn share(value: Option<f64>) -> String {
    let Some(percent) = known(value).map(|value| value * 100.0) else { return unknown() };
    match percent {
        0.0 => "0 %".to_owned(),
        100.0 => "100 %".to_owned(),
        small if small < 0.01 => "<0.01 %".to_owned(),
        large if large > 99.99 => ">99.99 %".to_owned(),
        percent if (0.995..99.0).contains(&percent) => format!("{} %", trimmed(&format!("{percent:.1}"))),
        percent => format!("{} %", trimmed(&format!("{percent:.2}"))),
    }
}

/// Milliseconds, or seconds from 1,000 on, in about three digits.
pub(super) fn milliseconds(value: Option<f64>) -> String {
    let Some(value) = known(value) else { return unknown() };
    match value {
        value if value < 9.995 => format!("{value:.2} ms"),
        value if value < 99.95 => format!("{value:.1} ms"),
        value if value < 999.5 => format!("{value:.0} ms"),
        value if value < 9_995.0 => format!("{:.2} s", value / 1000.0),
        value if value < 99_950.0 => format!("{:.1} s", value / 1000.0),
        value => format!("{} s", grouped(&format!("{:.0}", value / 1000.0))),
    }
}

/// Dollars: cents as usual, and as many decimals as a smaller amount needs, up to nine.
pub(super) fn dollars(value: Option<f64>) -> String {
    let Some(value) = known(value) else { return unknown() };
    match value {
        value if value == 0.0 || value >= 1.0 => {
            let text = format!("{value:.2}");
            let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
            format!("${}.{cents}", grouped(whole))
        }
        value if value >= 0.01 => format!("${value:.4}"),
        value if value >= 0.0001 => format!("${value:.6}"),
        value => format!("${value:.9}"),
    }
}

/// Events a second.
pub(super) fn rate(value: Option<f64>) -> String {
    let Some(value) = known(value) else { return unknown() };
    match value {
        value if value < 99.95 => format!("{value:.1}"),
        value => grouped(&format!("{value:.0}")),
    }
}

/// How long something took, from seconds: `18.2 s`, `2 min 5 s`, `1 h 2 min`.
pub(super) fn duration(value: Option<f64>) -> String {
    let Some(value) = known(value) else { return unknown() };
    if value < 59.95 {
        return format!("{} s", trimmed(&format!("{value:.1}")));
    }
    let whole = value.round();
    let (hours, minutes, seconds) = ((whole / 3600.0).floor(), (whole % 3600.0 / 60.0).floor(), whole % 60.0);
    match (hours, seconds) {
        (0.0, 0.0) => format!("{minutes} min"),
        (0.0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// A moment of a run from seconds since its start: `1:02.3`.
pub(super) fn clock(value: Option<f64>) -> String {
    let Some(value) = known(value) else { return unknown() };
    let tenths = (value * 10.0).round();
    format!("{}:{:04.1}", (tenths / 600.0).floor(), tenths % 600.0 / 10.0)
}

fn known(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value >= 0.0)
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches('0').trim_end_matches('.')
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(
            [0.0, 999.0, 1000.0, 1234567.0].map(|n| count(Some(n))),
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned)
        );
    }

    #[test]
    fn shares_never_round_something_to_nothing() {
        assert_eq!(
            [0.0, 0.00001, 0.0012, 0.01, 0.32, 0.5, 0.9951, 0.999999, 1.0].map(|n| share(Some(n))),
            ["0 %", "<0.01 %", "0.12 %", "1 %", "32 %", "50 %", "99.51 %", ">99.99 %", "100 %"]
                .map(str::to_owned)
        );
    }

    #[test]
    fn times_keep_three_digits_and_change_their_unit() {
        assert_eq!(
            [0.0, 0.125, 9.999, 41.26, 99.96, 412.4, 999.9, 1240.0, 61_230.0, 3_600_000.0]
                .map(|n| milliseconds(Some(n))),
            [
                "0.00 ms", "0.12 ms", "10.0 ms", "41.3 ms", "100 ms", "412 ms", "1.00 s", "1.24 s", "61.2 s",
                "3,600 s"
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn dollars_show_the_smallest_amounts() {
        assert_eq!(
            [0.0, 0.000000004, 0.00144, 0.25, 12.5, 1234.5].map(|n| dollars(Some(n))),
            ["$0.00", "$0.000000004", "$0.001440", "$0.2500", "$12.50", "$1,234.50"].map(str::to_owned)
        );
    }

    #[test]
    fn durations_and_moments_read_like_a_watch() {
        assert_eq!(
            [0.4, 18.2, 59.99, 120.0, 125.0, 3720.0].map(|n| duration(Some(n))),
            ["0.4 s", "18.2 s", "1 min", "2 min", "2 min 5 s", "1 h 2 min"].map(str::to_owned)
        );
        assert_eq!(
            [0.0, 9.96, 62.34, 59.97].map(|n| clock(Some(n))),
            ["0:00.0", "0:10.0", "1:02.3", "1:00.0"].map(str::to_owned)
        );
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_not_a_zero() {
        for shown in [count, share, milliseconds, dollars, rate, duration, clock] {
            assert_eq!(
                [None, Some(f64::NAN), Some(f64::INFINITY)].map(shown),
                [UNKNOWN; 3].map(str::to_owned)
            );
        }
    }
}
