//! The table over the reports, for Amazon Athena.

/// Columns of a report that queries use, each with its type in Athena.
pub const COLUMNS: [(&str, &str); 6] = [
    (
        "run",
        "struct<id:string,version:string,started_at:string,elapsed_ms:bigint,labels:map<string,string>>",
    ),
    (
        "vantage",
        "struct<region:string,availability_zone:string,subnet_cidr:string,address:string,task_arn:string,cluster:string,carrier:string>",
    ),
    (
        "verdict",
        "struct<status:string,exit_code:int,summary:string>",
    ),
    (
        "findings",
        "array<struct<cause:string,family:string,dependency:string,confidence:string,summary:string,remedy:string>>",
    ),
    (
        "observations",
        "array<struct<id:string,dependency:string,host:string,phase:string,outcome:string,failure:string,elapsed_ms:bigint>>",
    ),
    ("identity", "struct<role_arn:string,source:string>"),
];

/// Properties of the table. The days are projected, so that no crawler runs (Athena user guide,
/// "Partition projection"). Account and Region are in the path of each file, `"$path"`: a
/// projection would have to list the accounts.
pub const PROPERTIES: [(&str, &str); 6] = [
    ("EXTERNAL", "TRUE"),
    ("projection.enabled", "true"),
    ("projection.date.type", "date"),
    ("projection.date.format", "yyyy-MM-dd"),
    ("projection.date.range", "2026-01-01,NOW"),
    (
        "storage.location.template",
        "s3://{{Bucket}}/reports/date=${date}/",
    ),
];

/// Where the reports are.
pub const LOCATION: &str = "s3://{{Bucket}}/reports/";

/// The column that the keys of the objects have.
pub const PARTITION: &str = "date";

/// Reads one JSON document from each line; what a document lacks is null.
pub const SERDE: &str = "org.openx.data.jsonserde.JsonSerDe";
pub const INPUT_FORMAT: &str = "org.apache.hadoop.mapred.TextInputFormat";
pub const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";
