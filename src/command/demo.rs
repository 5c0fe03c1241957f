//! `pullprobe demo`.

use super::probe::{deliver, runtime, with_progress};
use super::{Error, did_you_mean, page, print, style};
use crate::cli::Format;
use crate::demo;
use crate::demo::fault::{Fault, UnknownFault};
use crate::report::Report;

/// The fault that a demo without `--fault` shows after the healthy subnet: the one that costs
/// operators the most time.
const DEFAULT_FAULT: &str = "s3-gateway-missing";

/// Lists the faults, prints the report of one as `probe` does, or prints those of a healthy subnet
/// and a broken one.
pub fn run(fault: Option<&str>, list: bool, format: Format, verbose: bool) -> Result<u8, Error> {
    page::check(format)?;
    if list {
        return print(&fault_list());
    }
    if let Some(name) = fault {
        let fault = Fault::find(name).map_err(|error| unknown_fault(name, &error))?;
        return deliver(&observe(Some(fault))?, format, verbose);
    }
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
    let style = style();
    if format.is_text() {
        print("A subnet in which everything works:\n\n")?;
    }
    deliver(&healthy, format, verbose)?;
    if format.is_text() {
        let fault = format!("A subnet with a fault. {}", broken.description);
        print(&format!("\n{}\n\n", style.wrap(&fault, 0)))?;
    }
    deliver(&failing, format, verbose)?;
    if format.is_text() {
        print("\nOther faults: pullprobe demo --list")?;
    }
    Ok(0)
}

fn observe(fault: Option<&Fault>) -> Result<Report, Error> {
    let runtime = runtime()?;
    let report = runtime
        .block_on(with_progress(demo::observe(fault), demo::RUN_TIMEOUT))
        .map_err(|error| Error::Tool(error.to_string()));
    runtime.shutdown_background();
    report
}

fn unknown_fault(name: &str, error: &UnknownFault) -> Error {
    let names = demo::faults().iter().map(|fault| fault.cause.code());
    Error::Usage(format!("{error}{}", did_you_mean(name, names)))
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
