//! A multi-architecture image with two layers each: real bytes, real digests, the same in every
//! run. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyper::body::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An image index, its manifests, and their blobs.
#[derive(Debug)]
pub(super) struct DemoImage {
    /// Digest of the index, which the tag refers to.
    pub(super) index: String,
    /// Manifests and the index, by digest.
    pub(super) manifests: BTreeMap<String, StoredManifest>,
    /// Image configurations and layers, by digest.
    pub(super) blobs: BTreeMap<String, Bytes>,
}

/// A manifest or an index, as the registry stores it.
#[derive(Debug)]
pub(super) struct StoredManifest {
    /// The value of `Content-Type`.
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Sizes of the layers in bytes: one that fits the probe's first read, and one that does not.
const LAYER_SIZES: [usize; 2] = [24 * 1024, 96 * 1024];

impl DemoImage {
    /// Returns an image for `architectures`.
    pub(super) fn new(architectures: &[&str]) -> Self {
        let mut image = Self {
            index: String::new(),
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
        };
        let children: Vec<_> = architectures
            .iter()
            .map(|architecture| image.add_platform(architecture))
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
        image.index = image.add_manifest(INDEX, &index).0;
        image
    }

    fn add_platform(&mut self, architecture: &str) -> Value {
        let layers = LAYER_SIZES
            .map(|size| self.add_blob(incompressible(&format!("{architecture} {size}"), size)));
        let diff_ids: Vec<_> = layers.iter().map(|(digest, _)| digest).collect();
        let config = json!({ "architecture": architecture, "os": "linux", "config": { "Cmd": ["/app"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let (config, config_size) = self.add_blob(config.to_string().into());
        let layers = layers
            .map(|(digest, size)| json!({ "mediaType": LAYER, "digest": digest, "size": size }));
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config, "size": config_size }, "layers": layers });
        let (digest, size) = self.add_manifest(MANIFEST, &manifest);
        json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
            "platform": { "os": "linux", "architecture": architecture } })
    }

    fn add_manifest(&mut self, media_type: &'static str, document: &Value) -> (String, usize) {
        let bytes = Bytes::from(document.to_string());
        let (digest, size) = (digest(&bytes), bytes.len());
        self.manifests
            .insert(digest.clone(), StoredManifest { media_type, bytes });
        (digest, size)
    }

    fn add_blob(&mut self, bytes: Bytes) -> (String, usize) {
        let (digest, size) = (digest(&bytes), bytes.len());
        self.blobs.insert(digest.clone(), bytes);
        (digest, size)
    }
}

/// Returns the digest of `bytes` in OCI notation, `sha256:…`.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

/// Returns the SHA-256 of `bytes` as lower-case hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Returns `length` incompressible bytes derived from `seed`.
fn incompressible(seed: &str, length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length + 32);
    for counter in 0_u64.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(&Sha256::digest(format!("{seed} {counter}")));
    }
    bytes.truncate(length);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_matches_stored_bytes() {
        let image = DemoImage::new(&["amd64", "arm64"]);
        let read =
            |digest: &str| serde_json::from_slice::<Value>(&image.manifests[digest].bytes).unwrap();
        let index = read(&image.index);
        for child in index["manifests"].as_array().unwrap() {
            let manifest = read(child["digest"].as_str().unwrap());
            for blob in manifest["layers"]
                .as_array()
                .unwrap()
                .iter()
                .chain([&manifest["config"]])
            {
                let bytes = &image.blobs[blob["digest"].as_str().unwrap()];
                assert_eq!(Value::from(bytes.len()), blob["size"]);
                assert_eq!(digest(bytes), blob["digest"].as_str().unwrap());
            }
        }
        assert_eq!(image.index, DemoImage::new(&["amd64", "arm64"]).index);
    }
}
