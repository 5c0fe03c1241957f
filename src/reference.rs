//! Image references: the grammar of the OCI distribution specification, and the registry hosts of
//! Amazon ECR.
//!
//! The parser reports where a mistake is. `oci_spec::distribution::Reference` matches one regular
//! expression and reports no positions.

mod ecr;
mod invalid;

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::endpoints::{Region, Variant, registry_host};
pub use invalid::InvalidReference;
use invalid::quote;

/// Docker Hub's registry, which references call `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Maximum number of bytes of a reference: enough for the longest host, repository, tag and digest.
const MAX_LENGTH: usize = 1_024;

/// Maximum number of bytes of a host name without its final dot (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

/// Maximum number of bytes of a repository name (OCI distribution specification, "Pulling
/// manifests").
const MAX_REPOSITORY: usize = 255;

/// Maximum number of characters of a tag (ibid.).
const MAX_TAG: usize = 128;

/// Usual namespaces of pull through cache rules, and their upstream registries: what the console
/// proposes (Amazon ECR user guide, "Creating a pull through cache rule"), and the names of
/// `UpstreamRegistry` in Amazon ECR's API, without `-container-registry` and the like.
const PULL_THROUGH_NAMESPACES: [(&str, &str); 10] = [
    ("docker-hub", "Docker Hub"),
    ("ecr-public", "Amazon ECR Public"),
    ("quay", "Quay"),
    ("kubernetes", "the Kubernetes registry"),
    ("k8s", "the Kubernetes registry"),
    ("ecr", "Amazon ECR"),
    ("chainguard", "the Chainguard registry"),
    ("github", "the GitHub container registry"),
    ("gitlab", "the GitLab container registry"),
    ("azure", "the Azure container registry"),
];

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// The registry.
    pub registry: Registry,
    /// Repository name, such as `team/app`.
    pub repository: String,
    /// Tag; without tag and digest, `latest` is pulled.
    pub tag: Option<String>,
    /// Digest, such as `sha256:…`; it takes precedence over the tag.
    pub digest: Option<String>,
}

/// A registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Registry {
    /// A private registry of Amazon ECR.
    Ecr {
        /// Account ID, twelve digits.
        account: String,
        /// The registry's Region; it may differ from the task's.
        region: Region,
        /// Which of the registry's host names is used.
        variant: Variant,
    },
    /// Any other registry, such as public.ecr.aws.
    Other {
        /// Host name or address, in lowercase; an IPv6 address has no brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl Reference {
    /// Returns the host to connect to.
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

    /// Returns the TCP port to connect to.
    pub fn port(&self) -> u16 {
        match self.registry {
            Registry::Ecr { .. } => 443,
            Registry::Other { port, .. } => port,
        }
    }

    /// Returns the registry that the repository caches, if its namespace is a usual one of pull
    /// through cache rules. This is only a hint: other repositories may have such a name, and a
    /// rule may have another namespace or none (`ROOT`).
    pub fn pulls_through(&self) -> Option<&'static str> {
        let Registry::Ecr { .. } = self.registry else {
            return None;
        };
        let (namespace, _) = self.repository.split_once('/')?;
        PULL_THROUGH_NAMESPACES
            .iter()
            .find(|(usual, _)| *usual == namespace)
            .map(|(_, upstream)| *upstream)
    }

    /// Returns the same image by its dual-stack name, if it is named by one of Amazon ECR that has
    /// IPv4 addresses only and a dual-stack name is published.
    pub fn dual_stack(&self) -> Option<Self> {
        let mut other = self.clone();
        let Registry::Ecr {
            region, variant, ..
        } = &mut other.registry
        else {
            return None;
        };
        let is_published = region.partition().registry_dual_stack_suffix().is_some();
        let has_ipv4_name = !std::mem::replace(&mut variant.dual_stack, true);
        (is_published && has_ipv4_name).then_some(other)
    }

    /// Returns the digest or tag, as in `/v2/<repository>/manifests/<version>`.
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
            // A name without dot and port would be read as a Docker Hub user.
            Self::Other { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for Reference {
    /// Writes the canonical form, which parses to an equal reference.
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
        parse(input).map_err(|error| InvalidReference::new(input, error.part, error.message))
    }
}

