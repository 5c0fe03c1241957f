//! `pullprobe demo`.

use super::probe::{deliver, runtime};
use super::{Error, print};
use crate::cli::Format;
use crate::demo::{self, fault::Fault};
use crate::report::Report;

/// What a demo without a fault shows after the healthy subnet: the fault that costs people most
/// days.
const SHOWN: &str = "s3-gateway-missing";

/// Lists the faults, shows one as `probe` would, or shows a healthy subnet and a broken one.
pub fn run(fault: Option<&str>, list: bool, format: Format) -> Result<u8, Error> {
    if list {
        return print(&list_of_faults());
    }
    if let Some(name) = fault {
        let fault = Fault::find(name).map_err(Error::Usage)?;
        return deliver(&observe(Some(fault))?, format);
    }
    // Two reports beside each other are for people, also through a pager.
    let format = if format == Format::Auto {
        Format::Text
    } else {
        format
    };
    let broken = Fault::find(SHOWN).map_err(Error::Tool)?;
    let (healthy, failing) = (observe(None)?, observe(Some(broken))?);
    let people = super::probe::for_people(format);
    if people {
        print("A subnet in which everything works:\n\n")?;
    }
    deliver(&healthy, format)?;
    if people {
        print(&format!("\nAnd one with a fault. {}\n\n", broken.story))?;
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

fn list_of_faults() -> String {
    let width = demo::faults()
        .iter()
        .map(|fault| fault.cause.code().len())
        .max()
        .unwrap_or_default();
    let line = |fault: &Fault| format!("{:<width$}  {}\n", fault.cause.code(), fault.story);
    demo::faults().iter().map(line).collect()
}
