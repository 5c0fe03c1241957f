//! The `explain` command.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use super::{Error, note, page, print, style};
use crate::cause::Family;
use crate::cli::ExplainArgs;
use crate::explain::tasks::{self, EcsMessage};
use crate::explain::{Explanation, MAX_TEXT_CHARS, explain, explain_with};
use crate::render::explanation::render;

/// Maximum number of bytes of input that are read. A `describe-tasks` document of 100 tasks, its
/// maximum, has about 500 KB.
const MAX_INPUT_BYTES: u64 = 4 * 1024 * 1024;

/// Maximum number of messages that are explained: those of ten such documents.
const MAX_MESSAGES: usize = 1_000;

/// Prints an explanation of each message. Returns the exit code of the first one whose family is
/// known.
pub fn run(flags: &ExplainArgs) -> Result<u8, Error> {
    page::check(flags.format)?;
    let explanations = explanations(flags)?;
    if let Some(page) = page::of_explanations(&explanations, flags.format)? {
        print(&page)?;
        return Ok(exit_code(&explanations));
    }
    let style = style().with_verbose(flags.screen.verbose);
    let printed: Vec<String> = explanations
        .iter()
        .map(|explanation| {
            if flags.format.is_text() {
                render(explanation, style)
            } else {
                explanation.line()
            }
        })
        .collect();
    print(&printed.join("\n"))?;
    Ok(exit_code(&explanations))
}

fn exit_code(explanations: &[Explanation]) -> u8 {
    let known = explanations
        .iter()
        .find(|explanation| explanation.family != Family::Unknown);
    known.map_or(Family::Unknown.exit_code(), Explanation::exit_code)
}

fn explanations(flags: &ExplainArgs) -> Result<Vec<Explanation>, Error> {
    #[cfg(feature = "operator")]
    if let Some(messages) = fetch_messages(flags)? {
        return Ok(explain_all(&messages));
    }
    if let Some(file) = &flags.describe_tasks {
        let document = read(file)?;
        let label = format!("--describe-tasks {}", file.display());
        if document.len() as u64 > MAX_INPUT_BYTES {
            return Err(Error::Usage(format!(
                "{label} is longer than {} MiB; pass the output for fewer tasks",
                MAX_INPUT_BYTES / 1024 / 1024
            )));
        }
        if document.trim().is_empty() {
            return Err(Error::Usage(format!(
                "{label} is empty; pass the output of `aws ecs describe-tasks`"
            )));
        }
        let messages =
            tasks::messages(&document).map_err(|error| Error::Usage(format!("{label} {error}")))?;
        return Ok(explain_all(&messages));
    }
    let text = match flags.text.as_slice() {
        [] if io::stdin().is_terminal() => {
            return Err(Error::Usage(
                "nothing to explain: pass the stopped reason as an argument or on stdin, or the output of `aws ecs describe-tasks` \
                 with --describe-tasks"
                    .into(),
            ));
        }
        [] => read(Path::new("-"))?,
        [dash] if dash == "-" => read(Path::new("-"))?,
        [word] if is_file(word)? => read(Path::new(word))?,
        // Without quotes in the shell, the text arrives as several arguments.
        words => words.join(" "),
    };
    if text.trim().is_empty() {
        return Err(Error::Usage(
            "the text is empty; pass the stopped reason of a task".into(),
        ));
    }
    // Output of `describe-tasks` may also be passed without the flag.
    if let Some(messages) = tasks::messages_of_document(&text) {
        return Ok(explain_all(&messages));
    }
    if text.chars().nth(MAX_TEXT_CHARS).is_some() {
        note(&format!(
            "read only the first {MAX_TEXT_CHARS} characters; pass the stopped reason alone"
        ));
    }
    Ok(vec![explain(&text)])
}

/// Whether a single argument names a file. A name that looks like one of a file that does not exist
/// is an error, because no message of ECS is a single word with a file extension.
fn is_file(word: &str) -> Result<bool, Error> {
    const FILE_TYPES: [&str; 4] = ["json", "txt", "log", "eml"];
    let path = Path::new(word);
    let has_type = path.extension().is_some_and(|end| {
        FILE_TYPES
            .iter()
            .any(|file_type| end.eq_ignore_ascii_case(file_type))
    });
    if path.is_file() {
        Ok(true)
    } else if has_type && !word.contains(char::is_whitespace) {
        Err(Error::Usage(format!(
            "the file {word} does not exist; pass an existing file, or the message itself in quotation marks"
        )))
    } else {
        Ok(false)
    }
}

fn explain_all(messages: &[EcsMessage]) -> Vec<Explanation> {
    let more = messages.len().saturating_sub(MAX_MESSAGES);
    if more > 0 {
        note(&format!(
            "{more} more messages were not explained; pass fewer tasks"
        ));
    }
    messages
        .iter()
        .take(MAX_MESSAGES)
        .map(|message| explain_with(&message.text, &message.context))
        .collect()
}

/// Fetches the messages of the task or service that the flags name from Amazon ECS; `None` if they
/// name neither.
#[cfg(feature = "operator")]
fn fetch_messages(flags: &ExplainArgs) -> Result<Option<Vec<EcsMessage>>, Error> {
    use super::probe::runtime;
    use crate::operator::aws::Client;
    use crate::operator::stopped;

    let (Some(name), cluster) = (
        flags.task.as_ref().or(flags.service.as_ref()),
        flags.cluster.as_deref(),
    ) else {
        return if flags.cluster.is_some() || flags.region.is_some() {
            Err(Error::Usage(
                "--cluster and --region require --task or --service".into(),
            ))
        } else {
            Ok(None)
        };
    };
    let (flag, kind, resource) = match &flags.task {
        Some(_) => ("--task", "task", "task/CLUSTER/ID"),
        None => ("--service", "service", "service/CLUSTER/NAME"),
    };
    if stopped::is_other_arn(name, kind) {
        return Err(Error::Usage(format!(
            "{flag} {name} is not a {kind} ARN; expected \
             arn:aws:ecs:REGION:ACCOUNT:{resource}"
        )));
    }
    let region = flags
        .region
        .clone()
        .or_else(|| stopped::region_of(name))
        .or_else(|| stopped::region_of(cluster?));
    let of_task = stopped::cluster_of(name);
    let cluster = cluster.or(of_task.as_deref()).unwrap_or("default");
    let messages = runtime()?.block_on(async {
        let client = Client::load(region).await?;
        match &flags.task {
            Some(task) => stopped::task(&client, cluster, task).await,
            None => stopped::service(&client, cluster, name).await,
        }
    });
    Ok(Some(messages?))
}

/// Reads a file, or stdin for `-`, up to [`MAX_INPUT_BYTES`] and one more. Bytes that are not UTF-8
/// are replaced: a text in another encoding is still mostly ASCII.
fn read(file: &Path) -> Result<String, Error> {
    let with_path = |error: io::Error| Error::Usage(format!("{}: {error}", file.display()));
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin()
            .lock()
            .take(MAX_INPUT_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(with_path)?;
    } else {
        std::fs::File::open(file)
            .map_err(with_path)?
            .take(MAX_INPUT_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(with_path)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
