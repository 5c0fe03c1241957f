//! The schema that `pullprobe schema explanation` prints matches the types.

use crate::explain::{Explanation, explain};

#[test]
fn schema_matches_the_types() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Explanation)).unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/explanation-v1.json");
    if std::fs::read_to_string(file).unwrap_or_default() != schema {
        std::fs::write(file, schema).unwrap();
        panic!(
            "schemas/explanation-v1.json did not match the types and was rewritten; review the difference"
        );
    }
}

#[test]
fn explanation_round_trips_through_json() {
    let explained = explain("dial tcp 52.94.184.143:443: i/o timeout");
    assert_eq!(
        serde_json::from_str::<Explanation>(&explained.line()).unwrap(),
        explained
    );
}
