//! Reports and explanations as an HTML page or a picture, which only the full pullprobe writes.

use super::Error;
use crate::cli::Format;
#[cfg(feature = "operator")]
use crate::compare::ComparisonBuilder;
use crate::explain::Explanation;
#[cfg(feature = "operator")]
use crate::render;
use crate::report::Report;

/// Fails if this binary cannot write the format: the one in the probe's image has no pages, because
/// it is pulled over the path that it tests.
pub(super) fn check(format: Format) -> Result<(), Error> {
    if cfg!(not(feature = "operator")) && format.is_page() {
        return Err(Error::Usage(
            "--format: this is the small pullprobe of the probe's image, which writes no pages and \
             pictures; use --format json here, and pass the line to `pullprobe compare - --format \
             html` of the full pullprobe"
                .into(),
        ));
    }
    Ok(())
}

/// Returns the page or picture; `None` for other formats.
#[cfg(not(feature = "operator"))]
pub(super) fn of_reports(_: &[&Report], _: Format) -> Option<String> {
    None
}

/// Returns the page or picture; `None` for other formats.
#[cfg(not(feature = "operator"))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "a picture may have nothing to draw"
)]
pub(super) fn of_explanations(_: &[Explanation], _: Format) -> Result<Option<String>, Error> {
    Ok(None)
}

/// Returns the page or picture; `None` for other formats.
#[cfg(feature = "operator")]
pub(super) fn of_reports(reports: &[&Report], format: Format) -> Option<String> {
    if !format.is_page() {
        return None;
    }
    let mut builder = ComparisonBuilder::default();
    for report in reports {
        builder.add(report);
    }
    let output = builder.finish();
    Some(match format {
        Format::Svg => render::picture::render(&output),
        _ => render::html::render(&output),
    })
}

/// Returns the page or picture; `None` for other formats. Fails if there is nothing to draw.
#[cfg(feature = "operator")]
pub(super) fn of_explanations(
    explanations: &[Explanation],
    format: Format,
) -> Result<Option<String>, Error> {
    match format {
        Format::Html => Ok(Some(render::html::render_explanations(explanations))),
        Format::Svg => {
            let [only] = explanations else {
                return Err(Error::Usage(format!(
                    "--format svg draws one message, and there are {}; pass one task, or use --format html",
                    explanations.len()
                )));
            };
            let picture = render::picture::VpcPicture::of_explanation(only);
            picture.map(|picture| Some(picture.svg())).ok_or_else(|| {
                Error::Usage(
                    "--format svg: the message shows no path through the network, so there is nothing to draw; use --format html"
                        .into(),
                )
            })
        }
        Format::Auto | Format::Json | Format::Text => Ok(None),
    }
}
