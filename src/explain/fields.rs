//! The fields of a failure message: host, address, number of attempts, response.
//!
//! ```text
//! (service web) was unable to place a task. Reason: ResourceInitializationError: unable to pull
//!  └ service
//! secrets or registry auth: … unable to retrieve ecr registry auth: service call has been retried
//! 3 time(s): operation error ECR: GetAuthorizationToken, https response error StatusCode: 0,
//! └ attempts                                                                  └ status
//! RequestID: , dial tcp 203.0.113.9:443: i/o timeout
//! └ request_id └ dial
//! ```

use std::net::IpAddr;

use winnow::Parser;
use winnow::ascii::{dec_uint, digit1};
use winnow::combinator::{alt, delimited, fail, peek, preceded, terminated};
use winnow::error::EmptyError as Fail;
use winnow::token::{any, one_of, take_until, take_while};

use super::normalize::NormalizedText;
use crate::arn::Arn;
use crate::aws::denial;
use crate::observation::Denial;
use crate::reference::{Reference, is_host};

/// Longest name of a container in bytes (Amazon ECS API reference, `ContainerDefinition`).
const MAX_NAME_LEN: usize = 255;

/// Longest host name in bytes (RFC 1035 section 2.3.4), with room for a masked account.
const MAX_HOST_LEN: usize = 300;

/// A value, with the range of [`NormalizedText::dense`] that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<T> {
    /// The parsed value.
    pub value: T,
    /// Offset of the first byte.
    pub from: usize,
    /// Offset after the last byte.
    pub to: usize,
}

impl<T> Field<T> {
    /// Returns the fragment of the text.
    pub fn quote<'a>(&self, text: &'a NormalizedText) -> &'a str {
        text.quote(self.from, self.to)
    }
}

/// A DNS lookup that Go reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsLookup {
    /// The name.
    pub host: String,
    /// Address of the resolver, if the text has it.
    pub resolver: Option<IpAddr>,
}

/// The fields of a text; `None` for those that it does not contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// `(service NAME)`, `service NAME was unable`.
    pub service: Option<String>,
    /// Name of the container whose reason a JSON document or a Python dictionary gives.
    pub container: Option<String>,
    /// `has been retried N time(s)`: the number of attempts.
    pub attempts: Option<Field<u32>>,
    /// `StatusCode: N`, `status code: N`; 0 if there was no HTTP response.
    pub status: Option<Field<u16>>,
    /// `RequestID: …`, which only a service's response has.
    pub request_id: Option<Field<String>>,
    /// `dial tcp ADDRESS:PORT`, or the remote address of a broken connection.
    pub dial: Option<Field<IpAddr>>,
    /// `lookup HOST on RESOLVER`.
    pub lookup: Option<Field<DnsLookup>>,
    /// Host of the lookup, of the requested URL, or of the image.
    pub host: Option<Field<String>>,
    /// Whether the host is that of the image, and no request names one.
    pub is_host_of_image: bool,
    /// Image reference.
    pub image: Option<String>,
    /// ARNs of secrets, parameters, roles and so on, in the order of the text. Any of them may be
    /// cut or masked.
    pub arns: Vec<String>,
    /// The parsed authorization error.
    pub denial: Option<Denial>,
}

impl Fields {
    /// Whether the text contains a service's own response. DNS, connection and TLS then worked.
    pub fn is_service_response(&self) -> bool {
        let status = self.status.as_ref().map(|status| status.value);
        status.is_some_and(|status| status >= 100)
            || (self.request_id.is_some() && status != Some(0))
    }

    /// Returns `service:Action` of the authorization error, in lower case.
    pub fn denied_action(&self) -> Option<String> {
        let action = self.denial.as_ref()?.action.as_ref()?;
        Some(action.to_ascii_lowercase())
    }

