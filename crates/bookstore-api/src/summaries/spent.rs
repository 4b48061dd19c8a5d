//! What a request used up, over all its attempts. Pure.

use llm::{Attempt, Cost, TokenUsage};

/// The usage of a request that called nobody.
pub const NOTHING: TokenUsage = TokenUsage {
    input: 0,
    output: 0,
    cached_input: 0,
    cache_write_input: 0,
    reasoning_output: 0,
    reported: true,
};

/// Tokens of all attempts, failed ones included; estimated as soon as one of them is.
#[must_use]
pub fn usage(attempts: &[Attempt]) -> TokenUsage {
    attempts.iter().filter_map(|attempt| attempt.usage).fold(NOTHING, |sum, one| TokenUsage {
        input: sum.input + one.input,
        output: sum.output + one.output,
        cached_input: sum.cached_input + one.cached_input,
        cache_write_input: sum.cache_write_input + one.cache_write_input,
        reasoning_output: sum.reasoning_output + one.reasoning_output,
        reported: sum.reported && one.reported,
    })
}

/// Dollars of all attempts; not known as soon as those of one of them are not.
#[must_use]
pub fn cost(attempts: &[Attempt]) -> Cost {
    attempts.iter().map(|attempt| attempt.cost).fold(Cost::NOTHING, Cost::plus)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llm::{Attempt, Cost, ProviderName, TokenUsage, Usd};

    use super::{NOTHING, cost, usage};

    fn attempt(usage: Option<TokenUsage>, cost: Cost) -> Attempt {
        Attempt {
            number: 1,
            provider: ProviderName::Claude,
            model: "claude".to_owned(),
            response_model: None,
            simulated: false,
            error: None,
            request_id: None,
            usage,
            cost,
            latency: Duration::from_millis(1),
            first_chunk: None,
        }
    }

    #[test]
    fn failed_attempts_count_and_what_is_not_known_stays_so() {
        let tokens = |input, reported| TokenUsage { input, output: 2, reported, ..NOTHING };
        let known = |nanos| Cost { billed: Some(Usd::from_nanos(nanos)), list: Some(Usd::from_nanos(nanos)) };
        let refused = attempt(None, Cost::NOTHING);
        let made = attempt(Some(tokens(10, true)), known(1));
        let cut = attempt(Some(tokens(20, false)), known(2));
        let all = [refused.clone(), made.clone(), cut];
        assert_eq!(usage(&all), TokenUsage { input: 30, output: 4, reported: false, ..NOTHING });
        assert_eq!(cost(&all), known(3));
        assert!(usage(&[refused, made]).reported);
        let unpriced = attempt(Some(tokens(1, true)), Cost { list: None, ..Cost::NOTHING });
        assert_eq!(cost(&[all[1].clone(), unpriced]), Cost { list: None, ..known(1) });
        assert_eq!((usage(&[]), cost(&[])), (NOTHING, Cost::NOTHING));
    }
}
