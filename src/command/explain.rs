//! `pullprobe explain`.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use super::{Error, print};
use crate::cli::{ExplainCommand, Format};
use crate::explain::{self, Explanation, Known, tasks};
use crate::render::explanation::render;

/// Bytes of input that are read. A `describe-tasks` document of a hundred tasks has some 500 KB.
const LONGEST_INPUT: u64 = 16 * 1024 * 1024;

/// Prints an explanation of each text. The exit code is that of the first whose family is known.
pub fn run(flags: &ExplainCommand) -> Result<u8, Error> {
    let explanations = explanations(flags)?;
    let as_text = match flags.format {
        Format::Text => true,
        Format::Json => false,
        Format::Auto => io::stdout().is_terminal(),
    };
    let printed: Vec<String> = explanations
        .iter()
        .map(|explanation| {
            if as_text {
                render(explanation)
            } else {
                explanation.line()
            }
        })
        .collect();
    print(&printed.join("\n"))?;
    let codes = explanations.iter().map(Explanation::exit_code);
    Ok(codes
        .clone()
        .find(|code| *code != explain::UNKNOWN)
        .unwrap_or(explain::UNKNOWN))
}

fn explanations(flags: &ExplainCommand) -> Result<Vec<Explanation>, Error> {
    #[cfg(feature = "operator")]
    if let Some(told) = asked(flags)? {
        return Ok(told
            .iter()
            .map(|(text, known)| explain::explain_with(text, known))
            .collect());
    }
    if let Some(file) = &flags.describe_tasks {
        let told = tasks::texts(&read(file)?)
            .map_err(|error| Error::Usage(format!("--describe-tasks: {error}")))?;
        return Ok(told
            .iter()
            .map(|(text, known)| explain::explain_with(text, known))
            .collect());
    }
    let text = match flags.text.as_slice() {
        [] if io::stdin().is_terminal() => {
            return Err(Error::Usage(
                "no text was given: pass the stopped reason as an argument, or on stdin, or what `aws ecs describe-tasks` prints with --describe-tasks"
                    .into(),
            ));
        }
        [] => read(Path::new("-"))?,
        [dash] if dash == "-" => read(Path::new("-"))?,
        // Without quotes around it a text arrives as words.
        words => words.join(" "),
    };
    if text.trim().is_empty() {
        return Err(Error::Usage("the text is empty".into()));
    }
    // Who pipes `describe-tasks` into `explain` means the task in it.
    if text.trim_start().starts_with(['{', '['])
        && let Ok(told) = tasks::texts(&text)
    {
        return Ok(told
            .iter()
            .map(|(text, known)| explain::explain_with(text, known))
            .collect());
    }
    Ok(vec![explain::explain_with(&text, &Known::default())])
}

/// What Amazon ECS says of the task or service that the flags name, if they name one.
#[cfg(feature = "operator")]
fn asked(flags: &ExplainCommand) -> Result<Option<Vec<tasks::Told>>, Error> {
    use crate::operator::aws::Client;
    use crate::operator::stopped::{self, Missing};

    let (Some(name), cluster) = (
        flags.task.as_ref().or(flags.service.as_ref()),
        flags.cluster.as_deref(),
    ) else {
        let beside = flags.cluster.is_some() || flags.region.is_some();
        return if beside {
            Err(Error::Usage(
                "--cluster and --region go with --task or --service".into(),
            ))
        } else {
            Ok(None)
        };
    };
    let region = flags
        .region
        .clone()
        .or_else(|| stopped::region_of(name))
        .or_else(|| stopped::region_of(cluster?));
    let cluster = cluster
        .or_else(|| stopped::cluster_of(name))
        .unwrap_or("default");
    let tool = |error: &dyn std::fmt::Display| Error::Tool(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| tool(&error))?;
    let told = runtime.block_on(async {
        let client = Client::load(region).await?;
        match &flags.task {
            Some(task) => stopped::task(&client, cluster, task).await,
            None => stopped::service(&client, cluster, name).await,
        }
    });
    told.map(Some).map_err(|missing| match missing {
        Missing::Unknown(text) => Error::Usage(text),
        Missing::Call(..) => tool(&missing),
    })
}

/// A file, or stdin for `-`. Bytes that are no UTF-8 are replaced: a text in another encoding is
/// still mostly ASCII.
fn read(file: &Path) -> Result<String, Error> {
    let named = |error: io::Error| Error::Usage(format!("{}: {error}", file.display()));
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin()
            .lock()
            .take(LONGEST_INPUT)
            .read_to_end(&mut bytes)
            .map_err(named)?;
    } else {
        std::fs::File::open(file)
            .map_err(named)?
            .take(LONGEST_INPUT)
            .read_to_end(&mut bytes)
            .map_err(named)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
