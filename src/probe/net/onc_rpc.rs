//! ONC RPC version 2 (RFC 5531) over TCP: the NULL call, which does nothing and which an NFS client
//! sends first.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::observation::Failure;
use crate::probe::net::tcp;
use crate::safe_text::SafeText;

/// RPC program number of NFS (RFC 7530 section 1).
const NFS_PROGRAM: u32 = 100_003;

/// Amazon EFS supports NFS 4.0 and 4.1, which are both version 4 here.
const NFS_VERSION: u32 = 4;

/// Maximum size of a reply in bytes. A reply to NULL has 24, and 8 more after a version mismatch; a
/// verifier may add 400 (RFC 5531 section 8.2).
const MAX_REPLY_BYTES: usize = 1_024;

/// Maximum number of fragments of one record. A server has no reason to split so short a reply any
/// further.
const MAX_FRAGMENTS: usize = 8;

/// The bit that marks the last fragment of a record (RFC 5531 section 11).
const LAST_FRAGMENT: u32 = 1 << 31;

/// Why the NULL call failed.
#[derive(Debug, PartialEq, Eq)]
pub struct RpcError {
    pub failure: Failure,
    /// One line for the report.
    pub detail: SafeText,
}

impl RpcError {
    fn new(failure: Failure, detail: impl Into<SafeText>) -> Self {
        Self {
            failure,
            detail: detail.into(),
        }
    }

    fn unexpected(detail: impl Into<SafeText>) -> Self {
        Self::new(Failure::UnexpectedAnswer, detail)
    }
}

impl From<std::io::Error> for RpcError {
    fn from(error: std::io::Error) -> Self {
        Self::new(tcp::failure_of(&error), error.to_string())
    }
}

/// Sends a NULL call to NFS and reads the reply. The caller sets the time limit. Fails if the
/// connection does, or with what is wrong with the reply.
pub async fn call_null(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    id: u32,
) -> Result<(), RpcError> {
    stream.write_all(&null_call(id)).await?;
    let mut reply = Vec::new();
    for _ in 0..MAX_FRAGMENTS {
        let mark = stream.read_u32().await?;
        let length = usize::try_from(mark & !LAST_FRAGMENT).unwrap_or(usize::MAX);
        if length > MAX_REPLY_BYTES - reply.len() {
            return Err(RpcError::unexpected(format!(
                "reply of {length} bytes is too long for an RPC NULL call"
            )));
        }
        let start = reply.len();
        reply.resize(start + length, 0);
        stream.read_exact(&mut reply[start..]).await?;
        if mark & LAST_FRAGMENT != 0 {
            return parse_reply(&reply, id);
        }
    }
    Err(RpcError::unexpected(format!(
        "reply has more than {MAX_FRAGMENTS} fragments"
    )))
}

/// Returns a call with neither credentials nor verifier (RFC 5531 section 9), as one record.
fn null_call(id: u32) -> Vec<u8> {
    const CALL: u32 = 0;
    const RPC_VERSION: u32 = 2;
    const NULL: u32 = 0;
    const AUTH_NONE: [u32; 2] = [0, 0];
    let words = [
        id,
        CALL,
        RPC_VERSION,
        NFS_PROGRAM,
        NFS_VERSION,
        NULL,
        AUTH_NONE[0],
        AUTH_NONE[1],
        AUTH_NONE[0],
        AUTH_NONE[1],
    ];
    let length = u32::try_from(words.len() * 4).unwrap_or_default();
    std::iter::once(LAST_FRAGMENT | length)
        .chain(words)
        .flat_map(u32::to_be_bytes)
        .collect()
}

/// Parses a reply (RFC 5531 section 9). Arbitrary bytes are an error, never a panic.
fn parse_reply(reply: &[u8], id: u32) -> Result<(), RpcError> {
    const REPLY: u32 = 1;
    let not_rpc = || RpcError::unexpected("not an ONC RPC reply");
    let word = |n: usize| {
        Some(u32::from_be_bytes(
            reply.get(n * 4..n * 4 + 4)?.try_into().ok()?,
        ))
    };
    if (word(0), word(1)) != (Some(id), Some(REPLY)) {
        return Err(not_rpc());
    }
    let versions = |n: usize| match (word(n), word(n + 1)) {
        (Some(low), Some(high)) => format!("versions {low} to {high}"),
        _ => "other versions".into(),
    };
    match word(2) {
        // MSG_ACCEPTED: a verifier of any length, then `accept_stat`.
        Some(0) => {
            let verifier = word(4)
                .and_then(|length| usize::try_from(length).ok())
                .filter(|length| *length <= 400);
            let status = 5 + verifier.ok_or_else(not_rpc)?.div_ceil(4);
            match word(status) {
                Some(0) => Ok(()),
                Some(1) => Err(RpcError::unexpected(
                    "the RPC server does not provide NFS (PROG_UNAVAIL)",
                )),
                Some(2) => Err(RpcError::unexpected(format!(
                    "the server supports NFS {}, not {NFS_VERSION}",
                    versions(status + 1)
                ))),
                Some(5) => Err(RpcError::new(
                    Failure::ServiceFailure,
                    "the NFS server reports an internal error (SYSTEM_ERR)",
                )),
                Some(_) => Err(RpcError::unexpected(
                    "the NFS server rejects the NULL procedure",
                )),
                None => Err(not_rpc()),
            }
        }
        // MSG_DENIED: another version of RPC, or an authentication error.
        Some(1) => match word(3) {
            Some(0) => Err(RpcError::unexpected(format!(
                "the server supports RPC {}, not 2",
                versions(4)
            ))),
            Some(1) => Err(RpcError::new(
                Failure::Denied,
                format!("the NFS server denied the call: {}", auth_status(word(4))),
            )),
            _ => Err(not_rpc()),
        },
        _ => Err(not_rpc()),
    }
}

