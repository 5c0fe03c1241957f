//! Image manifests and indexes, as far as a pull depends on them (OCI image specification 1.1,
//! Docker schema 2).

use serde::Deserialize;

use crate::plan::Platform;
use crate::safe_text::SafeText;

/// `Accept` of a manifest request, as containerd sends it.
pub const MANIFEST_MEDIA_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// The specification lets registries reject manifests above 4 MiB.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// Maximum number of platforms that are listed when an index lacks the required one.
const MAX_LISTED_PLATFORMS: usize = 20;

/// What a registry returns for a tag or digest.
#[derive(Debug)]
pub enum ManifestDocument {
    /// A list of manifests, one for each platform.
    Index { manifests: Vec<IndexEntry> },
    /// An image for one platform.
    Manifest(ImageManifest),
}

/// A manifest or index as JSON. Other members are skipped, so that memory stays bounded.
#[derive(Deserialize)]
struct ManifestJson {
    manifests: Option<Vec<IndexEntry>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// An entry of an index.
#[derive(Debug, Deserialize)]
pub struct IndexEntry {
    /// Digest of the platform's manifest.
    pub digest: String,
    /// Absent on entries that are not images.
    platform: Option<EntryPlatform>,
}

#[derive(Debug, Deserialize)]
struct EntryPlatform {
    os: String,
    architecture: String,
}

/// The manifest of an image for one platform.
#[derive(Debug, Deserialize)]
pub struct ImageManifest {
    pub config: Descriptor,
    /// The lowest layer comes first.
    pub layers: Vec<Descriptor>,
}

/// A blob: an image's configuration or a layer.
#[derive(Debug, Clone, Deserialize)]
pub struct Descriptor {
    /// `algorithm:hex`.
    pub digest: String,
    /// URLs of a foreign layer, which is not in the registry.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// The part of an image's configuration that names its platform.
#[derive(Debug, Deserialize)]
pub struct ImageConfig {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl ImageConfig {
    /// Returns the configuration's platform as text if it is not `expected`.
    pub fn other_platform(&self, expected: &Platform) -> Option<SafeText> {
        let named = !self.os.is_empty() && !self.architecture.is_empty();
        let is_other = (&self.os, &self.architecture) != (&expected.os, &expected.architecture);
        (named && is_other).then(|| show_platform(&self.os, &self.architecture).into())
    }
}

/// Operating systems and architectures of images, in Go's names (OCI image specification, "Image
/// Index Property Descriptions"; `go tool dist list`).
const OPERATING_SYSTEMS: [&str; 13] = [
    "linux",
    "windows",
    "darwin",
    "freebsd",
    "openbsd",
    "netbsd",
    "solaris",
    "illumos",
    "aix",
    "android",
    "wasip1",
    "plan9",
    "dragonfly",
];
const ARCHITECTURES: [&str; 16] = [
    "amd64", "arm64", "arm", "386", "ppc64le", "ppc64", "s390x", "riscv64", "loong64", "mips",
    "mipsle", "mips64", "mips64le", "wasm", "riscv", "sparc64",
];

/// Replaces text that is not a platform: a registry may send anything there.
const NOT_A_PLATFORM: &str = "not a platform";

fn show_platform(os: &str, architecture: &str) -> String {
    let known =
        |names: &[&'static str], name: &str| names.iter().find(|known| **known == name).copied();
    match (
        known(&OPERATING_SYSTEMS, os),
        known(&ARCHITECTURES, architecture),
    ) {
        (Some(os), Some(architecture)) => [os, "/", architecture].concat(),
        _ => NOT_A_PLATFORM.to_owned(),
    }
}

/// Why a response is not a usable manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidManifest {
    NotAManifest,
    InvalidDigest,
}

impl InvalidManifest {
    /// Returns the detail for the observation.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotAManifest => "response is neither an image manifest nor an index",
            Self::InvalidDigest => "manifest contains an invalid digest",
        }
    }
}

impl ManifestDocument {
    /// Parses a registry's response. Fails if it is neither kind of document, or contains an
    /// invalid digest.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidManifest> {
        let document = match serde_json::from_slice(body) {
            Ok(ManifestJson {
                manifests: Some(manifests),
                ..
            }) => Self::Index { manifests },
            Ok(ManifestJson {
                config: Some(config),
                layers,
                ..
            }) => Self::Manifest(ImageManifest {
                config,
                // An image that contains only metadata has none, and Go reads a missing list as
                // empty.
                layers: layers.unwrap_or_default(),
            }),
            _ => return Err(InvalidManifest::NotAManifest),
        };
        if document.digests().all(is_digest) {
            Ok(document)
        } else {
            Err(InvalidManifest::InvalidDigest)
        }
    }

