//! How Bedrock's clients name models: an id, an inference profile, or the ARN of either. Pure.

use crate::models::Models;

/// Longest name, as Bedrock's API model has it.
const LONGEST: usize = 2_048;

/// The model on offer that a client means: the very name, or the resource that an ARN such as
/// `arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.…` ends with.
pub(super) fn find<'a>(models: &'a Models, wanted: &'a str) -> Option<&'a str> {
    let named = |name: &str| models.named().iter().find(|named| *named == name).map(String::as_str);
    let resource = wanted.strip_prefix("arn:").and_then(|arn| Some(arn.split_once('/')?.1));
    let possible = (1..=LONGEST).contains(&wanted.len())
        && wanted.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:._/".contains(&byte));
    named(wanted)
        .or_else(|| named(resource?))
        .or_else(|| Some(resource.unwrap_or(wanted)).filter(|name| possible && models.offers(name)))
}

#[cfg(test)]
mod tests {
    use super::find;
    use crate::models::Models;

    const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

    #[test]
    fn a_model_is_found_by_its_id_and_by_its_arn() {
        let models = Models::new([MODEL, "llama3.2"]);
        assert_eq!(find(&models, MODEL), Some(MODEL));
        for kind in ["123456789012:inference-profile", ":foundation-model"] {
            assert_eq!(find(&models, &format!("arn:aws:bedrock:us-east-1:{kind}/{MODEL}")), Some(MODEL));
        }
        for unknown in
            ["", "nope", "arn:aws:bedrock", "arn:aws:bedrock:us-east-1::foundation-model/nope", "a/llama3.2"]
        {
            assert_eq!(find(&models, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn any_model_is_any_that_bedrock_could_have() {
        let models = Models::new(["*"]);
        assert_eq!(find(&models, "meta.llama3-8b-instruct-v1:0"), Some("meta.llama3-8b-instruct-v1:0"));
        assert_eq!(find(&models, "arn:aws:bedrock:eu-west-1:1:inference-profile/x"), Some("x"));
        for impossible in
            ["", "a b", "ä", "a%20b", "arn:aws:bedrock:eu-west-1:1:inference-profile/", &"x".repeat(201)]
        {
            assert_eq!(find(&models, impossible), None, "{impossible}");
        }
    }
}
