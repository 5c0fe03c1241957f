//! What phrases can show, and the one pass over a text that finds them all.

use std::sync::LazyLock;

use super::Step;
use super::lexicon::{PHRASES, Row};
use super::normalize::Plain;

/// What a phrase shows about the failure, whatever step it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// Nothing came until somebody gave up.
    TimedOut,
    /// The helper process of the log driver was killed: it hung until its deadline.
    Killed,
    /// The request got no answer, and the text does not say in which way.
    NoAnswer,
    /// ECS's own words for no answer. They yield to whatever is more precise about it.
    ConnectionIssue,
    /// The connection stood, and then nothing came.
    Stalled,
    /// Bytes came, and too slowly for the deadline of the whole pull.
    TooSlow,
    /// RST to SYN.
    Refused,
    /// RST or FIN in the middle.
    Reset,
    /// No route, by ICMP or the kernel.
    Unreachable,
    /// NXDOMAIN.
    NoSuchName,
    /// The resolver answered, and that it cannot.
    ResolverFailed,
    /// The resolver did not answer. Not a phrase: a lookup that timed out.
    ResolverSilent,
    /// A certificate from an issuer that the puller does not trust.
    UnknownIssuer,
    /// A certificate for other names.
    WrongName,
    /// Past or before its time.
    OutsideValidity,
    /// The TLS handshake began and did not end.
    HandshakeStalled,
    /// Some other TLS failure.
    Tls,
    /// Whoever answered speaks no TLS.
    NotTls,
    /// Whoever answered is not the service: its answer is none of the service's form.
    StrangeAnswer,
    /// A service or registry says that this is not allowed.
    Denied,
    /// HTTP 403.
    Forbidden,
    /// An unexpected HTTP status, whose number may have been cut off.
    UnexpectedStatus,
    /// The registry does not take the user name and password, or got none.
    LoginFailed,
    /// The registry's own `unauthorized` or `denied`, which says neither who nor why.
    RegistryRefused,
    /// The registry's token is past its time.
    RegistryTokenExpired,
    /// There is no such repository.
    RepositoryMissing,
    /// There is a repository, and not this tag or digest.
    ManifestMissing,
    /// Docker Hub's answer for what is missing as well as for what is private.
    MissingOrPrivate,
    /// Something is not there.
    NotFound,
    /// The image is for other platforms.
    WrongPlatform,
    /// What was pulled is nothing that this platform can use.
    NotExecutable,
    /// The reference itself is malformed.
    BadReference,
    /// The bytes of a layer are not those of its digest.
    DamagedLayer,
    /// The registry limits pulls.
    RateLimited,
    /// An AWS service limits calls.
    Throttled,
    /// HTTP 5xx.
    ServiceFailure,
    /// Tried again and again, and the reason was cut off. Not a phrase: what is final is not
    /// retried.
    Retried,
    /// No space left.
    DiskFull,
    /// There is no such secret.
    SecretMissing,
    /// There is a secret, and not this version.
    VersionMissing,
    /// The secret's JSON has no such key.
    JsonKeyMissing,
    /// The secret is no JSON of the wanted form.
    NotJson,
    /// Go's JSON parser does not get beyond the first character.
    BrokenJson,
    /// There is no such parameter.
    ParameterMissing,
    /// `valueFrom` is malformed.
    BadValueFrom,
    /// A service does not take the form of what it was asked for.
    InvalidInput,
    /// AWS KMS cannot use the key: it is disabled, to be deleted, or out of reach.
    KeyUnusable,
    /// There is no such log group.
    LogGroupMissing,
    /// The file system's name or mount target does not answer.
    MountFailed,
    /// The file system answered, and no.
    MountDenied,
    /// No such object.
    ObjectMissing,
    /// The subnet has no address left.
    NoFreeAddress,
    /// The network interface did not come into being in time.
    NetworkInterface,
    /// EC2 refused to create the network interface.
    InterfaceNotCreated,
    /// AWS has no room.
    Capacity,
    /// ECS could not assume the role, or its credentials never came.
    RoleNotAssumable,
    /// There are no credentials to sign with.
    NoCredentials,
    /// The role's credentials are past their time.
    CredentialsExpired,
    /// The service does not know the credentials.
    CredentialsInvalid,
    /// The time of the request is off.
    ClockSkewed,
}

/// One phrase found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Where in [`Plain::dense`].
    pub at: usize,
    /// Bytes there.
    pub len: usize,
    /// The step that it stands for, and how strongly: see [`super::phrases`].
    pub step: Option<(Step, u8)>,
    /// What it shows.
    pub sign: Option<Sign>,
}

impl Hit {
    /// What stands there in the text.
    pub fn quote<'a>(&self, plain: &'a Plain) -> &'a str {
        plain.quote(self.at, self.at + self.len)
    }
}

/// Phrases without blanks and in lower case, by their first two bytes: most places of a text begin
/// no phrase, and two bytes say so.
static LEXICON: LazyLock<Vec<Vec<(String, Row)>>> = LazyLock::new(|| {
    let mut lexicon = vec![Vec::new(); usize::from(u16::MAX) / 16 + 1];
    for row in PHRASES {
        let dense = row.0.replace(' ', "").to_ascii_lowercase();
        if let [first, second, ..] = dense.as_bytes() {
            lexicon[slot(*first, *second)].push((dense, *row));
        }
    }
    for slot in &mut lexicon {
        // The longest first: `find the specified secret value` before `find the specified secret`.
        slot.sort_by_key(|(dense, _)| std::cmp::Reverse(dense.len()));
    }
    lexicon
});

/// 12 bits of two bytes. Slots may be shared: the phrase itself is compared afterwards.
fn slot(first: u8, second: u8) -> usize {
    (usize::from(first) & 0x3f) << 6 | (usize::from(second) & 0x3f)
}

/// Every phrase of the text, in order.
pub fn find(plain: &Plain) -> Vec<Hit> {
    let bytes = plain.dense.as_bytes();
    let lexicon = &*LEXICON;
    let mut hits = Vec::new();
    let mut free = 0;
    for (at, pair) in bytes.windows(2).enumerate() {
        let candidates = &lexicon[slot(pair[0], pair[1])];
        let found = candidates
            .iter()
            .find(|(dense, _)| bytes[at..].starts_with(dense.as_bytes()));
        // What belongs to one phrase is not read as another: "pull access denied" is more than
        // "access denied".
        if let Some((dense, (_, step, sign))) = found.filter(|_| at >= free) {
            hits.push(Hit {
                at,
                len: dense.len(),
                step: *step,
                sign: *sign,
            });
            free = at + dense.len();
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::super::lexicon::ONLY;
    use super::*;

    #[test]
    fn phrases_are_found_however_the_text_is_broken() {
        let plain = Plain::new(
            "… failed to val\nidate   logger args: dial tcp 10.0.0.1:443: i/o time\nout",
        );
        let hits = find(&plain);
        assert_eq!(hits[0].step, Some((Step::LogDriver, ONLY)));
        assert_eq!(hits[0].quote(&plain), "val idate logger args");
        assert_eq!(hits.last().unwrap().sign, Some(Sign::TimedOut));
    }

    #[test]
    fn no_phrase_stands_twice() {
        let dense = |row: &Row| row.0.replace(' ', "").to_ascii_lowercase();
        let mut all: Vec<_> = PHRASES.iter().map(dense).collect();
        all.sort();
        let before = all.len();
        all.dedup();
        assert_eq!(before, all.len());
    }
}
