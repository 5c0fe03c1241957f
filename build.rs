//! Strips the indentation from the JSON Schemas that the binary embeds: 25 KB of an image that is
//! pulled over the path it tests. `pullprobe schema` prints them indented again.

use std::path::Path;
use std::{env, fs, io};

const SCHEMAS: [&str; 3] = [
    "comparison-v1.json",
    "explanation-v1.json",
    "report-v1.json",
];

fn main() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    for name in SCHEMAS {
        let source = Path::new("schemas").join(name);
        println!("cargo::rerun-if-changed={}", source.display());
        let schema = fs::read_to_string(source)?;
        // A line break within a JSON string is escaped, so each line begins outside of one.
        let lines: Vec<&str> = schema.lines().map(str::trim_start).collect();
        fs::write(Path::new(&out).join(name), lines.join("\n"))?;
    }
    Ok(())
}