/// Returns the name of an `auth_stat` (RFC 5531 section 9).
fn auth_status(status: Option<u32>) -> String {
    match status {
        Some(1) => "AUTH_BADCRED".into(),
        Some(2) => "AUTH_REJECTEDCRED".into(),
        Some(3) => "AUTH_BADVERF".into(),
        Some(4) => "AUTH_REJECTEDVERF".into(),
        Some(5) => "AUTH_TOOWEAK".into(),
        Some(other) => format!("auth_stat {other}"),
        None => "no reason given".into(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const ID: u32 = 0x5EED;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// The record mark of a last fragment of `length` bytes.
    const fn last(length: u32) -> u32 {
        LAST_FRAGMENT | length
    }

    async fn call(reply: Vec<u8>) -> Result<(), RpcError> {
        let (client, mut server_end) = duplex(4096);
        let server = async move {
            let mut request = [0; 44];
            server_end.read_exact(&mut request).await.unwrap();
            server_end.write_all(&reply).await.unwrap();
            request
        };
        let (result, request) = tokio::join!(call_null(client, ID), server);
        assert_eq!(
            &request[..8],
            [0x80, 0, 0, 40, 0, 0, 0x5E, 0xED],
            "record mark and id"
        );
        assert_eq!(
            &request[16..24],
            [0, 1, 0x86, 0xA3, 0, 0, 0, 4],
            "NFS version 4"
        );
        result
    }

    #[tokio::test]
    async fn accepts_a_reply_in_one_fragment_or_several() {
        let success = [ID, 1, 0, 0, 0, 0];
        assert_eq!(
            call(bytes(&[&[last(24)][..], &success].concat())).await,
            Ok(())
        );
        let pieces = [&[8][..], &success[..2], &[0], &[last(16)], &success[2..]].concat();
        assert_eq!(call(bytes(&pieces)).await, Ok(()));
        let with_verifier = [last(32), ID, 1, 0, 0, 5, 0x61_61_61_61, 0x61_00_00_00, 0];
        assert_eq!(call(bytes(&with_verifier)).await, Ok(()));
    }

    #[tokio::test]
    async fn errors_name_their_reason() {
        for (reply, failure, word) in [
            (vec![ID, 1, 1, 1, 5], Failure::Denied, "TOOWEAK"),
            (vec![ID, 1, 1, 1, 99], Failure::Denied, "99"),
            (
                vec![ID, 1, 1, 0, 3, 3],
                Failure::UnexpectedAnswer,
                "RPC versions 3 to 3",
            ),
            (
                vec![ID, 1, 0, 0, 0, 2, 3, 3],
                Failure::UnexpectedAnswer,
                "NFS versions 3 to 3",
            ),
            (
                vec![ID, 1, 0, 0, 0, 1],
                Failure::UnexpectedAnswer,
                "does not provide NFS",
            ),
            (
                vec![ID, 1, 0, 0, 0, 5],
                Failure::ServiceFailure,
                "internal error",
            ),
            (
                vec![ID + 1, 1, 0, 0, 0, 0],
                Failure::UnexpectedAnswer,
                "not an ONC RPC reply",
            ),
            (
                vec![ID, 1, 0, 0, 0xFFFF_FFFF, 0],
                Failure::UnexpectedAnswer,
                "not an ONC RPC reply",
            ),
            (
                vec![ID, 1],
                Failure::UnexpectedAnswer,
                "not an ONC RPC reply",
            ),
        ] {
            let length = u32::try_from(reply.len() * 4).unwrap();
            let error = call(bytes(&[&[last(length)][..], &reply].concat()))
                .await
                .unwrap_err();
            assert_eq!(error.failure, failure, "{error:?}");
            assert!(error.detail.contains(word), "{error:?}");
        }
    }

    #[tokio::test]
    async fn bounds_what_it_reads() {
        let huge = call(bytes(&[last(0x7FFF_FFFF)])).await.unwrap_err();
        assert_eq!(huge.failure, Failure::UnexpectedAnswer);
        let endless = call(bytes(&[0; 64])).await.unwrap_err();
        assert!(
            endless.detail.contains("more than 8 fragments"),
            "{endless:?}"
        );
        let http = call(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
            .await
            .unwrap_err();
        assert_eq!(http.failure, Failure::UnexpectedAnswer);
        assert_eq!(
            call(Vec::new()).await.unwrap_err().failure,
            Failure::Reset,
            "closed without a reply"
        );
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        for length in 0..400 {
            let mut bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()[0] % 3
                })
                .collect();
            if let Some(head) = bytes.get_mut(..8) {
                head.copy_from_slice(&[0, 0, 0x5E, 0xED, 0, 0, 0, 1]);
            }
            let parsed = parse_reply(&bytes, ID);
            assert!(length >= 12 || parsed.is_err(), "{length} bytes");
        }
    }
}
