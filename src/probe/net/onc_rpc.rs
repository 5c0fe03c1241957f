//! One remote procedure call that does nothing: ONC RPC version 2 (RFC 5531) over TCP, as an NFS
//! client greets a server.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::observation::Failure;

/// NFS (RFC 7530 section 1: program 100003). Amazon EFS speaks versions 4.0 and 4.1, which are both
/// version 4 here.
const NFS: u32 = 100_003;
const VERSION: u32 = 4;

/// A reply to NULL has 24 bytes, and 8 more where versions differ. A verifier may add 400 (RFC 5531
/// section 8.2).
const LONGEST_REPLY: usize = 1_024;

/// A record of this length in more pieces than these is a server at play.
const MOST_FRAGMENTS: usize = 8;

/// The bit that marks a record's last fragment (RFC 5531 section 11).
const LAST: u32 = 1 << 31;

/// Why an answer is not that of an NFS server that takes us.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// In which way.
    pub failure: Failure,
    /// In words.
    pub detail: String,
}

impl Refused {
    fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self {
            failure,
            detail: detail.into(),
        }
    }
}

/// Calls NULL and reads the reply. The caller sets the time limit.
pub async fn call_null(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    id: u32,
) -> Result<(), Refused> {
    let lost = |error: std::io::Error| {
        Refused::new(
            crate::probe::net::tcp::failure_of(&error),
            error.to_string(),
        )
    };
    stream.write_all(&null_call(id)).await.map_err(lost)?;
    let mut reply = Vec::new();
    for _ in 0..MOST_FRAGMENTS {
        let mark = stream.read_u32().await.map_err(lost)?;
        let length = usize::try_from(mark & !LAST).unwrap_or(usize::MAX);
        if length > LONGEST_REPLY - reply.len() {
            return Err(Refused::new(
                Failure::UnexpectedAnswer,
                format!("a reply of {length} bytes is none to NULL"),
            ));
        }
        let start = reply.len();
        reply.resize(start + length, 0);
        stream.read_exact(&mut reply[start..]).await.map_err(lost)?;
        if mark & LAST != 0 {
            return read_reply(&reply, id);
        }
    }
    Err(Refused::new(
        Failure::UnexpectedAnswer,
        "a reply that does not end",
    ))
}

/// Call header with neither credentials nor verifier (RFC 5531 section 9), as one record.
fn null_call(id: u32) -> Vec<u8> {
    const CALL: u32 = 0;
    const RPC_VERSION: u32 = 2;
    const NULL: u32 = 0;
    const AUTH_NONE: [u32; 2] = [0, 0];
    let words = [
        id,
        CALL,
        RPC_VERSION,
        NFS,
        VERSION,
        NULL,
        AUTH_NONE[0],
        AUTH_NONE[1],
        AUTH_NONE[0],
        AUTH_NONE[1],
    ];
    let length = u32::try_from(words.len() * 4).unwrap_or_default();
    std::iter::once(LAST | length)
        .chain(words)
        .flat_map(u32::to_be_bytes)
        .collect()
}

/// Reads a reply's words. Total: whatever the bytes are, there is an answer for them.
fn read_reply(reply: &[u8], id: u32) -> Result<(), Refused> {
    const REPLY: u32 = 1;
    let strange = || {
        Refused::new(
            Failure::UnexpectedAnswer,
            "the answer is no reply of an RPC server",
        )
    };
    let word = |n: usize| {
        Some(u32::from_be_bytes(
            reply.get(n * 4..n * 4 + 4)?.try_into().ok()?,
        ))
    };
    if (word(0), word(1)) != (Some(id), Some(REPLY)) {
        return Err(strange());
    }
    let versions = |n: usize| match (word(n), word(n + 1)) {
        (Some(low), Some(high)) => format!("versions {low} to {high}"),
        _ => "other versions".into(),
    };
    match word(2) {
        // MSG_ACCEPTED: a verifier of any length, then how it went.
        Some(0) => {
            let verifier = word(4)
                .and_then(|length| usize::try_from(length).ok())
                .filter(|length| *length <= 400);
            let after = 5 + verifier.ok_or_else(strange)?.div_ceil(4);
            match word(after) {
                Some(0) => Ok(()),
                Some(1) => Err(Refused::new(
                    Failure::UnexpectedAnswer,
                    "an RPC server that has no NFS",
                )),
                Some(2) => {
                    let versions = versions(after + 1);
                    Err(Refused::new(
                        Failure::UnexpectedAnswer,
                        format!("NFS {versions}, not {VERSION}"),
                    ))
                }
                Some(5) => Err(Refused::new(
                    Failure::ServiceFailure,
                    "the NFS server says that it is broken",
                )),
                Some(_) => Err(Refused::new(
                    Failure::UnexpectedAnswer,
                    "the NFS server does not know NULL",
                )),
                None => Err(strange()),
            }
        }
        // MSG_DENIED: another version of RPC, or whom the server does not take.
        Some(1) => match word(3) {
            Some(0) => Err(Refused::new(
                Failure::UnexpectedAnswer,
                format!("RPC {}, not 2", versions(4)),
            )),
            Some(1) => Err(Refused::new(
                Failure::Denied,
                format!("the NFS server refuses us: {}", why(word(4))),
            )),
            _ => Err(strange()),
        },
        _ => Err(strange()),
    }
}