    fn digests(&self) -> impl Iterator<Item = &str> {
        let (entries, image): (&[IndexEntry], _) = match self {
            Self::Index { manifests } => (manifests, None),
            Self::Manifest(manifest) => (&[], Some(manifest)),
        };
        let blobs = image
            .into_iter()
            .flat_map(|image| std::iter::once(&image.config).chain(&image.layers));
        entries
            .iter()
            .map(|entry| entry.digest.as_str())
            .chain(blobs.map(|blob| blob.digest.as_str()))
    }
}

/// Maximum number of hex digits of a digest: those of SHA-512, the longest registered one.
const MAX_DIGEST_LENGTH: usize = 128;

/// Maximum number of characters of an algorithm's name. `sha256` and `sha512` are the registered
/// ones in use.
const MAX_ALGORITHM_LENGTH: usize = 16;

/// Whether `text` is `algorithm:hex` (OCI image specification, "Digests"). A digest becomes part of
/// a path and of the report, so anything else is rejected.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    (1..=MAX_ALGORITHM_LENGTH).contains(&algorithm.len())
        && algorithm.bytes().all(|b| b.is_ascii_alphanumeric())
        && (1..=MAX_DIGEST_LENGTH).contains(&hex.len())
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Returns the entry for `platform`. Fails with the platforms that the index has, if it lacks this
/// one.
pub fn select_platform<'a>(
    entries: &'a [IndexEntry],
    platform: &Platform,
) -> Result<&'a IndexEntry, Vec<SafeText>> {
    let matches = |entry: &&IndexEntry| {
        entry
            .platform
            .as_ref()
            .is_some_and(|p| (&p.os, &p.architecture) == (&platform.os, &platform.architecture))
    };
    entries.iter().find(matches).ok_or_else(|| {
        let mut present: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            // The platform of build attestations is unknown/unknown.
            .filter(|platform| platform.os != "unknown")
            .map(|platform| show_platform(&platform.os, &platform.architecture))
            .collect();
        present.sort();
        present.dedup();
        present.truncate(MAX_LISTED_PLATFORMS);
        present.into_iter().map(SafeText::from).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_the_manifest_of_a_platform_and_ignores_attestations() {
        let index = br#"{"schemaVersion":2,"manifests":[
            {"digest":"sha256:aa","platform":{"os":"linux","architecture":"amd64"}},
            {"digest":"sha256:bb","platform":{"os":"unknown","architecture":"unknown"}}]}"#;
        let ManifestDocument::Index { manifests } = ManifestDocument::parse(index).unwrap() else {
            panic!("not an index")
        };
        assert_eq!(
            select_platform(&manifests, &"linux/amd64".parse().unwrap())
                .unwrap()
                .digest,
            "sha256:aa"
        );
        assert_eq!(
            select_platform(&manifests, &"linux/arm64".parse().unwrap()).unwrap_err(),
            ["linux/amd64"]
        );
    }

    #[test]
    fn rejects_what_is_not_a_manifest() {
        let invalid_digest = r#"{"config":{"digest":"sha256:aa"},"layers":[{"digest":"../../x"}]}"#;
        for body in [
            "<html>",
            "{}",
            "[]",
            "null",
            "",
            r#"{"layers":[]}"#,
            invalid_digest,
        ] {
            assert!(ManifestDocument::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
