//! Image references: the grammar of the OCI distribution specification, and the registry hosts of
//! Amazon ECR.
//!
//! Written by hand, and not `oci_spec::distribution::Reference`, because a mistake must be pointed
//! at: that one matches a regular expression as a whole and reports no positions.

mod ecr;
mod invalid;

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::endpoints::{Region, Variant, registry_host};
pub use invalid::InvalidReference;
use invalid::quote;

/// Docker Hub's registry; references call it `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Bytes. Room for the longest host, repository, tag and digest, and a bound for all that follows.
const MAX_LENGTH: usize = 1_024;

/// Bytes, of a host name without its last dot (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

/// Bytes, of a repository name (OCI distribution specification, "Pulling manifests").
const MAX_REPOSITORY: usize = 255;

/// Characters, of a tag (ibid.).
const MAX_TAG: usize = 128;

/// Namespaces that the console proposes for pull-through cache rules, and what is behind them
/// (Amazon ECR user guide, "Creating a pull through cache rule").
const PULL_THROUGH: [(&str, &str); 7] = [
    ("docker-hub", "Docker Hub"),
    ("ecr-public", "Amazon ECR Public"),
    ("quay", "Quay"),
    ("kubernetes", "the Kubernetes registry"),
    ("github", "the GitHub container registry"),
    ("gitlab", "the GitLab container registry"),
    ("azure", "the Azure container registry"),
];

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// Where it is.
    pub registry: Registry,
    /// Its name there, `team/app`.
    pub repository: String,
    /// If this and `digest` are `None`, `latest` is meant.
    pub tag: Option<String>,
    /// `sha256:…`. It decides, whatever the tag says.
    pub digest: Option<String>,
}

/// A registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Registry {
    /// A private registry of Amazon ECR.
    Ecr {
        /// Twelve digits.
        account: String,
        /// The registry's region, which need not be the task's.
        region: Region,
        /// Which of its names was used.
        variant: Variant,
    },
    /// Any other, public.ecr.aws among them.
    Other {
        /// Name or address, in lower case; an IPv6 address without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl Reference {
    /// The host to connect to.
    pub fn host(&self) -> String {
        match &self.registry {
            Registry::Ecr {
                account,
                region,
                variant,
            } => registry_host(account, region, *variant),
            Registry::Other { host, .. } => host.clone(),
        }
    }

    /// The TCP port to connect to.
    pub fn port(&self) -> u16 {
        match self.registry {
            Registry::Ecr { .. } => 443,
            Registry::Other { port, .. } => port,
        }
    }

    /// What the repository caches, if its namespace is one that pull-through cache rules usually
    /// have. A hint: any repository may be called so, and a rule may have any other namespace.
    pub fn pulls_through(&self) -> Option<&'static str> {
        let Registry::Ecr { .. } = self.registry else {
            return None;
        };
        let (namespace, _) = self.repository.split_once('/')?;
        PULL_THROUGH
            .iter()
            .find(|(usual, _)| *usual == namespace)
            .map(|(_, upstream)| *upstream)
    }

    /// What goes into `/v2/<repository>/manifests/<version>`.
    pub fn version(&self) -> &str {
        self.digest
            .as_deref()
            .or(self.tag.as_deref())
            .unwrap_or("latest")
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ecr {
                account,
                region,
                variant,
            } => f.write_str(&registry_host(account, region, *variant)),
            Self::Other { host, port: 443 } if host == DOCKER_HUB => f.write_str("docker.io"),
            Self::Other { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Other { host, port: 443 } if host.contains('.') || host == "localhost" => {
                f.write_str(host)
            }
            // Without dot and port a name would be read as a Docker Hub user.
            Self::Other { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for Reference {
    /// The canonical form, which parses to an equal reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(input: String) -> Result<Self, Self::Error> {
        input.parse()
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    /// Fails on the first mistake, from left to right.
    fn from_str(input: &str) -> Result<Self, Self::Err> {
        parse(input).map_err(|(part, message)| InvalidReference::new(input, part, message))
    }
}

/// The part of the input that is wrong, and why. It is a slice of the input, so its place is known.
type Mistake<'a> = (&'a str, String);

fn parse(input: &str) -> Result<Reference, Mistake<'_>> {
    check_characters(input)?;
    let (named, digest) = match input.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (input, None),
    };
    // Docker's rule for telling a host from the user of Docker Hub.
    let (authority, path) = match named.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), path)
        }
        _ => (None, named),
    };
    let registry = match authority {
        Some(authority) => parse_registry(authority)?,
        None if ecr::is_meant(path) => {
            return Err((&path[path.len()..], "the repository is missing".into()));
        }
        None => Registry::Other {
            host: DOCKER_HUB.into(),
            port: 443,
        },
    };
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (path, None),
    };
    if repository.ends_with(":sha256") {
        return Err((
            &path[repository.len() - "sha256".len()..],
            "a digest follows \"@\"".into(),
        ));
    }
    check_repository(repository)?;
    if let Some(tag) = tag {
        check_tag(tag, &path[repository.len()..])?;
    }
    if let Some(digest) = digest {
        check_digest(digest)?;
    }
    let official = matches!(&registry, Registry::Other { host, .. } if host == DOCKER_HUB)
        && !repository.contains('/');
    Ok(Reference {
        registry,
        repository: if official {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        },
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

/// What can be said before the parts are known. Afterwards there are only printable ASCII
/// characters.
fn check_characters(input: &str) -> Result<(), Mistake<'_>> {
    if input.is_empty() {
        return Err((input, "it is empty, expected one such as nginx:1.27".into()));
    }
    if input.len() > MAX_LENGTH {
        return Err((
            input,
            format!(
                "it is {} bytes long, none has more than {MAX_LENGTH}",
                input.len()
            ),
        ));
    }
    if let Some(odd) = first(input, |c| !c.is_ascii_graphic()) {
        let what = if odd.trim().is_empty() {
            "white space"
        } else {
            "a character other than printable ASCII"
        };
        return Err((odd, format!("it contains {what}")));
    }
    if let Some((scheme, _)) = input.split_once("://") {
        let scheme = &input[..scheme.len() + "://".len()];
        return Err((
            scheme,
            format!("it has no scheme: leave out {}", quote(scheme)),
        ));
    }
    if input.starts_with('/') {
        return Err((&input[..1], "it begins with a slash".into()));
    }
    Ok(())
}

fn parse_registry(authority: &str) -> Result<Registry, Mistake<'_>> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let number = match port {
        Some(port) => match port.parse() {
            Ok(number @ 1..) if port.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => {
                return Err((
                    port,
                    format!("the port {} is not between 1 and 65535", quote(port)),
                ));
            }
        },
        None => 443,
    };
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Registry::Other {
                host: address.to_string(),
                port: number,
            }),
            Err(_) => Err((
                address,
                format!("{} is not an IPv6 address", quote(address)),
            )),
        };
    }
    if host.len() > MAX_HOST {
        return Err((
            host,
            format!(
                "the host is {} characters long, at most {MAX_HOST} are allowed",
                host.len()
            ),
        ));
    }
    for label in host.split('.') {
        if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
            return Err((
                label,
                format!("{} is not a label of a host name", quote(label)),
            ));
        }
        if let Some(odd) = first(label, |c| !c.is_ascii_alphanumeric() && c != '-') {
            return Err((odd, format!("{} is not allowed in a host name", quote(odd))));
        }
    }
    if let Some(registry) = ecr::parse(host)? {
        return match port {
            Some(port) if number != 443 => {
                Err((port, "Amazon ECR listens on port 443 only".into()))
            }
            _ => Ok(registry),
        };
    }
    let host = match host.to_ascii_lowercase() {
        hub if ["docker.io", "index.docker.io"].contains(&hub.as_str()) => DOCKER_HUB.into(),
        host => host,
    };
    Ok(Registry::Other { host, port: number })
}

