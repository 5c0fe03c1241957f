//! The probe's image in OCI's format: an index, and for each platform a manifest, a configuration
//! and a layer with one file. The same files produce the same bytes, and so the same digest.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::agent_file::AgentFile;
use crate::plan::Platform;

/// Media types (OCI image specification 1.1).
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Name of the executable in the image, as in the Dockerfile.
const FILE_NAME: &str = "pullprobe";

/// Numeric user and group of the container, as in the Dockerfile: the image has no /etc/passwd.
const USER: &str = "65532:65532";

/// A fixed creation time, because the digest must depend on the files only.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The operating system "unknown" (RFC 1952 section 2.3.1), so that all machines write the same
/// header.
const GZIP_UNKNOWN_SYSTEM: u8 = 255;

/// Bytes with their digest and media type: a blob, a manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciContent {
    pub media_type: &'static str,
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// The image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformImage {
    pub platform: Platform,
    pub config: OciContent,
    pub layer: OciContent,
    pub manifest: OciContent,
}

/// The image for all platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciImage {
    pub platforms: Vec<PlatformImage>,
    pub index: OciContent,
}

impl OciImage {
    /// Builds the image from the files. Platforms are sorted by name.
    pub fn new(files: &[AgentFile]) -> io::Result<Self> {
        let mut files: Vec<&AgentFile> = files.iter().collect();
        files.sort_by_key(|file| file.platform.to_string());
        let platforms = files
            .into_iter()
            .map(PlatformImage::new)
            .collect::<io::Result<Vec<_>>>()?;
        let manifests = platforms
            .iter()
            .map(|image| Descriptor {
                platform: Some(PlatformParts {
                    architecture: &image.platform.architecture,
                    os: &image.platform.os,
                }),
                ..Descriptor::of(&image.manifest)
            })
            .collect();
        let index = OciContent::json(
            INDEX,
            &Index {
                schema_version: SCHEMA_VERSION,
                media_type: INDEX,
                manifests,
                annotations: annotations(),
            },
        )?;
        Ok(Self { platforms, index })
    }
}

impl PlatformImage {
    fn new(file: &AgentFile) -> io::Result<Self> {
        let archive = archive(&file.bytes)?;
        let layer = OciContent::new(LAYER, compress(&archive)?);
        let config = OciContent::json(
            CONFIG,
            &ImageConfig {
                created: CREATED,
                architecture: &file.platform.architecture,
                os: &file.platform.os,
                container: ContainerConfig {
                    user: USER,
                    entrypoint: [format!("/{FILE_NAME}")],
                    cmd: ["probe"],
                },
                rootfs: RootFileSystem {
                    r#type: "layers",
                    diff_ids: [digest_of(&archive)],
                },
            },
        )?;
        let manifest = OciContent::json(
            MANIFEST,
            &Manifest {
                schema_version: SCHEMA_VERSION,
                media_type: MANIFEST,
                config: Descriptor::of(&config),
                layers: [Descriptor::of(&layer)],
                annotations: annotations(),
            },
        )?;
        Ok(Self {
            platform: file.platform.clone(),
            config,
            layer,
            manifest,
        })
    }
}

impl OciContent {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest_of(&bytes),
            bytes,
        }
    }

    fn json(media_type: &'static str, document: &impl Serialize) -> io::Result<Self> {
        Ok(Self::new(media_type, serde_json::to_vec(document)?))
    }
}

/// Returns the digest of `bytes` in OCI notation, `sha256:…`.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The only schema version of OCI manifests and indexes.
const SCHEMA_VERSION: u8 = 2;

/// An index of manifests.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor<'a>>,
    annotations: BTreeMap<&'static str, &'static str>,
}

/// A manifest of one layer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
    annotations: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'static str,
    digest: &'a str,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<PlatformParts<'a>>,
}

impl<'a> Descriptor<'a> {
    fn of(content: &'a OciContent) -> Self {
        Self {
            media_type: content.media_type,
            digest: &content.digest,
            size: content.bytes.len(),
            platform: None,
        }
    }
}

/// A platform as a JSON object; in a plan, it is one string.
#[derive(Serialize)]
struct PlatformParts<'a> {
    architecture: &'a str,
    os: &'a str,
}

/// The image's configuration.
#[derive(Serialize)]
struct ImageConfig<'a> {
    created: &'static str,
    architecture: &'a str,
    os: &'a str,
    #[serde(rename = "config")]
    container: ContainerConfig,
    rootfs: RootFileSystem,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerConfig {
    user: &'static str,
    entrypoint: [String; 1],
    cmd: [&'static str; 1],
}

#[derive(Serialize)]
struct RootFileSystem {
    r#type: &'static str,
    diff_ids: [String; 1],
}

/// Returns version, license and, if Cargo.toml names it, the source repository (OCI image
/// specification, "Pre-defined annotation keys").
fn annotations() -> BTreeMap<&'static str, &'static str> {
    let all = [
        ("org.opencontainers.image.title", env!("CARGO_PKG_NAME")),
        (
            "org.opencontainers.image.description",
            env!("CARGO_PKG_DESCRIPTION"),
        ),
        (
            "org.opencontainers.image.version",
            env!("CARGO_PKG_VERSION"),
        ),
        (
            "org.opencontainers.image.licenses",
            env!("CARGO_PKG_LICENSE"),
        ),
        (
            "org.opencontainers.image.source",
            env!("CARGO_PKG_REPOSITORY"),
        ),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Returns a tar archive with one executable file, without a modification time or an owner.
fn archive(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(FILE_NAME)?;
    header.set_size(file.len() as u64);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::with_capacity(file.len() + 4 * 1024));
    archive.append(&header, file)?;
    archive.into_inner()
}

/// Compresses with a gzip header that has neither a time nor a name. The compressed bytes depend on
/// the version of `miniz_oxide`, which Cargo.lock pins.
fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::GzBuilder::new()
        .mtime(0)
        .operating_system(GZIP_UNKNOWN_SYSTEM)
        .write(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes)?;
    writer.finish()
}
