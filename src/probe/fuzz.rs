//! What the probe reads from resolvers and servers, for [`crate::fuzz`].

use hickory_resolver::proto::rr::RecordType;
use tokio::io::AsyncWriteExt as _;

use super::checks::ecr_token::parse_token;
use super::checks::environment_file::parse_location;
use super::checks::manifest::{ImageConfig, ManifestDocument, select_platform};
use super::net::http::{HttpConnection, HttpRequest, ReadBody};
use crate::observation::Lookup;
use crate::safe_text::is_hidden;

/// A resolver's message, read as the response to each kind of query.
pub fn dns_message(bytes: &[u8]) {
    for kind in [RecordType::A, RecordType::AAAA, RecordType::SOA] {
        let Some(lookup) = Lookup::in_message(bytes, kind) else {
            return;
        };
        assert_shown(&serde_json::to_string(&lookup).unwrap_or_default());
    }
}

/// A server's response: its head, and a body of a length, in chunks or until the connection ends.
/// The first byte chooses how the body is read.
pub fn http_response(bytes: &[u8]) {
    const LIMIT: usize = 512;
    let Some((mode, response)) = bytes.split_first() else {
        return;
    };
    let read_body = match mode % 3 {
        0 => ReadBody::Whole(LIMIT),
        1 => ReadBody::Prefix(LIMIT),
        _ => ReadBody::Digest,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else { return };
    let exchange = runtime.block_on(async {
        let (ours, mut server) = tokio::io::duplex(bytes.len() + 4096);
        let mut connection = HttpConnection::over(ours, ([10, 0, 0, 1], 443).into())
            .await
            .ok()?;
        let _ = server.write_all(response).await;
        let _ = server.shutdown().await;
        let request = HttpRequest::get("/v2/", read_body);
        let exchange = connection.exchange("registry.example", &request).await;
        // Open until here, as a server's half is.
        drop(server);
        Some(exchange)
    });
    let Some(exchange) = exchange else { return };
    assert!(exchange.answer.bytes <= response.len() as u64);
    if exchange.succeeded() {
        assert!(exchange.body.len() <= LIMIT);
        assert_eq!(exchange.sha256.is_some(), read_body == ReadBody::Digest);
    }
    assert_shown(exchange.detail.as_str());
    assert_shown(&serde_json::to_string(&exchange.answer).unwrap_or_default());
}

/// An image's manifest, an index of manifests, or an image's configuration.
pub fn manifest(bytes: &[u8]) {
    let platforms = ["linux/amd64", "linux/arm64"].map(str::parse);
    for platform in platforms.into_iter().flatten() {
        match ManifestDocument::parse(bytes) {
            Ok(ManifestDocument::Index { manifests }) => {
                match select_platform(&manifests, &platform) {
                    Ok(entry) => assert_shown(&entry.digest),
                    Err(others) => others.iter().for_each(|other| assert_shown(other.as_str())),
                }
            }
            Ok(ManifestDocument::Manifest(manifest)) => {
                // A digest becomes part of a path.
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    assert!(!blob.digest.contains(['/', '?', '#', ' ']), "{blob:?}");
                }
            }
            Err(invalid) => assert!(!invalid.text().is_empty()),
        }
        if let Ok(config) = serde_json::from_slice::<ImageConfig>(bytes)
            && let Some(other) = config.other_platform(&platform)
        {
            assert_shown(other.as_str());
        }
    }
}

/// Amazon ECR's token, and the location of a bucket of Amazon S3.
pub fn token_and_location(bytes: &[u8]) {
    let _ = parse_token(bytes);
    if let Some(region) = parse_location(bytes) {
        // It becomes part of a host name.
        assert!(
            region
                .as_str()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        );
    }
}

fn assert_shown(text: &str) {
    assert!(!text.chars().any(is_hidden), "{text:?}");
}
