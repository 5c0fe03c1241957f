//! Tests that the schema that `pullprobe schema inspection` prints matches the types.

use crate::inspect::Inspection;

#[test]
fn schema_matches_the_types() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Inspection)).unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/inspection-v1.json");
    if std::fs::read_to_string(file).unwrap_or_default() != schema {
        std::fs::write(file, schema).unwrap();
        panic!(
            "schemas/inspection-v1.json did not match the types and was rewritten; review the difference"
        );
    }
}