    /// Returns the name of the cluster that an ARN of Amazon ECS has.
    pub fn cluster(&self) -> Option<String> {
        self.ecs_arns()
            .filter_map(|arn| arn.cluster_name().map(str::to_owned))
            .find(|name| is_name(name))
    }

    /// Returns the name of the service that an ARN of Amazon ECS has.
    fn service_of_arn(&self) -> Option<String> {
        self.ecs_arns()
            .find(|arn| arn.resource_type() == Some("service"))
            .map(|arn| arn.name().to_owned())
            .filter(|name| is_name(name))
    }

    fn ecs_arns(&self) -> impl Iterator<Item = Arn> {
        self.arns
            .iter()
            .filter_map(|arn| arn.parse::<Arn>().ok())
            .filter(|arn| arn.service == "ecs")
    }

    /// Returns the first ARN of a service. Not parsed as [`crate::arn::Arn`]: a message may be cut
    /// within it.
    pub fn arn_of(&self, service: &str) -> Option<&str> {
        self.arns
            .iter()
            .map(String::as_str)
            .find(|arn| arn.split(':').nth(2) == Some(service))
    }
}

/// Reads the fields of a text.
pub fn parse(text: &NormalizedText) -> Fields {
    let dense = text.dense.as_str();
    let names = Names::find(&text.text);
    let dial = first(dense, "dialtcp", address);
    let remote_address = || {
        ["readtcp", "writetcp"]
            .iter()
            .find_map(|call| first(dense, call, remote_address))
    };
    let dial = dial.or_else(remote_address);
    let lookup = first(dense, "lookup", lookup);
    let host = match &lookup {
        Some(lookup) => Some(Field {
            value: lookup.value.host.clone(),
            from: lookup.from,
            to: lookup.to,
        }),
        None => url(dense, dial.as_ref().map(|dial| dial.from))
            .or_else(|| field_of(dense, names.ecr_host.as_deref()?)),
    };
    let is_host_of_image = host.is_none();
    let host = host.or_else(|| image_host(dense, names.image.as_deref()?));
    let mut fields = Fields {
        service: first(dense, "(service", service)
            .map(|name| text.quote(name.to - name.value, name.to).to_owned())
            .or_else(|| service_of_sentence(&text.text)),
        container: container(&text.text),
        attempts: first(dense, "beenretried", dec_uint),
        status: first(
            dense,
            "statuscode:",
            uncut(dec_uint).verify(|n| *n == 0 || (100..600).contains(n)),
        ),
        request_id: first(dense, "requestid:", request_id),
        dial,
        lookup,
        host,
        is_host_of_image,
        image: names.image,
        arns: names.arns,
        // The denial parser reads the whole text several times, and most texts have no denial.
        denial: ["authorizedtoperform", "kms", "ciphertextref"]
            .iter()
            .any(|marker| dense.contains(marker))
            .then(|| denial::parse(&text.text))
            .flatten(),
    };
    fields.service = fields.service.take().or_else(|| fields.service_of_arn());
    fields
}

/// Returns the first value that `parser` reads directly after `phrase`. The field's range includes
/// the phrase.
fn first<'a, T>(
    dense: &'a str,
    phrase: &str,
    mut parser: impl Parser<&'a str, T, Fail>,
) -> Option<Field<T>> {
    dense.match_indices(phrase).find_map(|(from, phrase)| {
        let mut rest = dense.get(from + phrase.len()..)?;
        let value = parser.parse_next(&mut rest).ok()?;
        Some(Field {
            value,
            from,
            to: dense.len() - rest.len(),
        })
    })
}

/// Rejects a value at the end of the text, where it may have been cut.
fn uncut<'a, T>(parser: impl Parser<&'a str, T, Fail>) -> impl Parser<&'a str, T, Fail> {
    terminated(parser, peek(any))
}

/// Reads `NAME)` or `NAME, taskSet …)` and returns the length of the name in bytes.
fn service(input: &mut &str) -> Result<usize, Fail> {
    let name = take_while(1.., |c: char| c.is_ascii_alphanumeric() || "-_".contains(c));
    terminated(name, peek(one_of([')', ','])))
        .map(str::len)
        .parse_next(input)
}

