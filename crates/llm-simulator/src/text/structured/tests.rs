//! Values of schemas: what fits, and what is bounded.

use serde_json::{Value, json};

use super::{Subject, fitting};
use crate::draws::{Draws, Quantity};
use crate::tokens;

fn fill(schema: &Value) -> Value {
    let subject = Subject::of("Title: Dune\nAuthor: Frank Herbert");
    let text = fitting(schema, &subject, 60, &Draws::of(&[4; 32], Quantity::Text));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn values_fit_the_schema() {
    let filled = fill(&json!({
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "summary": {"type": "string"},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5},
            "genre": {"enum": ["novel", "essay"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "fiction": {"type": "boolean"},
            "nested": {"properties": {"deep": {"anyOf": [{"type": "number"}, {"type": "null"}]}}},
            "none": {"type": ["null", "string"]},
        },
    }));
    assert_eq!(filled["title"], "Dune");
    assert!(filled["summary"].as_str().unwrap().ends_with('.'));
    assert!((1..=5).contains(&filled["rating"].as_i64().unwrap()));
    assert!(["novel", "essay"].contains(&filled["genre"].as_str().unwrap()));
    assert_eq!(filled["tags"].as_array().unwrap().len(), 2);
    assert!(filled["fiction"].is_boolean() && filled["nested"]["deep"].is_number());
    assert!(filled["none"].is_string());
}

#[test]
fn a_schema_without_bounds_of_its_own_is_bounded() {
    let mut schema = json!({"type": "string"});
    for _ in 0..40 {
        schema = json!({"type": "array", "items": schema});
    }
    assert!(fill(&schema).to_string().len() < 200);
    let mut wide = json!({"type": "string"});
    for _ in 0..12 {
        wide = json!({"type": "array", "minItems": 1_000_000, "items": wide});
    }
    assert!(fill(&wide).to_string().len() < 200 * 200);
}

#[test]
fn what_a_schema_repeats_is_bounded() {
    let long = "x".repeat(2_000_000);
    let many: Vec<u8> = vec![1; 100_000];
    let fits = "x".repeat(10_000);
    for (items, least) in [
        (json!({"const": long}), 0),
        (json!({"enum": [long]}), 0),
        (json!({"const": many}), 0),
        (json!({"const": fits}), 200_000),
        (json!({"properties": {long.as_str(): {"type": "integer"}}}), 0),
        (json!({"properties": {fits.as_str(): {"type": "integer"}}}), 200_000),
    ] {
        let filled = fill(&json!({"type": "array", "minItems": 199, "items": items}));
        let bytes = filled.to_string().len();
        assert!((least..300_000).contains(&bytes), "{bytes}");
        assert_eq!(filled.as_array().unwrap().len(), 199);
    }
}
#[test]
fn what_official_clients_send_is_understood() {
    // As pydantic writes nested models, optional members and decimals with bounds.
    let filled = fill(&json!({
        "$defs": {
            "Author": {"type": "object", "properties": {"name": {"type": "string"}, "born": {"type": "integer"}}, "required": ["name"]},
            "Kind": {"enum": ["novel"], "type": "string"},
            "Node": {"type": "object", "properties": {
                "label": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "up": {"$ref": "#/$defs/Node"}
            }, "required": ["label", "children", "next"]}
        },
        "type": "object",
        "properties": {
            "by": {"$ref": "#/$defs/Author"},
            "maybe": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Author"}]},
            "kind": {"$ref": "#/$defs/Kind", "description": "what it is"},
            "tree": {"$ref": "#/$defs/Node"},
            "both": {"allOf": [{"properties": {"a": {"type": "boolean"}}}, {"properties": {"b": {"const": 2}}}]},
            "share": {"type": "number", "minimum": 0.2, "maximum": 0.5},
            "inside": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "below": {"type": "integer", "maximum": -5},
            "only": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
            "same": {"type": "number", "minimum": 0.5, "maximum": 0.5},
            "even": {"type": "integer", "minimum": 3, "maximum": 5, "multipleOf": 2},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "minItems": 2, "maxItems": 2},
            "empty": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
            "when": {"type": "string", "format": "date-time"},
            "code": {"type": "string", "minLength": 8, "maxLength": 8},
            "long": {"type": "string", "minLength": 900},
            "title": {"type": "string", "maxLength": 3},
            "author": {"type": "string", "enum": ["me"]}
        },
    }));
    assert!(filled["by"]["name"].is_string() && filled["by"]["born"].is_u64(), "{filled}");
    assert!(filled["maybe"]["name"].is_string());
    assert_eq!((&filled["kind"], &filled["both"]["b"]), (&json!("novel"), &json!(2)));
    assert!(filled["both"]["a"].is_boolean());
    let tree = filled["tree"].as_object().unwrap();
    assert_eq!((&tree["children"], &tree["next"], tree.get("up")), (&json!([]), &Value::Null, None));
    assert!((0.2..=0.5).contains(&filled["share"].as_f64().unwrap()));
    let inside = filled["inside"].as_f64().unwrap();
    assert!(inside > 0.0 && inside < 1.0);
    assert!(filled["below"].as_i64().unwrap() <= -5);
    assert_eq!((&filled["only"], &filled["same"], &filled["even"]), (&json!(4), &json!(0.5), &json!(4)));
    assert!(filled["pair"][0].is_u64() && filled["pair"][1].is_boolean());
    assert_eq!((&filled["empty"], &filled["when"]), (&json!([]), &json!("2026-01-01T00:00:00Z")));
    assert_eq!(filled["code"].as_str().unwrap().len(), 8);
    assert!(filled["long"].as_str().unwrap().len() >= 900);
    assert_eq!((&filled["title"], &filled["author"]), (&json!("Dun"), &json!("me")));
}

#[test]
fn schemas_that_go_round_in_circles_end() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"$ref": "#/a", "a": {"$ref": "#/b"}, "b": {"allOf": [{"$ref": "#/a"}, {"anyOf": [{"$ref": "#/b"}]}]}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}),
        json!({"type": "array", "minItems": 3, "items": {"$ref": "#"}}),
        json!({"type": "string", "minLength": 1_u64 << 60}),
        json!({"type": "array", "minItems": 1e300, "items": {"$ref": "#/nowhere"}}),
    ] {
        assert!(fill(&schema).to_string().len() < 100_000, "{schema}");
    }
}

#[test]
fn an_answer_has_about_the_length_drawn() {
    let named = |count: usize| -> Value {
        let members = (0..count).map(|at| (format!("m{at}"), json!({"type": "string"})));
        json!({"type": "object", "properties": members.collect::<serde_json::Map<_, _>>()})
    };
    let length = |schema: &Value, wanted| {
        let subject = Subject::of("Title: Dune\nAuthor: Frank Herbert");
        tokens::count(&fitting(schema, &subject, wanted, &Draws::of(&[4; 32], Quantity::Text)))
    };
    let optional = json!({"anyOf": [named(20), {"type": "null"}]});
    for (schema, wanted) in [(named(1), 90), (named(5), 90), (named(50), 400), (optional, 300)] {
        let found = length(&schema, wanted);
        assert!(found.abs_diff(wanted) <= wanted / 4, "{found} tokens for {wanted}");
    }
    // What has no room for its texts has a word each.
    assert!(length(&named(50), 90) < 250);
}