fn check_repository(repository: &str) -> Result<(), Mistake<'_>> {
    if repository.is_empty() {
        return Err((repository, "the repository is missing".into()));
    }
    if repository.len() > MAX_REPOSITORY {
        let message = format!(
            "the repository is {} characters long, at most {MAX_REPOSITORY} are allowed",
            repository.len()
        );
        return Err((repository, message));
    }
    if repository.ends_with('/') {
        return Err((
            &repository[repository.len() - 1..],
            "it ends with a slash".into(),
        ));
    }
    for component in repository.split('/') {
        if component.is_empty() {
            return Err((component, "there are two slashes in a row".into()));
        }
        if component.contains(|c: char| c.is_ascii_uppercase()) {
            let lower = component.to_ascii_lowercase();
            return Err((
                component,
                format!(
                    "repositories are in lower case: did you mean {}?",
                    quote(&lower)
                ),
            ));
        }
        if let Some(odd) = first(component, |c| {
            !c.is_ascii_alphanumeric() && !"._-".contains(c)
        }) {
            return Err((
                odd,
                format!("{} is not allowed in a repository", quote(odd)),
            ));
        }
        // Alphanumeric words, joined by one of `.`, `_`, `__`, or any number of `-`.
        let joined =
            |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
        if let Some(run) = component
            .split(|c: char| c.is_ascii_alphanumeric())
            .find(|run| !joined(run))
        {
            return Err((
                run,
                format!("{} joins no words of a repository", quote(run)),
            ));
        }
        if !component.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !component.ends_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err((
                component,
                format!("{} begins or ends with a separator", quote(component)),
            ));
        }
    }
    Ok(())
}

/// `with_colon` is the tag with the colon before it: what an empty tag is pointed at by.
fn check_tag<'a>(tag: &'a str, with_colon: &'a str) -> Result<(), Mistake<'a>> {
    if tag.is_empty() {
        return Err((
            with_colon,
            "the tag is empty: give one, or leave out the colon".into(),
        ));
    }
    if tag.starts_with(['.', '-']) {
        return Err((
            &tag[..1],
            format!("a tag cannot begin with {}", quote(&tag[..1])),
        ));
    }
    if let Some(odd) = first(tag, |c| !c.is_ascii_alphanumeric() && !"._-".contains(c)) {
        return Err((odd, format!("{} is not allowed in a tag", quote(odd))));
    }
    if tag.len() > MAX_TAG {
        return Err((
            tag,
            format!(
                "the tag is {} characters long, at most {MAX_TAG} are allowed",
                tag.len()
            ),
        ));
    }
    Ok(())
}

/// The algorithms are those that the OCI image specification registers and registries accept.
fn check_digest(digest: &str) -> Result<(), Mistake<'_>> {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return Err((
            digest,
            "a digest is \"sha256:\" and 64 hexadecimal digits".into(),
        ));
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => {
            return Err((
                algorithm,
                format!(
                    "the digest algorithm {} is not sha256 or sha512",
                    quote(algorithm)
                ),
            ));
        }
    };
    if let Some(odd) = first(hex, |c| !matches!(c, '0'..='9' | 'a'..='f')) {
        return Err((
            odd,
            format!("{} is not a lower case hexadecimal digit", quote(odd)),
        ));
    }
    if hex.len() != length {
        return Err((
            hex,
            format!(
                "a {algorithm} digest has {length} hexadecimal digits, not {}",
                hex.len()
            ),
        ));
    }
    Ok(())
}

/// The first character that is `odd`, as a slice.
fn first(text: &str, odd: impl Fn(char) -> bool) -> Option<&str> {
    text.matches(odd).next()
}
