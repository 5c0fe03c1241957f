//! Explains a stopped task's message: the step that failed, the possible causes, the next command.
//! Pure.
//!
//! ```text
//! text ─▶ NormalizedText ─▶ Match, Fields ─▶ ParsedMessage ─▶ Explanation
//!         one line          what it has      step, sign       proven, findings, next
//! ```
//!
//! Messages are nested: a service event around the name of an error, around the wording of a step,
//! around the error of an SDK, around the error of Go or of a service. They may be cut anywhere, so
//! every part is read on its own and no rule expects a whole message. A timeout outranks any other
//! sign: it is never reported as a permission problem.
//!
//! Modules, each after all that it imports:
//!
//! | module | what it does |
//! | --- | --- |
//! | `step`, `refusal`, `sign` | the vocabulary: where a start failed, why a task is not placed, what a phrase shows |
//! | `normalize` | one line of plain text |
//! | `app_log` | recognizes logs of applications |
//! | `lexicon` | finds the phrases of AWS, containerd, Docker and Go |
//! | `fields` | reads host, address, attempts, response |
//! | `dependencies` | maps hosts and IAM actions to steps |
//! | `precedence` | chooses the strongest sign and its family |
//! | `parsed` | one message, parsed |
//! | `advice`, `causes` | ranks the possible causes, with remedies for the registry and the caller |
//! | `ending` | what a text says of a task that had started |
//! | `stated` | reasons that a text states and no cause covers |
//! | `explanation` | the result |
//! | `proven_facts`, `next` | its statements and its commands |
//! | [`tasks`] | reads messages from `describe-tasks` output |
//! | [`ecs_wording`] | the reverse: the stopped reason that ECS would have given |

mod advice;
mod app_log;
mod causes;
mod dependencies;
pub mod ecs_wording;
mod ending;
mod explanation;
mod fields;
mod lexicon;
mod next;
mod normalize;
mod parsed;
mod precedence;
mod proven_facts;
mod refusal;
mod sign;
mod stated;
mod step;
pub mod tasks;

pub use explanation::{Explanation, MessageContext, SCHEMA};
pub use normalize::MAX_TEXT_CHARS;
pub use stated::StatedReason;
pub use step::Step;

use ending::Ending;
use normalize::NormalizedText;
use parsed::ParsedMessage;

use crate::diagnose::Confidence;
use crate::redact::{one_line, redact, shorten};

/// Maximum number of characters of the message that an explanation repeats.
const MAX_MESSAGE_CHARS: usize = 4_096;

/// Maximum number of messages explained in one text. A pasted list of service events has about ten.
const MAX_MESSAGES: usize = 16;

/// Error names that begin a reason of ECS, without `Error:`.
const ERROR_NAMES: [&str; 12] = [
    "resourceinitialization",
    "cannotpullcontainer",
    "cannotpullecrcontainer",
    "cannotpullimagemanifest",
    "cannotpullcontainerauth",
    "cannotstartcontainer",
    "cannotcreatecontainer",
    "cannotinspectcontainer",
    "containerruntime",
    "dockertimeout",
    "outofmemory",
    "hostconfig",
];

/// Explains a text.
pub fn explain(text: &str) -> Explanation {
    explain_with(text, &MessageContext::default())
}

/// Explains what a person pastes: the messages of a document of ECS, AWS Step Functions, AWS Batch
/// or Amazon EventBridge, or else one text. Returns at least one explanation.
pub fn explain_input(input: &str) -> Vec<Explanation> {
    let Some(messages) = tasks::messages_of_document(input) else {
        return vec![explain(input)];
    };
    messages
        .iter()
        .map(|message| explain_with(&message.text, &message.context))
        .collect()
}