/// Words that follow the name of a service in ECS's sentences about it.
const AFTER_SERVICE: [[&str; 2]; 6] = [
    ["was", "unable"],
    ["is", "unable"],
    ["failed", "to"],
    ["operations", "are"],
    ["deployment", "failed"],
    ["(deployment", "ecs-svc"],
];

/// Reads the name in `service NAME was unable to …`, as the console shows events, with or without
/// brackets and quotation marks.
fn service_of_sentence(text: &str) -> Option<String> {
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        let is_service = word
            .trim_start_matches(['(', '"', '\'', '[', '`', '*', '_'])
            .eq_ignore_ascii_case("service");
        let Some(name) = words.peek().filter(|_| is_service) else {
            continue;
        };
        // Markdown writes a link as `[name](address)`.
        let name = name.split("](").next().unwrap_or_default();
        let name = name.trim_matches(['[', ']', '(', ')', '"', '\'', '`', ',', ':', '*']);
        let mut rest = words.clone().skip(1);
        let after = [
            rest.next().unwrap_or_default(),
            rest.next().unwrap_or_default(),
        ];
        let is_event = AFTER_SERVICE
            .iter()
            .any(|[first, second]| after[0] == *first && after[1].starts_with(second));
        if is_name(name) && is_event {
            return Some(name.to_owned());
        }
    }
    None
}

/// Whether a text is a name of Amazon ECS (API reference, `CreateService`).
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// Returns the name of the container within whose braces the first error name is.
fn container(text: &str) -> Option<String> {
    // Otherwise there is no document to search.
    if !text.contains('{') {
        return None;
    }
    let error = [
        "Cannot",
        "OutOfMemory",
        "ContainerRuntime",
        "ResourceInit",
        "DockerTimeout",
    ]
    .iter()
    .filter_map(|name| text.find(name))
    .min()?;
    let before = &text[..error];
    let key = ["\"name\":", "'name':", "\"Name\":"]
        .iter()
        .filter_map(|key| Some(before.rfind(key)? + key.len()))
        .max()?;
    let after = before[key..].trim_start();
    let quote = after.chars().next().filter(|c| "\"'".contains(*c))?;
    let name = after[1..].split(quote).next()?;
    // Beyond the container's closing brace, the reason is that of the task.
    let mut depth = 0_i32;
    let is_within = after.chars().all(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth >= 0
    });
    (is_within && !name.is_empty() && name.len() <= MAX_NAME_LEN).then(|| name.to_owned())
}

/// Whether the address is link-local or loopback: no packet to it leaves the host.
pub fn is_of_host(address: IpAddr) -> bool {
    address.is_loopback() || is_link_local(address)
}

/// Whether the address is link-local: the task metadata endpoint, the credentials endpoint of the
/// ECS agent or the instance metadata service. No name resolves to it.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[..2] == [0xfd00, 0xec2],
    }
}

fn request_id(input: &mut &str) -> Result<String, Fail> {
    take_while(8.., |c: char| c.is_ascii_hexdigit() || c == '-')
        .map(str::to_owned)
        .parse_next(input)
}

/// Reads `10.0.3.4` or, as Go writes it before a port, `[2600:1fa0::1]`.
fn address(input: &mut &str) -> Result<IpAddr, Fail> {
    let v6 = delimited('[', take_until(1.., ']'), ']');
    let v4 = take_while(1.., |c: char| c.is_ascii_digit() || c == '.');
    uncut(alt((v6, v4))).parse_to().parse_next(input)
}

/// Reads the second address of `10.0.1.5:44322->52.217.110.42`, an established connection.
fn remote_address(input: &mut &str) -> Result<IpAddr, Fail> {
    preceded((address, ':', digit1, "->"), address).parse_next(input)
}

