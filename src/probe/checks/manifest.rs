//! Manifests and indexes: just the parts that decide what is pulled (OCI image specification 1.1,
//! Docker schema 2).

use serde::Deserialize;

use crate::plan::Platform;

/// `Accept` of a manifest request: what containerd asks for.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// The specification lets registries refuse manifests above 4 MiB.
pub const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;

/// What a registry answers for a tag or digest.
#[derive(Debug)]
pub enum Document {
    /// Several platforms.
    Index {
        /// One a platform.
        manifests: Vec<Child>,
    },
    /// One platform.
    Manifest(Manifest),
}

/// Either, as it is written. Members that decide nothing are skipped, not kept: an answer may
/// consist of them.
#[derive(Deserialize)]
struct Written {
    manifests: Option<Vec<Child>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// An index's entry.
#[derive(Debug, Deserialize)]
pub struct Child {
    /// Digest of the platform's manifest.
    pub digest: String,
    /// Absent on entries that are no images.
    platform: Option<PlatformOfChild>,
}

#[derive(Debug, Deserialize)]
struct PlatformOfChild {
    os: String,
    architecture: String,
}

/// An image for one platform.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    /// The image's configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// A blob.
#[derive(Debug, Clone, Deserialize)]
pub struct Descriptor {
    /// `algorithm:hex`.
    pub digest: String,
    /// Where a foreign layer really is.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// The part of an image's configuration that names its platform.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Config {
    /// The platform, if the configuration has one.
    pub fn platform(self) -> Option<Platform> {
        let named = !self.os.is_empty() && !self.architecture.is_empty();
        named.then_some(Platform {
            os: self.os,
            architecture: self.architecture,
        })
    }
}

impl Document {
    /// Reads what the registry sent. Fails with why it is no manifest.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let document = match serde_json::from_slice(body) {
            Ok(Written {
                manifests: Some(manifests),
                ..
            }) => Self::Index { manifests },
            Ok(Written {
                config: Some(config),
                layers: Some(layers),
                ..
            }) => Self::Manifest(Manifest { config, layers }),
            _ => return Err("the answer is neither an image manifest nor an index".to_owned()),
        };
        if document.digests().all(is_digest) {
            Ok(document)
        } else {
            Err("the answer names a digest that is none".into())
        }
    }

    fn digests(&self) -> impl Iterator<Item = &str> {
        let (children, image): (&[Child], _) = match self {
            Self::Index { manifests } => (manifests, None),
            Self::Manifest(manifest) => (&[], Some(manifest)),
        };
        let blobs = image
            .into_iter()
            .flat_map(|image| std::iter::once(&image.config).chain(&image.layers));
        children
            .iter()
            .map(|child| child.digest.as_str())
            .chain(blobs.map(|blob| blob.digest.as_str()))
    }
}

/// Digits of the longest registered digest, SHA-512.
const LONGEST_DIGEST: usize = 128;

/// `algorithm:hex` (OCI image specification, "Digests"). It becomes part of a path and of a report.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let known =
        (1..=16).contains(&algorithm.len()) && algorithm.bytes().all(|b| b.is_ascii_alphanumeric());
    known && (1..=LONGEST_DIGEST).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The child of `children` for `platform`, or the platforms that there are.
pub fn choose<'a>(children: &'a [Child], platform: &Platform) -> Result<&'a Child, Vec<String>> {
    let fits = |child: &&Child| {
        child
            .platform
            .as_ref()
            .is_some_and(|p| (&p.os, &p.architecture) == (&platform.os, &platform.architecture))
    };
    children.iter().find(fits).ok_or_else(|| {
        let mut present: Vec<_> = children
            .iter()
            .filter_map(|child| child.platform.as_ref())
            // Build attestations call themselves unknown/unknown.
            .filter(|platform| platform.os != "unknown")
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .take(20)
            .collect();
        present.sort();
        present.dedup();
        present
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_own_manifest_is_chosen_and_attestations_are_no_platform() {
        let index = br#"{"schemaVersion":2,"manifests":[
            {"digest":"sha256:aa","platform":{"os":"linux","architecture":"amd64"}},
            {"digest":"sha256:bb","platform":{"os":"unknown","architecture":"unknown"}}]}"#;
        let Document::Index { manifests } = Document::read(index).unwrap() else {
            panic!("an index")
        };
        assert_eq!(
            choose(&manifests, &"linux/amd64".parse().unwrap())
                .unwrap()
                .digest,
            "sha256:aa"
        );
        assert_eq!(
            choose(&manifests, &"linux/arm64".parse().unwrap()).unwrap_err(),
            ["linux/amd64"]
        );
    }

    #[test]
    fn a_block_page_is_no_manifest() {
        let strange = r#"{"config":{"digest":"sha256:aa"},"layers":[{"digest":"../../x"}]}"#;
        for body in [
            "<html>",
            "{}",
            "[]",
            "null",
            "",
            r#"{"layers":[]}"#,
            strange,
        ] {
            assert!(Document::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