/// `auth_stat` (RFC 5531 section 9).
fn why(status: Option<u32>) -> String {
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

    /// The mark of a last fragment of `length` bytes.
    const fn last(length: u32) -> u32 {
        LAST | length
    }

    async fn answered(reply: Vec<u8>) -> Result<(), Refused> {
        let (ours, mut theirs) = duplex(4096);
        let server = async move {
            let mut call = [0; 44];
            theirs.read_exact(&mut call).await.unwrap();
            theirs.write_all(&reply).await.unwrap();
            call
        };
        let (result, call) = tokio::join!(call_null(ours, ID), server);
        assert_eq!(
            &call[..8],
            [0x80, 0, 0, 40, 0, 0, 0x5E, 0xED],
            "record mark and id"
        );
        assert_eq!(
            &call[16..24],
            [0, 1, 0x86, 0xA3, 0, 0, 0, 4],
            "NFS version 4"
        );
        result
    }

    #[tokio::test]
    async fn a_reply_in_one_piece_or_several_is_an_answer() {
        let success = [ID, 1, 0, 0, 0, 0];
        assert_eq!(
            answered(bytes(&[&[last(24)][..], &success].concat())).await,
            Ok(())
        );
        let pieces = [&[8][..], &success[..2], &[0], &[last(16)], &success[2..]].concat();
        assert_eq!(answered(bytes(&pieces)).await, Ok(()));
        let with_verifier = [last(32), ID, 1, 0, 0, 5, 0x61_61_61_61, 0x61_00_00_00, 0];
        assert_eq!(answered(bytes(&with_verifier)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_refusal_says_which() {
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
            (vec![ID, 1, 0, 0, 0, 1], Failure::UnexpectedAnswer, "no NFS"),
            (vec![ID, 1, 0, 0, 0, 5], Failure::ServiceFailure, "broken"),
            (
                vec![ID + 1, 1, 0, 0, 0, 0],
                Failure::UnexpectedAnswer,
                "no reply",
            ),
            (
                vec![ID, 1, 0, 0, 0xFFFF_FFFF, 0],
                Failure::UnexpectedAnswer,
                "no reply",
            ),
            (vec![ID, 1], Failure::UnexpectedAnswer, "no reply"),
        ] {
            let length = u32::try_from(reply.len() * 4).unwrap();
            let refused = answered(bytes(&[&[last(length)][..], &reply].concat()))
                .await
                .unwrap_err();
            assert_eq!(refused.failure, failure, "{refused:?}");
            assert!(refused.detail.contains(word), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn what_has_no_bounds_is_not_read_to_its_end() {
        let huge = answered(bytes(&[last(0x7FFF_FFFF)])).await.unwrap_err();
        assert_eq!(huge.failure, Failure::UnexpectedAnswer);
        let endless = answered(bytes(&[0; 64])).await.unwrap_err();
        assert!(endless.detail.contains("does not end"), "{endless:?}");
        let http = answered(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
            .await
            .unwrap_err();
        assert_eq!(http.failure, Failure::UnexpectedAnswer);
        assert_eq!(
            answered(Vec::new()).await.unwrap_err().failure,
            Failure::Reset,
            "closed without a word"
        );
    }

    #[test]
    fn no_bytes_make_it_stumble() {
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
            let _ = read_reply(&bytes, ID);
        }
    }
}