/// Explains a text of a known task or service.
pub fn explain_with(text: &str, context: &MessageContext) -> Explanation {
    let whole = one_line(text);
    let message = redact(shorten(&whole, MAX_MESSAGE_CHARS));
    // Escapes may hide a secret from this redaction, but not in a fragment, where they are
    // resolved.
    let has_no_secrets = message == whole && !text.contains(['&', '\\']);
    let messages = parse_messages(NormalizedText::new(text), has_no_secrets);
    let first = most_relevant(&messages);
    let service = context.service.clone().or_else(|| {
        messages
            .iter()
            .find_map(|message| message.fields.service.clone())
    });
    let context = &MessageContext {
        cluster: context.cluster.clone().or_else(|| first.fields.cluster()),
        ..context.clone()
    };
    let ending = ending::ending(first);
    let stated = stated::stated(first, ending.map(|(ending, _)| ending));
    let look = stated.as_ref().map(|(_, look)| *look);
    let stopped_after_start = context.stop_code.as_deref() == Some("EssentialContainerExited");
    let mut explanation = Explanation {
        schema: SCHEMA.to_owned(),
        message,
        task_arn: context.task_arn.clone(),
        service,
        stop_code: context.stop_code.clone(),
        said_at: context.said_at.clone(),
        container: context
            .container
            .clone()
            .or_else(|| first.fields.container.clone()),
        had_started: matches!(ending, Some((Ending::AfterStart, _)))
            || stopped_after_start && first.sign.is_none() && first.step == Step::Unknown,
        stated: stated.map(|(reason, _)| reason),
        step: first.step,
        family: first.family(),
        dependency: first.dependency,
        host: first.host.clone(),
        peer: first.peer(),
        owner: first.owner.clone(),
        proven: proven_facts::proven(first, ending, context.container.as_deref()),
        findings: causes::findings(first),
        next: Vec::new(),
        next_failures: Vec::new(),
    };
    for other in messages
        .iter()
        .filter(|other| !std::ptr::eq(*other, first) && other.sign.is_some())
    {
        add_findings(&mut explanation, other);
    }
    explanation.next_failures = proven_facts::next_failures(&explanation);
    let ending = ending.map(|(ending, _)| ending);
    explanation.next = next::commands(&explanation, first, context, ending, look);
    explanation
}

/// Returns the message that decides step and family. One about a failure of the path comes first,
/// because the requests behind it were never sent.
fn most_relevant(messages: &[ParsedMessage]) -> &ParsedMessage {
    let has_sign = |message: &&ParsedMessage| message.sign.is_some();
    let is_path_failure = |message: &&ParsedMessage| message.is_path_failure();
    let has_step = |message: &&ParsedMessage| message.step != Step::Unknown;
    messages
        .iter()
        .find(|message| has_sign(message) && is_path_failure(message))
        .or_else(|| messages.iter().find(is_path_failure))
        .or_else(|| messages.iter().find(has_sign))
        .or_else(|| messages.iter().find(has_step))
        .unwrap_or(&messages[0])
}

/// Adds the findings of another message in the same text. Which of them belong together is not
/// known, so no finding stays certain.
fn add_findings(explanation: &mut Explanation, other: &ParsedMessage) {
    for finding in causes::findings(other) {
        if !explanation
            .findings
            .iter()
            .any(|known| known.cause == finding.cause)
        {
            explanation.findings.push(finding);
            explanation.proven.push(format!(
                "the text contains another message, about {}",
                other.step.title()
            ));
        }
    }
    explanation.proven.dedup();
    for finding in &mut explanation.findings {
        finding.confidence = finding.confidence.min(Confidence::Likely);
    }
}

/// Parses the messages of a text, at least one. A new message begins at each error name and at each
/// service event.
fn parse_messages(text: NormalizedText, has_no_secrets: bool) -> Vec<ParsedMessage> {
    let dense = text.dense.as_str();
    let errors = dense.match_indices("error:").filter_map(|(end, _)| {
        let name = ERROR_NAMES
            .iter()
            .find(|name| dense[..end].ends_with(*name))?;
        Some(end - name.len())
    });
    let events = dense.match_indices("(service").map(|(at, _)| at);
    let mut starts: Vec<usize> = errors.chain(events).collect();
    starts.sort_unstable();
    // `CannotStartContainerError: ResourceInitializationError: …` is one message with two names.
    let is_name_before = |at: usize, next: usize| {
        dense[at..next].ends_with("error:")
            && ERROR_NAMES.iter().any(|name| {
                dense[at..].starts_with(name) && at + name.len() + "error:".len() == next
            })
    };
    starts.dedup_by(|next, at| is_name_before(*at, *next));
    starts.truncate(MAX_MESSAGES);
    // Text before the first error name belongs to it: a service event, an email's greeting.
    let is_single = match starts.as_slice() {
        [] | [_] => true,
        [first, _] => dense[*first..].starts_with("(service"),
        _ => false,
    };
    if is_single {
        return vec![ParsedMessage::parse(text, has_no_secrets)];
    }
    starts[0] = 0;
    let ends = starts.iter().skip(1).copied().chain([dense.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| ParsedMessage::parse(text.slice(*start, end), has_no_secrets))
        .collect()
}

#[cfg(test)]
mod tests;