/// Reads `HOST on RESOLVER:53:`. Without spaces the resolver's address follows the name directly:
/// `….comon10.0.0.2:53:`.
fn lookup(input: &mut &str) -> Result<DnsLookup, Fail> {
    let name =
        terminated(take_while(1.., is_host_char), peek(one_of([':', '[']))).parse_next(input)?;
    if input.starts_with('[') {
        let resolver = address.parse_next(input)?;
        return match name.strip_suffix("on") {
            Some(host) if host.contains('.') => Ok(DnsLookup {
                host: host.to_owned(),
                resolver: Some(resolver),
            }),
            _ => fail.parse_next(input),
        };
    }
    let on = name
        .rmatch_indices("on")
        .find_map(|(cut, on)| Some((&name[..cut], name[cut + on.len()..].parse().ok()?)));
    let (host, resolver) = on.map_or((name, None), |(host, resolver)| (host, Some(resolver)));
    if host.contains('.') {
        Ok(DnsLookup {
            host: host.to_owned(),
            resolver,
        })
    } else {
        fail.parse_next(input)
    }
}

/// Whether the character can occur in a host name, or in place of a masked account ID.
fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._*<>{}…".contains(c)
}

/// Hosts of URLs that are documentation or support links, not the host of the request.
const LINK_HOSTS: [&str; 9] = [
    "docs.aws.",
    "aws.amazon.com",
    "www.",
    "go.microsoft.",
    "github.com",
    "stackoverflow.com",
    "repost.aws",
    "docs.docker.com",
    "support.",
];

/// Reads the URL of the request, from its scheme to the end of its host: the first one or, as Go
/// nests errors, the last one before the failed connection, at `dial`.
fn url(dense: &str, dial: Option<usize>) -> Option<Field<String>> {
    let mut urls = dense.match_indices("://").filter_map(|(from, mark)| {
        let mut rest = dense.get(from + mark.len()..)?;
        let mut host = uncut(take_while(1..=MAX_HOST_LEN, is_host_char));
        let host: &str = host.parse_next(&mut rest).ok()?;
        // Agents and people put dots for what they leave out.
        let host = host.split("..").next().unwrap_or_default();
        let is_link = LINK_HOSTS.iter().any(|site| host.starts_with(site))
            // The console has a host in each Region.
            || host.contains("console.aws.");
        let scheme = ["https", "http"]
            .into_iter()
            .find(|scheme| dense[..from].ends_with(scheme));
        (host.contains('.') && !is_link).then(|| Field {
            value: host.to_owned(),
            from: from - scheme.map_or(0, str::len),
            to: from + mark.len() + host.len(),
        })
    });
    let first = urls.next()?;
    let last = dial.and_then(|dial| urls.take_while(|url| url.from < dial).last());
    Some(last.unwrap_or(first))
}

fn image_host(dense: &str, image: &str) -> Option<Field<String>> {
    let (host, _) = image.split_once('/')?;
    let host = host.to_ascii_lowercase();
    if !is_host(&host) {
        return None;
    }
    field_of(dense, host.split(':').next().unwrap_or_default())
}

fn field_of(dense: &str, value: &str) -> Option<Field<String>> {
    let from = dense.find(value)?;
    Some(Field {
        from,
        to: from + value.len(),
        value: value.to_owned(),
    })
}

/// Registry hosts that identify a word as an image reference.
const REGISTRY_MARKERS: [&str; 9] = [
    ".dkr.ecr.",
    ".dkr.ecr-fips.",
    ".dkr-ecr.",
    "docker.io/",
    "public.ecr.aws/",
    "ghcr.io/",
    "quay.io/",
    "gcr.io/",
    ".azurecr.io/",
];

/// Maximum number of ARNs kept. An ECS message names at most three: principal, resource and policy.
const MAX_ARNS: usize = 8;

