//! `pullprobe causes --format json`: the closed vocabulary of causes.

use serde::Serialize;

use crate::cause::{Cause, Family};
use crate::safe_text::json_line;

/// Name and version of the document. A new cause does not change the version; a code that changes
/// its meaning or goes away does.
const SCHEMA: &str = "pullprobe/causes/v1";

/// Every cause, or only one.
#[derive(Serialize)]
struct CauseList {
    schema: &'static str,
    version: &'static str,
    causes: Vec<CauseEntry>,
}

/// One cause.
#[derive(Serialize)]
struct CauseEntry {
    code: Cause,
    family: Family,
    exit_code: u8,
    summary: &'static str,
    remedy: &'static str,
    rests_on: &'static str,
    /// The whole page in Markdown, in a list of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

/// Returns the list of causes as one line of JSON; of one cause also its page.
pub fn json(only: Option<Cause>) -> String {
    let causes = Cause::ALL.iter().copied();
    let entry = |code: Cause| CauseEntry {
        code,
        family: code.family(),
        exit_code: code.family().exit_code(),
        summary: code.summary(),
        remedy: code.remedy(),
        rests_on: code.rests_on(),
        page: only.map(|_| code.page()),
    };
    let list = CauseList {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        causes: causes
            .filter(|cause| only.is_none_or(|only| only == *cause))
            .map(entry)
            .collect(),
    };
    json_line(SCHEMA, &list)
}
