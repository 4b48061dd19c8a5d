//! Which traces are recorded: the standard names of `OTEL_TRACES_SAMPLER`
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration>).
//!
//! Read here, though the SDK would read them too: it takes a mistake for the default, and tells of it before
//! anybody listens.

use opentelemetry_sdk::trace::Sampler;

/// Which traces are recorded and exported. All have ids, whichever are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// As the caller decided, where there is one.
    parent_based: bool,
    /// What part of the others, from 0 to 1.
    ratio: f64,
}

impl Default for Sampling {
    /// As the caller decided; all of those that begin here.
    fn default() -> Self {
        Self { parent_based: true, ratio: 1.0 }
    }
}

impl Sampling {
    /// The sampler of a name (`OTEL_TRACES_SAMPLER`), with its argument (`OTEL_TRACES_SAMPLER_ARG`), which
    /// only the samplers by ratio read. Both empty where they are not given.
    ///
    /// # Errors
    /// In words, beginning with the variable that is wrong.
    pub fn parse(name: &str, argument: &str) -> Result<Self, String> {
        let (parent_based, kind) = match name.trim() {
            "" => (true, "always_on"),
            name => name.strip_prefix("parentbased_").map_or((false, name), |kind| (true, kind)),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio(argument.trim())?,
            _ => {
                return Err(format!(
                    "OTEL_TRACES_SAMPLER: {name:?} is none of always_on, always_off, traceidratio, \
                     parentbased_always_on, parentbased_always_off, parentbased_traceidratio"
                ));
            }
        };
        Ok(Self { parent_based, ratio })
    }

    /// Whether no trace at all is recorded that begins here.
    pub(crate) fn records_nothing(self) -> bool {
        self.ratio <= 0.0
    }

    /// The SDK's sampler.
    pub(crate) fn sampler(self) -> Sampler {
        let root = if self.ratio >= 1.0 {
            Sampler::AlwaysOn
        } else if self.ratio <= 0.0 {
            Sampler::AlwaysOff
        } else {
            Sampler::TraceIdRatioBased(self.ratio)
        };
        if self.parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
    }
}

fn ratio(argument: &str) -> Result<f64, String> {
    match argument {
        "" => Ok(1.0),
        text => text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| {
            format!("OTEL_TRACES_SAMPLER_ARG: {text:?} is not a number from 0 to 1, such as 0.1")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::Sampling;

    #[test]
    fn the_standard_names_and_their_argument() {
        let parsed = |name, argument| Sampling::parse(name, argument).unwrap();
        assert_eq!(parsed("", ""), Sampling::default());
        assert_eq!(parsed("parentbased_always_on", "nonsense"), Sampling::default());
        assert_eq!(parsed("always_off", ""), Sampling { parent_based: false, ratio: 0.0 });
        assert_eq!(parsed("traceidratio", "0.25"), Sampling { parent_based: false, ratio: 0.25 });
        assert_eq!(parsed("parentbased_traceidratio", ""), Sampling::default());
        for (name, argument, variable) in [
            ("xray", "", "OTEL_TRACES_SAMPLER:"),
            ("parentbased_", "", "OTEL_TRACES_SAMPLER:"),
            ("traceidratio", "half", "OTEL_TRACES_SAMPLER_ARG:"),
            ("traceidratio", "1.5", "OTEL_TRACES_SAMPLER_ARG:"),
            ("parentbased_traceidratio", "NaN", "OTEL_TRACES_SAMPLER_ARG:"),
        ] {
            let mistake = Sampling::parse(name, argument).unwrap_err();
            assert!(mistake.starts_with(variable), "{mistake}");
        }
    }
}
