//! What a text proves, each with the fragment that proves it.

use super::parsed::Reading;
use super::sign::Sign;
use super::{Explanation, Step};
use crate::cause::Family;
use crate::ip_owner::RANGES_DATE;
use crate::observation::{Dependency, Scope};
use crate::redact::shorten;

/// Characters of a quoted fragment: enough to find it in the text again.
const LONGEST_QUOTE: usize = 160;

/// Every proven statement, in the order in which a start goes.
pub fn proven(reading: &Reading) -> Vec<String> {
    let mut proven = Vec::new();
    step(reading, &mut proven);
    name(reading, &mut proven);
    connection(reading, &mut proven);
    answer(reading, &mut proven);
    proven
}

/// `statement: “fragment”`.
fn with(reading: &Reading, statement: &str, fragment: &str) -> String {
    let fragment = reading.shown(shorten(fragment, LONGEST_QUOTE));
    if fragment.is_empty() {
        statement.to_owned()
    } else {
        format!("{statement}: “{fragment}”")
    }
}

fn step(reading: &Reading, proven: &mut Vec<String>) {
    if reading.step == Step::Unknown {
        return;
    }
    let of_step = reading
        .hits
        .iter()
        .filter(|hit| hit.step.is_some_and(|(step, _)| step == reading.step));
    let strongest = of_step.max_by_key(|hit| {
        (
            hit.step.map(|(_, weight)| weight),
            std::cmp::Reverse(hit.at),
        )
    });
    let host = reading
        .parts
        .host
        .as_ref()
        .map(|host| host.quote(&reading.plain));
    let fragment = strongest
        .map(|hit| hit.quote(&reading.plain))
        .or(host)
        .unwrap_or_default();
    proven.push(with(
        reading,
        &format!("the start had got to {}", reading.step.title()),
        fragment,
    ));
    let worked = reading.step.before();
    // The order is Fargate's; the agent of an EC2 instance starts the log driver after the pull.
    if !worked.is_empty()
        && reading.plain.dense.contains("error:")
        && !reading.plain.dense.contains("daemon")
    {
        let titles: Vec<_> = worked.iter().map(|step| step.title()).collect();
        proven.push(format!(
            "on Fargate these come before, so they worked or were not needed: {}",
            titles.join(", ")
        ));
    }
}

fn name(reading: &Reading, proven: &mut Vec<String>) {
    if let Some(lookup) = &reading.parts.lookup {
        let quote = lookup.quote(&reading.plain);
        proven.push(match reading.sign {
            Some(Sign::NoSuchName) => with(
                reading,
                "the resolver answered, and that there is no such name",
                quote,
            ),
            Some(Sign::ResolverFailed) => {
                with(reading, "the resolver answered, and that it cannot", quote)
            }
            _ => with(
                reading,
                "the name was looked up, and the resolver did not answer",
                quote,
            ),
        });
    } else if let Some(phrase) = [Sign::NoSuchName, Sign::ResolverFailed]
        .iter()
        .find_map(|sign| reading.phrase(*sign))
    {
        proven.push(with(reading, "a name did not resolve", phrase));
    }
    if let Some(mistake) = &reading.mistyped {
        let host = reading
            .parts
            .host
            .as_ref()
            .map(|host| host.quote(&reading.plain))
            .unwrap_or_default();
        proven.push(with(
            reading,
            &format!("this is no registry of Amazon ECR ({mistake})"),
            host,
        ));
    }
    let Some(dial) = &reading.parts.dial else {
        return;
    };
    let quote = dial.quote(&reading.plain);
    let aws = reading
        .dependency
        .is_some_and(Dependency::has_interface_endpoint);
    match reading.scope() {
        Some(Scope::Public) => proven.push(with(reading, "the name resolved to a public address", quote)),
        _ if aws => proven.push(with(
            reading,
            "the name resolved to a private address, so an interface endpoint or a private zone answers for it",
            quote,
        )),
        _ => proven.push(with(reading, "the name resolved to a private address", quote)),
    }
    if let Some(owner) = &reading.owner {
        let meaning = match reading.step {
            Step::ImageLayer if owner.starts_with("S3 ") => ": the layers, not the registry",
            _ => "",
        };
        proven.push(with(
            reading,
            &format!("AWS lists the address as {owner}{meaning}"),
            &dial.value.to_string(),
        ));
    } else if reading.scope() == Some(Scope::Public) && aws {
        let none =
            format!("the address is in none of the ranges that AWS had published by {RANGES_DATE}");
        proven.push(with(reading, &none, &dial.value.to_string()));
    }
    if reading.host.is_some()
        && reading.host != reading.parts.host.as_ref().map(|host| host.value.clone())
    {
        proven.push("Fargate prints the image's name where the layer's URL stood".into());
    }
}

