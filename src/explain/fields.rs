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

use winnow::Parser;
use winnow::ascii::{dec_uint, digit1};
use winnow::combinator::{alt, delimited, fail, peek, preceded, terminated};
use winnow::error::EmptyError as Fail;
use winnow::token::{any, one_of, take_until, take_while};

use super::normalize::Plain;
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
    /// `dial tcp ADDRESS:PORT`, or the other end of a connection that broke.
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
    let lookup = first(dense, "lookup", lookup);
    let host = match &lookup {
        Some(lookup) => Some(Part {
            value: lookup.value.host.clone(),
            from: lookup.from,
            to: lookup.to,
        }),
        None => url(dense).or_else(|| image_host(dense, words.image.as_deref()?)),
    };
    let dial = first(dense, "dialtcp", address);
    let other_end = || {
        ["readtcp", "writetcp"]
            .iter()
            .find_map(|call| first(dense, call, other_end))
    };
    Parts {
        service: first(dense, "(service", service)
            .map(|name| plain.quote(name.to - name.value, name.to).to_owned()),
        retries: first(dense, "beenretried", dec_uint),
        status: first(
            dense,
            "statuscode:",
            whole(dec_uint).verify(|n| *n == 0 || (100..600).contains(n)),
        ),
        request_id: first(dense, "requestid:", request_id),
        dial: dial.or_else(other_end),
        lookup,
        host,
        image: words.image,
        arns: words.arns,
        // The denial parser reads the whole text several times, and most texts are none.
        denial: ["authorizedtoperform", "kms", "ciphertextref"]
            .iter()
            .any(|sign| dense.contains(sign))
            .then(|| denial::parse(&plain.text))
            .flatten(),
    }
}

/// The first place where `part` follows its phrase; from the phrase to the part's end.
fn first<'a, T>(
    dense: &'a str,
    phrase: &str,
    mut part: impl Parser<&'a str, T, Fail>,
) -> Option<Part<T>> {
    dense.match_indices(phrase).find_map(|(from, phrase)| {
        let mut rest = dense.get(from + phrase.len()..)?;
        let value = part.parse_next(&mut rest).ok()?;
        Some(Part {
            value,
            from,
            to: dense.len() - rest.len(),
        })
    })
}

/// What the text does not end in: that may have been cut.
fn whole<'a, T>(part: impl Parser<&'a str, T, Fail>) -> impl Parser<&'a str, T, Fail> {
    terminated(part, peek(any))
}

/// `NAME)` or `NAME, taskSet …)`: the bytes of the name.
fn service(input: &mut &str) -> Result<usize, Fail> {
    let name = take_while(1.., |c: char| c.is_ascii_alphanumeric() || "-_".contains(c));
    terminated(name, peek(one_of([')', ','])))
        .map(str::len)
        .parse_next(input)
}

fn request_id(input: &mut &str) -> Result<String, Fail> {
    take_while(8.., |c: char| c.is_ascii_hexdigit() || c == '-')
        .map(str::to_owned)
        .parse_next(input)
}

/// `10.0.3.4` or, as Go writes it before a port, `[2600:1fa0::1]`.
fn address(input: &mut &str) -> Result<IpAddr, Fail> {
    let v6 = delimited('[', take_until(1.., ']'), ']');
    let v4 = take_while(1.., |c: char| c.is_ascii_digit() || c == '.');
    whole(alt((v6, v4))).parse_to().parse_next(input)
}

/// `10.0.1.5:44322->52.217.110.42`: of a connection that stood.
fn other_end(input: &mut &str) -> Result<IpAddr, Fail> {
    preceded((address, ':', digit1, "->"), address).parse_next(input)
}

/// `HOST on RESOLVER:53:`. Without blanks the resolver's address hangs on the name:
/// `….comon10.0.0.2:53:`.
fn lookup(input: &mut &str) -> Result<Lookup, Fail> {
    let name = terminated(take_while(1.., is_of_host), peek(':')).parse_next(input)?;
    let on = name
        .rmatch_indices("on")
        .find_map(|(cut, on)| Some((&name[..cut], name[cut + on.len()..].parse().ok()?)));
    let (host, resolver) = on.map_or((name, None), |(host, resolver)| (host, Some(resolver)));
    if host.contains('.') {
        Ok(Lookup {
            host: host.to_owned(),
            resolver,
        })
    } else {
        fail.parse_next(input)
    }
}

/// Of a host's name, with what accounts are masked with.
fn is_of_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._*<>{}…".contains(c)
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
    let host = whole(take_while(1..=LONGEST_HOST, is_of_host)).verify(|host: &str| {
        host.contains('.') && !ADVICE.iter().any(|site| host.starts_with(site))
    });
    let mut url = first(dense, "://", host.map(str::to_owned))?;
    let scheme = ["https", "http"]
        .into_iter()
        .find(|scheme| dense[..url.from].ends_with(scheme));
    url.from -= scheme.map_or(0, str::len);
    Some(url)
}

fn image_host(dense: &str, image: &str) -> Option<Part<String>> {
    let (host, _) = image.split_once('/')?;
    let host = host.to_ascii_lowercase();
    let from = dense.find(&host)?;
    Some(Part {
        from,
        to: from + host.len(),
        value: host,
    })
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
        assert_eq!(
            found.host.unwrap().quote(&plain),
            "https://api.ecr.eu-west-1.amazonaws.com"
        );
        let dial = found.dial.unwrap();
        assert_eq!(
            (dial.value, dial.quote(&plain)),
            ([10, 0, 3, 4].into(), "dial tcp 10.0.3.4")
        );
    }

    #[test]
    fn lookups_name_host_and_resolver() {
        let on = parts(
            "dial tcp: lookup api.ecr.us-east-1.amazonaws.com on 10.0.0.2:53: server misbehaving",
        )
        .lookup;
        let on = on.unwrap().value;
        assert_eq!(on.host, "api.ecr.us-east-1.amazonaws.com");
        assert_eq!(on.resolver, Some([10, 0, 0, 2].into()));
        let without = parts("lookup logs.eu-west-1.amazonaws.com: i/o timeout")
            .lookup
            .unwrap()
            .value;
        assert_eq!(
            without,
            Lookup {
                host: "logs.eu-west-1.amazonaws.com".into(),
                resolver: None
            }
        );
        assert_eq!(parts("lookup logs.eu-west-1.amazo").lookup, None);
        assert_eq!(
            parts("dial tcp [2600:1fa0::1]:443: i/o timeout")
                .dial
                .unwrap()
                .value
                .to_string(),
            "2600:1fa0::1"
        );
    }

    #[test]
    fn what_was_cut_is_not_read() {
        assert_eq!(parts("dial tcp 10.0.3.4").dial, None);
        assert_eq!(parts("Post https://api.ecr.us-ea").host, None);
        assert_eq!(parts("https response error StatusCode: 4").status, None);
        assert_eq!(
            parts("see https://docs.aws.amazon.com/x and https://www.docker.com/y").host,
            None
        );
    }

    #[test]
    fn images_need_no_scheme() {
        let text = "Get 12.dkr.ecr.us-east-1.amazonaws.com/team/app:2.0@sha256:6: dial tcp 16.15.180.104:443: i/o timeout.";
        let found = parts(text);
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
