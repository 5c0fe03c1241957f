//! The named parts of a failure's text: who was asked, at which address, how often, what came back.
//!
//! ```text
//! (service web) was unable to place a task. Reason: ResourceInitializationError: unable to pull secrets or registry
//!  └ service event                                 auth: … unable to retrieve ecr registry auth:
//! service call has been retried 3 time(s): operation error ECR: GetAuthorizationToken, https response error
//!  └ retries                                └ operation
//! StatusCode: 0, RequestID: , dial tcp 203.0.113.9:443: i/o timeout
//!  └ status    └ request id   └ dial
//! ```

use std::net::IpAddr;

use super::plain::Plain;
use crate::aws::denial;
use crate::observation::Denial;

/// Longest host name (RFC 1035 section 2.3.4), with some room for a mask in it.
const LONGEST_HOST: usize = 300;

/// A part, with the place in [`Plain::dense`] that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// What it says.
    pub value: T,
    /// First byte.
    pub from: usize,
    /// One past the last byte.
    pub to: usize,
}

impl<T> Part<T> {
    /// The fragment in the text.
    pub fn quote<'a>(&self, plain: &'a Plain) -> &'a str {
        plain.quote(self.from, self.to)
    }
}

/// A name that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The name.
    pub host: String,
    /// The resolver that was asked, where the text says.
    pub resolver: Option<IpAddr>,
}

/// What a text is made of. A part that it does not have is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// `(service NAME)`.
    pub service: Option<String>,
    /// `has been retried N time(s)`.
    pub retries: Option<Part<u32>>,
    /// `StatusCode: N`, `status code: N`; 0 where no answer came.
    pub status: Option<Part<u16>>,
    /// `RequestID: …`: only a service gives one.
    pub request_id: Option<Part<String>>,
    /// `dial tcp ADDRESS:PORT`.
    pub dial: Option<Part<IpAddr>>,
    /// `lookup HOST on RESOLVER`.
    pub lookup: Option<Part<Lookup>>,
    /// The host of a URL that was asked, or of the image.
    pub host: Option<Part<String>>,
    /// An image reference.
    pub image: Option<String>,
    /// An ARN of a secret, a parameter, a role: whatever the text names first besides the caller.
    pub arns: Vec<String>,
    /// The refusal, taken apart.
    pub denial: Option<Denial>,
}

/// Take a text apart.
pub fn parse(plain: &Plain) -> Parts {
    let dense = plain.dense.as_str();
    let words = Words::of(&plain.text);
    let lookup = lookup(dense);
    let image = words.image;
    let host = match &lookup {
        Some(lookup) => Some(Part { value: lookup.value.host.clone(), from: lookup.from, to: lookup.to }),
        None => url(dense).or_else(|| image_host(dense, image.as_deref()?)),
    };
    Parts {
        service: after(dense, "(service").and_then(|at| service(plain, at)),
        retries: retries(dense),
        status: status(dense),
        request_id: request_id(dense),
        dial: dial(dense),
        lookup,
        host,
        image,
        arns: words.arns,
        // The denial parser reads the whole text several times, and most texts are none.
        denial: ["authorizedtoperform", "kms", "ciphertextref"]
            .iter()
            .any(|sign| dense.contains(sign))
            .then(|| denial::parse(&plain.text))
            .flatten(),
    }
}

/// Where the text after `phrase` begins.
fn after(dense: &str, phrase: &str) -> Option<usize> {
    dense.find(phrase).map(|at| at + phrase.len())
}

/// The run of bytes from `at` that satisfy `is`.
fn run(dense: &str, at: usize, is: impl Fn(u8) -> bool) -> &str {
    let rest = dense.as_bytes().get(at..).unwrap_or_default();
    let len = rest.iter().position(|b| !is(*b)).unwrap_or(rest.len());
    dense.get(at..at + len).unwrap_or_default()
}