/// Image reference and ARNs among the words of a text.
#[derive(Debug, Default)]
struct Names {
    image: Option<String>,
    /// API host of Amazon ECR that a sentence gives without a URL.
    ecr_host: Option<String>,
    arns: Vec<String>,
}

/// Pairs of words before the image that was requested. Docker names it as the task
/// definition does, maybe without a registry: `manifest for web:1 not found`.
const BEFORE_IMAGE: [[&str; 2]; 2] = [["manifest", "for"], ["denied", "for"]];

/// Further pairs, after which other words may follow as well.
const MAYBE_BEFORE_IMAGE: [[&str; 2]; 6] = [
    ["resolve", "ref"],
    ["resolve", "reference"],
    ["cannot", "pull"],
    ["pull", "image"],
    ["(404):", "repository"],
    ["Error:", "image"],
];

impl Names {
    /// Splits at white space and, as JSON without spaces needs it, at quotation marks and commas.
    fn find(text: &str) -> Self {
        let mut names = Self::default();
        // In a document, the image of the container that failed follows the name of the error, and
        // those of other containers come before it.
        let error = text.find("Cannot").filter(|_| text.contains('{'));
        let mut image_of_error = None;
        let mut before = ["", ""];
        let words = text
            .split(|c: char| c.is_ascii_whitespace() || "\"',`".contains(c))
            .filter(|word| !word.is_empty());
        for word in words {
            let bare = without_brackets(word.trim_end_matches(['.', ':', ';']));
            let is_candidate = names.image.is_none() || error.is_some() && image_of_error.is_none();
            let is_named = || {
                BEFORE_IMAGE.contains(&before)
                    || MAYBE_BEFORE_IMAGE.contains(&before) && bare.contains(['/', ':', '-'])
            };
            if is_candidate && (has_registry(bare) || is_named() && is_image(bare)) {
                let at = bare.as_ptr().addr() - text.as_ptr().addr();
                if error.is_some_and(|error| at > error) {
                    image_of_error = Some(bare.to_owned());
                }
                names.image.get_or_insert_with(|| bare.to_owned());
            }
            let is_ecr_host = ["api.ecr.", "ecr."]
                .iter()
                .any(|name| bare.starts_with(name))
                && bare.ends_with(".amazonaws.com");
            if is_ecr_host {
                names.ecr_host.get_or_insert_with(|| bare.to_owned());
            }
            if bare.starts_with("arn:aws") && names.arns.len() < MAX_ARNS {
                names.arns.push(bare.to_owned());
            }
            before = [before[1], word];
        }
        names.image = image_of_error.or(names.image);
        names
    }
}

/// Removes the brackets around a word, and those whose other half is in another word. Brackets
/// within it may stand for a masked account ID: `<account>.dkr.ecr.…`.
fn without_brackets(mut word: &str) -> &str {
    for (open, close) in [('(', ')'), ('[', ']'), ('<', '>'), ('{', '}')] {
        let inner = word.strip_prefix(open);
        word = match inner.and_then(|inner| inner.strip_suffix(close)) {
            Some(inner) => inner,
            None => match inner {
                Some(inner) if !inner.contains(close) => inner,
                _ => word,
            },
        };
        if !word.contains(open) {
            word = word.trim_end_matches(close);
        }
    }
    word.trim_end_matches(['.', ':', ';'])
}

/// Whether the word is an image in a well-known registry. Its account ID may be masked.
fn has_registry(word: &str) -> bool {
    word.contains('/')
        && !word.contains("://")
        && !word.starts_with("arn:")
        && REGISTRY_MARKERS
            .iter()
            .any(|registry| word.contains(registry))
}

