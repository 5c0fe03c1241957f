//! `pullprobe demo`.

use super::probe::{deliver, runtime};
use super::{Error, page, print};
use crate::cli::Format;
use crate::demo::{self, fault::Fault};
use crate::report::Report;

/// The fault that a demo without `--fault` shows after the healthy subnet: the one that costs
/// operators the most time.
const DEFAULT_FAULT: &str = "s3-gateway-missing";

/// Lists the faults, prints the report of one as `probe` does, or prints those of a healthy subnet
/// and a broken one.
pub fn run(fault: Option<&str>, list: bool, format: Format) -> Result<u8, Error> {
    page::check(format)?;
    if list {
        return print(&fault_list());
    }
    if let Some(name) = fault {
        let fault = Fault::find(name).map_err(|error| Error::Usage(error.to_string()))?;
        return deliver(&observe(Some(fault))?, format);
    }
    // Two reports, one after the other, are text even through a pager.
    let format = if format == Format::Auto {
        Format::Text
    } else {
        format
    };
    let broken = Fault::find(DEFAULT_FAULT).map_err(|error| Error::Tool(error.to_string()))?;
    let (mut healthy, mut failing) = (observe(None)?, observe(Some(broken))?);
    if format.is_page() {
        // The demo's subnets have one address. As two of them they are compared.
        for (report, name) in [
            (&mut healthy, "healthy subnet"),
            (&mut failing, "broken subnet"),
        ] {
            report.run.labels.insert("vantage".into(), name.into());
        }
        let page = page::of_reports(&[&healthy, &failing], format);
        return print(&page.unwrap_or_default());
    }
    let people = super::probe::prints_text(format);
    if people {
        print("A subnet in which everything works:\n\n")?;
    }
    deliver(&healthy, format)?;
    if people {
        print(&format!(
            "\nA subnet with a fault. {}\n\n",
            broken.description
        ))?;
    }
    deliver(&failing, format)?;
    if people {
        print("\nOther faults: pullprobe demo --list")?;
    }
    Ok(0)
}

fn observe(fault: Option<&Fault>) -> Result<Report, Error> {
    let runtime = runtime()?;
    let report = runtime
        .block_on(demo::observe(fault))
        .map_err(|error| Error::Tool(error.to_string()));
    runtime.shutdown_background();
    report
}

fn fault_list() -> String {
    let width = demo::faults()
        .iter()
        .map(|fault| fault.cause.code().len())
        .max()
        .unwrap_or_default();
    let line = |fault: &Fault| format!("{:<width$}  {}\n", fault.cause.code(), fault.description);
    demo::faults().iter().map(line).collect()
}