fn service(plain: &Plain, at: usize) -> Option<String> {
    let name = run(&plain.dense, at, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let name = (!name.is_empty()).then(|| plain.quote(at, at + name.len()))?;
    (plain.dense.as_bytes().get(at + name.len()) == Some(&b')')).then(|| name.to_owned())
}

fn retries(dense: &str) -> Option<Part<u32>> {
    const PHRASE: &str = "beenretried";
    let at = after(dense, PHRASE)?;
    let digits = run(dense, at, |b| b.is_ascii_digit());
    Some(Part { value: digits.parse().ok()?, from: at - PHRASE.len(), to: at + digits.len() })
}

fn status(dense: &str) -> Option<Part<u16>> {
    const PHRASE: &str = "statuscode:";
    let at = after(dense, PHRASE)?;
    let digits = run(dense, at, |b| b.is_ascii_digit());
    let whole = at + digits.len() < dense.len();
    let value = digits.parse().ok().filter(|status| whole && (*status == 0 || (100..600).contains(status)))?;
    Some(Part { value, from: at - PHRASE.len(), to: at + digits.len() })
}

fn request_id(dense: &str) -> Option<Part<String>> {
    const PHRASE: &str = "requestid:";
    let at = after(dense, PHRASE)?;
    let id = run(dense, at, |b| b.is_ascii_hexdigit() || b == b'-');
    (id.len() >= 8).then(|| Part { value: id.to_owned(), from: at - PHRASE.len(), to: at + id.len() })
}

fn dial(dense: &str) -> Option<Part<IpAddr>> {
    dense.match_indices("dialtcp").find_map(|(from, phrase)| {
        let at = from + phrase.len();
        let rest = dense.get(at..)?;
        // Go writes an IPv6 address in brackets; a resolver's `10.0.1.2:1234->` stands before the one that was asked.
        let (address, to) = if let Some(v6) = rest.strip_prefix('[') {
            let end = v6.find(']')?;
            (&v6[..end], at + end + 2)
        } else {
            let v4 = run(dense, at, |b| b.is_ascii_digit() || b == b'.');
            (v4, at + v4.len())
        };
        let cut = to >= dense.len();
        let value = address.parse().ok().filter(|_| !cut)?;
        Some(Part { value, from, to })
    })
}

fn lookup(dense: &str) -> Option<Part<Lookup>> {
    dense.match_indices("lookup").find_map(|(from, phrase)| {
        let at = from + phrase.len();
        let name = run(dense, at, |b| b.is_ascii_alphanumeric() || b"-._*<>".contains(&b));
        // Without blanks the resolver's address hangs on the name: `….comon10.0.0.2:53:`.
        let on = name.rmatch_indices("on").find_map(|(cut, on)| {
            let address = name[cut + on.len()..].parse::<IpAddr>().ok()?;
            Some((&name[..cut], Some(address)))
        });
        let (host, resolver) = on.unwrap_or((name, None));
        let to = at + name.len();
        let is_host = host.contains('.') && dense.as_bytes().get(to) == Some(&b':');
        is_host.then(|| Part { value: Lookup { host: host.to_owned(), resolver }, from, to })
    })
}

/// Hosts of URLs that are advice and not what was asked.
const ADVICE: [&str; 10] = [
    "docs.aws.",
    "console.aws.",
    "aws.amazon.com",
    "www.",
    "go.microsoft.",
    "github.com",
    "stackoverflow.com",
    "repost.aws",
    "docs.docker.com",
    "support.",
];

fn url(dense: &str) -> Option<Part<String>> {
    dense.match_indices("://").find_map(|(scheme, separator)| {
        let at = scheme + separator.len();
        let host = run(dense, at, |b| b.is_ascii_alphanumeric() || b"-._<>{}".contains(&b));
        // A host that the text ends in may have been cut.
        let cut = at + host.len() >= dense.len();
        let is_host =
            host.contains('.') && host.len() <= LONGEST_HOST && !ADVICE.iter().any(|site| host.starts_with(site));
        let from = scheme - run_back(dense, scheme);
        (is_host && !cut).then(|| Part { value: host.to_owned(), from, to: at + host.len() })
    })
}

/// Bytes of the scheme before `://`.
fn run_back(dense: &str, end: usize) -> usize {
    ["https", "http"].iter().find(|scheme| dense[..end].ends_with(*scheme)).map_or(0, |scheme| scheme.len())
}

fn image_host(dense: &str, image: &str) -> Option<Part<String>> {
    let (host, _) = image.split_once('/')?;
    let host = host.to_ascii_lowercase();
    let from = dense.find(&host)?;
    let to = from + host.len();
    Some(Part { value: host, from, to })
}

/// What makes a word an image: a registry host that needs no scheme.
const REGISTRIES: [&str; 9] = [
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

/// The words of a text that name something.
#[derive(Debug, Default)]
struct Words {
    image: Option<String>,
    arns: Vec<String>,
}

impl Words {
    fn of(text: &str) -> Self {
        let mut words = Self::default();
        for word in text.split_ascii_whitespace() {
            let bare = word.trim_matches(['"', '\'', '`', '(', ')', '[', ']', '<', '>', ',', ';']);
            let bare = bare.trim_end_matches(['.', ':', ',']);
            if words.image.is_none() && bare.contains('/') && !bare.contains("://") {
                let named = REGISTRIES.iter().any(|registry| bare.contains(registry));
                if named && !bare.starts_with("arn:") {
                    words.image = Some(bare.trim_end_matches(['"', '\'', '.', ':']).to_owned());
                }
            }
            if bare.starts_with("arn:aws") && words.arns.len() < 8 {
                words.arns.push(bare.to_owned());
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Parts {
        parse(&Plain::new(text))
    }

    #[test]
    fn a_wrapped_sdk_error_falls_apart_into_its_parts() {
        let text = "(service web-1) was unable to place a task. Reason: ResourceInitializationError: … service call has \
                    been retried 3 time(s): operation error ECR: GetAuthorizationToken, https response error \
                    StatusCode: 0, RequestID: , request send failed, Post \"https://api.ecr.eu-west-1.amazonaws.com/\": \
                    dial tcp 10.0.3.4:443: i/o timeout";
        let plain = Plain::new(text);
        let found = parse(&plain);
        assert_eq!(found.service.as_deref(), Some("web-1"));
        assert_eq!(found.retries.unwrap().value, 3);
        assert_eq!(found.status.unwrap().value, 0);
        assert_eq!(found.request_id, None);
        assert_eq!(found.host.unwrap().quote(&plain), "https://api.ecr.eu-west-1.amazonaws.com");
        let dial = found.dial.unwrap();
        assert_eq!((dial.value, dial.quote(&plain)), ([10, 0, 3, 4].into(), "dial tcp 10.0.3.4"));
    }

    #[test]
    fn lookups_name_host_and_resolver() {
        let on = parts("dial tcp: lookup api.ecr.us-east-1.amazonaws.com on 10.0.0.2:53: server misbehaving").lookup;
        let on = on.unwrap().value;
        assert_eq!(on.host, "api.ecr.us-east-1.amazonaws.com");
        assert_eq!(on.resolver, Some([10, 0, 0, 2].into()));
        let without = parts("lookup logs.eu-west-1.amazonaws.com: i/o timeout").lookup.unwrap().value;
        assert_eq!(without, Lookup { host: "logs.eu-west-1.amazonaws.com".into(), resolver: None });
        assert_eq!(parts("lookup logs.eu-west-1.amazo").lookup, None);
        assert_eq!(parts("dial tcp [2600:1fa0::1]:443: i/o timeout").dial.unwrap().value.to_string(), "2600:1fa0::1");
    }

    #[test]
    fn what_was_cut_is_not_read() {
        assert_eq!(parts("dial tcp 10.0.3.4").dial, None);
        assert_eq!(parts("Post https://api.ecr.us-ea").host, None);
        assert_eq!(parts("https response error StatusCode: 4").status, None);
        assert_eq!(parts("see https://docs.aws.amazon.com/x and https://www.docker.com/y").host, None);
    }

    #[test]
    fn images_need_no_scheme() {
        let text =
            "Get 12.dkr.ecr.us-east-1.amazonaws.com/team/app:2.0@sha256:6: dial tcp 16.15.180.104:443: i/o timeout.";
        let found = parts(text);
        assert_eq!(found.image.as_deref(), Some("12.dkr.ecr.us-east-1.amazonaws.com/team/app:2.0@sha256:6"));
        assert_eq!(found.host.unwrap().value, "12.dkr.ecr.us-east-1.amazonaws.com");
    }
}