/// The part of the input that is wrong, and why.
struct SyntaxError<'a> {
    /// A slice of the input, which gives the position.
    part: &'a str,
    message: String,
}

impl<'a> SyntaxError<'a> {
    fn new(part: &'a str, message: impl Into<String>) -> Self {
        Self {
            part,
            message: message.into(),
        }
    }
}

/// Whether the part of an image's name before the first slash is a host, by Docker's rule that
/// tells it from a user of Docker Hub.
pub fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn parse(input: &str) -> Result<Reference, SyntaxError<'_>> {
    check_characters(input)?;
    let (named, digest) = match input.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (input, None),
    };
    let (authority, path) = match named.split_once('/') {
        Some((first, path)) if is_host(first) => (Some(first), path),
        _ => (None, named),
    };
    let registry = match authority {
        Some(authority) => parse_registry(authority)?,
        None if ecr::looks_like_ecr(path) => {
            return Err(SyntaxError::new(
                &path[path.len()..],
                "the repository name is missing",
            ));
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
        return Err(SyntaxError::new(
            &path[repository.len() - "sha256".len()..],
            "a digest must follow \"@\"",
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

/// Checks the input as a whole. Afterwards it has only printable ASCII characters.
fn check_characters(input: &str) -> Result<(), SyntaxError<'_>> {
    if input.is_empty() {
        return Err(SyntaxError::new(
            input,
            "the image reference is empty; expected one such as nginx:1.27",
        ));
    }
    if input.len() > MAX_LENGTH {
        return Err(SyntaxError::new(
            input,
            format!(
                "the image reference is {} bytes long; at most {MAX_LENGTH} are allowed",
                input.len()
            ),
        ));
    }
    if let Some(odd) = first_char(input, |c| !c.is_ascii_graphic()) {
        let what = if odd.trim().is_empty() {
            "white space"
        } else {
            "a character other than printable ASCII"
        };
        return Err(SyntaxError::new(
            odd,
            format!("the image reference contains {what}"),
        ));
    }
    if let Some((scheme, _)) = input.split_once("://") {
        let scheme = &input[..scheme.len() + "://".len()];
        return Err(SyntaxError::new(
            scheme,
            format!(
                "the image reference must not have a scheme; remove {}",
                quote(scheme)
            ),
        ));
    }
    if input.starts_with('/') {
        return Err(SyntaxError::new(
            &input[..1],
            "the image reference must not begin with a slash",
        ));
    }
    Ok(())
}

fn parse_registry(authority: &str) -> Result<Registry, SyntaxError<'_>> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let number = match port {
        Some(port) => match port.parse() {
            Ok(number @ 1..) if port.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => {
                return Err(SyntaxError::new(
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
            Err(_) => Err(SyntaxError::new(
                address,
                format!("{} is not an IPv6 address", quote(address)),
            )),
        };
    }
    if host.len() > MAX_HOST {
        return Err(SyntaxError::new(
            host,
            format!(
                "the host is {} characters long; at most {MAX_HOST} are allowed",
                host.len()
            ),
        ));
    }
    for label in host.split('.') {
        if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
            return Err(SyntaxError::new(
                label,
                format!("{} is not a valid label of a host name", quote(label)),
            ));
        }
        if let Some(odd) = first_char(label, |c| !c.is_ascii_alphanumeric() && c != '-') {
            return Err(SyntaxError::new(
                odd,
                format!("{} is not allowed in a host name", quote(odd)),
            ));
        }
    }
    if let Some(registry) = ecr::parse(host)? {
        return match port {
            Some(port) if number != 443 => Err(SyntaxError::new(
                port,
                "Amazon ECR listens on port 443 only",
            )),
            _ => Ok(registry),
        };
    }
    let host = match host.to_ascii_lowercase() {
        hub if ["docker.io", "index.docker.io"].contains(&hub.as_str()) => DOCKER_HUB.into(),
        host => host,
    };
    Ok(Registry::Other { host, port: number })
}

fn check_repository(repository: &str) -> Result<(), SyntaxError<'_>> {
    if repository.is_empty() {
        return Err(SyntaxError::new(
            repository,
            "the repository name is missing",
        ));
    }
    if repository.len() > MAX_REPOSITORY {
        let message = format!(
            "the repository name is {} characters long; at most {MAX_REPOSITORY} are allowed",
            repository.len()
        );
        return Err(SyntaxError::new(repository, message));
    }
    if repository.ends_with('/') {
        return Err(SyntaxError::new(
            &repository[repository.len() - 1..],
            "the image reference must not end with a slash",
        ));
    }
    for component in repository.split('/') {
        if component.is_empty() {
            return Err(SyntaxError::new(
                component,
                "the image reference must not have two slashes in a row",
            ));
        }
        if component.contains(|c: char| c.is_ascii_uppercase()) {
            let lower = component.to_ascii_lowercase();
            return Err(SyntaxError::new(
                component,
                format!(
                    "repository names must be lowercase; did you mean {}?",
                    quote(&lower)
                ),
            ));
        }
        if let Some(odd) = first_char(component, |c| {
            !c.is_ascii_alphanumeric() && !"._-".contains(c)
        }) {
            return Err(SyntaxError::new(
                odd,
                format!("{} is not allowed in a repository name", quote(odd)),
            ));
        }
        // Alphanumeric words, joined by one of `.`, `_`, `__`, or any number of `-`.
        let joined =
            |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
        if let Some(run) = component
            .split(|c: char| c.is_ascii_alphanumeric())
            .find(|run| !joined(run))
        {
            return Err(SyntaxError::new(
                run,
                format!(
                    "{} is not a valid separator in a repository name",
                    quote(run)
                ),
            ));
        }
        if !component.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !component.ends_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err(SyntaxError::new(
                component,
                format!("{} begins or ends with a separator", quote(component)),
            ));
        }
    }
    Ok(())
}

/// `with_colon` is the tag with the colon before it, which marks an empty tag.
fn check_tag<'a>(tag: &'a str, with_colon: &'a str) -> Result<(), SyntaxError<'a>> {
    if tag.is_empty() {
        return Err(SyntaxError::new(
            with_colon,
            "the tag is empty; add a tag or remove the colon",
        ));
    }
    if tag.starts_with(['.', '-']) {
        return Err(SyntaxError::new(
            &tag[..1],
            format!("a tag cannot begin with {}", quote(&tag[..1])),
        ));
    }
    if let Some(odd) = first_char(tag, |c| !c.is_ascii_alphanumeric() && !"._-".contains(c)) {
        return Err(SyntaxError::new(
            odd,
            format!("{} is not allowed in a tag", quote(odd)),
        ));
    }
    if tag.len() > MAX_TAG {
        return Err(SyntaxError::new(
            tag,
            format!(
                "the tag is {} characters long; at most {MAX_TAG} are allowed",
                tag.len()
            ),
        ));
    }
    Ok(())
}

/// Accepts the algorithms that the OCI image specification registers and registries accept.
fn check_digest(digest: &str) -> Result<(), SyntaxError<'_>> {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return Err(SyntaxError::new(
            digest,
            "a digest consists of \"sha256:\" and 64 hexadecimal digits",
        ));
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => {
            return Err(SyntaxError::new(
                algorithm,
                format!(
                    "the digest algorithm {} is not sha256 or sha512",
                    quote(algorithm)
                ),
            ));
        }
    };
    if let Some(odd) = first_char(hex, |c| !matches!(c, '0'..='9' | 'a'..='f')) {
        return Err(SyntaxError::new(
            odd,
            format!("{} is not a lowercase hexadecimal digit", quote(odd)),
        ));
    }
    if hex.len() != length {
        return Err(SyntaxError::new(
            hex,
            format!(
                "a {algorithm} digest has {length} hexadecimal digits, not {}",
                hex.len()
            ),
        ));
    }
    Ok(())
}

/// Returns the first character for which `odd` is true, as a slice.
fn first_char(text: &str, odd: impl Fn(char) -> bool) -> Option<&str> {
    text.matches(odd).next()
}