/// Whether the word can be an image where a sentence has one.
fn is_image(word: &str) -> bool {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    // A platform, as in "no matching manifest for linux/arm64/v8".
    let is_platform = matches!(word.split_once('/'), Some(("linux" | "windows", _)));
    word.starts_with(is_name)
        && !is_platform
        && !word.contains("://")
        && word.parse::<Reference>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        parse(&NormalizedText::new(text))
    }

    #[test]
    fn reads_the_fields_of_a_wrapped_sdk_error() {
        let text = "(service web-1) was unable to place a task. Reason: ResourceInitializationError: … service call has \
                    been retried 3 time(s): operation error ECR: GetAuthorizationToken, https response error \
                    StatusCode: 0, RequestID: , request send failed, Post \"https://api.ecr.eu-west-1.amazonaws.com/\": \
                    dial tcp 10.0.3.4:443: i/o timeout";
        let normalized = NormalizedText::new(text);
        let found = parse(&normalized);
        assert_eq!(found.service.as_deref(), Some("web-1"));
        assert_eq!(found.attempts.unwrap().value, 3);
        assert_eq!(found.status.unwrap().value, 0);
        assert_eq!(found.request_id, None);
        assert_eq!(
            found.host.unwrap().quote(&normalized),
            "https://api.ecr.eu-west-1.amazonaws.com"
        );
        let dial = found.dial.unwrap();
        assert_eq!(
            (dial.value, dial.quote(&normalized)),
            ([10, 0, 3, 4].into(), "dial tcp 10.0.3.4")
        );
    }

    #[test]
    fn reads_host_and_resolver_of_a_lookup() {
        let on = fields(
            "dial tcp: lookup api.ecr.us-east-1.amazonaws.com on 10.0.0.2:53: server misbehaving",
        )
        .lookup;
        let on = on.unwrap().value;
        assert_eq!(on.host, "api.ecr.us-east-1.amazonaws.com");
        assert_eq!(on.resolver, Some([10, 0, 0, 2].into()));
        let without = fields("lookup logs.eu-west-1.amazonaws.com: i/o timeout")
            .lookup
            .unwrap()
            .value;
        assert_eq!(
            without,
            DnsLookup {
                host: "logs.eu-west-1.amazonaws.com".into(),
                resolver: None
            }
        );
        assert_eq!(fields("lookup logs.eu-west-1.amazo").lookup, None);
        assert_eq!(
            fields("dial tcp [2600:1fa0::1]:443: i/o timeout")
                .dial
                .unwrap()
                .value
                .to_string(),
            "2600:1fa0::1"
        );
    }

    #[test]
    fn ignores_values_that_were_cut() {
        assert_eq!(fields("dial tcp 10.0.3.4").dial, None);
        assert_eq!(fields("Post https://api.ecr.us-ea").host, None);
        assert_eq!(fields("https response error StatusCode: 4").status, None);
        assert_eq!(
            fields("see https://docs.aws.amazon.com/x and https://www.docker.com/y").host,
            None
        );
    }

    #[test]
    fn masked_accounts_stay_whole() {
        for masked in [
            "<account-id>",
            "[account]",
            "{account}",
            "xxxxxxxxxxxx",
            "***",
        ] {
            let image = format!("{masked}.dkr.ecr.eu-west-1.amazonaws.com/team/app:1");
            for text in [
                format!("failed to resolve ref {image}: not found"),
                format!("pull access denied for ({image}),"),
                format!("{{\"image\":\"{image}\"}}"),
                format!("<{image}>."),
            ] {
                assert_eq!(fields(&text).image.as_deref(), Some(&*image), "{text}");
            }
        }
    }

    #[test]
    fn reads_image_references_without_a_scheme() {
        let text = "Get 12.dkr.ecr.us-east-1.amazonaws.com/team/app:2.0@sha256:6: dial tcp 16.15.180.104:443: i/o timeout.";
        let found = fields(text);
        assert_eq!(
            found.image.as_deref(),
            Some("12.dkr.ecr.us-east-1.amazonaws.com/team/app:2.0@sha256:6")
        );
        assert_eq!(
            found.host.unwrap().value,
            "12.dkr.ecr.us-east-1.amazonaws.com"
        );
    }
}