fn connection(reading: &Reading, proven: &mut Vec<String>) {
    let silent = matches!(
        reading.sign,
        Some(
            Sign::TimedOut | Sign::NoAnswer | Sign::ConnectionIssue | Sign::Killed | Sign::Retried
        )
    );
    if let Some(status) = reading
        .parts
        .status
        .as_ref()
        .filter(|status| status.value == 0)
    {
        proven.push(with(
            reading,
            "no service answered",
            status.quote(&reading.plain),
        ));
    }
    let phrase = reading
        .sign
        .and_then(|sign| reading.phrase(sign))
        .unwrap_or_default();
    match reading.sign {
        Some(Sign::Killed) => proven.push(with(
            reading,
            "the log driver's helper hung until it was killed, which a missing log group does not do",
            phrase,
        )),
        Some(Sign::ConnectionIssue) => proven.push(with(reading, "ECS itself calls it a connection issue", phrase)),
        Some(Sign::Refused) => proven.push(with(reading, "the address answers, and refuses the connection", phrase)),
        Some(Sign::Reset) => {
            proven.push(with(reading, "the connection was ended from the other side or in between", phrase));
        }
        Some(Sign::Stalled) => proven.push(with(reading, "it began, and then nothing more came", phrase)),
        _ if reading.family() == Family::Tls => {
            proven.push(with(reading, "the name resolved and the connection stood: it is TLS that fails", phrase));
        }
        _ if silent && !phrase.is_empty() => proven.push(with(reading, "nothing answered in time", phrase)),
        _ => {}
    }
    if let Some(retries) = reading
        .parts
        .retries
        .as_ref()
        .filter(|retries| retries.value > 1 && silent)
    {
        proven.push(with(
            reading,
            "it was tried again and again: what a service refuses is tried once",
            retries.quote(&reading.plain),
        ));
    }
}

fn answer(reading: &Reading, proven: &mut Vec<String>) {
    let answered = reading.is_answered()
        && !matches!(
            reading.family(),
            Family::Network | Family::Resolve | Family::Tls
        );
    if answered {
        let status = reading
            .parts
            .status
            .as_ref()
            .map(|status| status.quote(&reading.plain));
        let id = reading
            .parts
            .request_id
            .as_ref()
            .map(|id| id.quote(&reading.plain));
        proven.push(with(
            reading,
            "a service answered, so its name, the connection and TLS work",
            status.or(id).unwrap_or_default(),
        ));
    }
    let once = reading
        .parts
        .retries
        .as_ref()
        .filter(|retries| retries.value == 1);
    if let Some(once) = once.filter(|_| reading.family() == Family::Unknown) {
        proven.push(with(
            reading,
            "one try was enough, which suggests that a service answered",
            once.quote(&reading.plain),
        ));
    }
    if let Some(denial) = reading
        .parts
        .denial
        .as_ref()
        .filter(|_| reading.sign == Some(Sign::Denied))
    {
        let part =
            |word: &str, part: &Option<String>| part.as_ref().map(|part| format!("{word} {part}"));
        let parts = [
            part("action", &denial.action),
            part("resource", &denial.resource),
            part("caller", &denial.principal),
            denial
                .policy
                .map(|policy| format!("policy {}", super::kebab(policy))),
            part("policy ARN", &denial.policy_arn),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let parts = if parts.is_empty() {
            "by AWS KMS".to_owned()
        } else {
            parts.join(", ")
        };
        proven.push(reading.shown(&format!("it was refused: {parts}")));
    } else if !matches!(
        reading.family(),
        Family::Network | Family::Resolve | Family::Tls
    ) {
        // Where the step's own words say it as well, they have been quoted.
        let said = reading
            .sign
            .and_then(|sign| reading.phrase(sign))
            .map(|phrase| with(reading, "this was said", phrase));
        let is_new = |said: &String| {
            said.split_once('“')
                .is_none_or(|(_, end)| !proven.iter().any(|p| p.ends_with(end)))
        };
        let said = said.filter(is_new);
        proven.extend(said);
    }
}

/// What the next failures may be: the first message hides those of the steps after it.
pub fn next_failures(explanation: &Explanation) -> Vec<String> {
    let hidden = explanation.step.after().iter().map(|step| match step {
        Step::ImageLayer => format!(
            "{step}: {}, which Amazon ECR keeps in Amazon S3",
            step.title()
        ),
        _ => format!("{step}: {}", step.title()),
    });
    hidden.collect()
}
