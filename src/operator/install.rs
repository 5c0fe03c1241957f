//! `install`: pushes the probe's image to the operator's private registry of Amazon ECR, without
//! Docker.
//!
//! ```text
//! FILE for each platform ─▶ [`agent_file`]: checked ─▶ [`image`]: layer, configuration, manifest, index
//!                                                                       │
//! --repository ─▶ [`repository`]: found or created, token ─▶ [`registry`]: blobs, manifests, index, tag
//! ```
//!
//! The tag comes last, so that it never names an image that is incomplete.

mod agent_file;
mod event;
mod image;
mod registry;
mod repository;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

pub use agent_file::{AgentFile, how_to_build, known_platforms};
use agent_file::{built_file, embedded_files};
pub use event::{InstallEvent, ShowEvent};
pub use image::{OciContent, OciImage, PlatformImage};
use registry::RegistryClient;
pub use repository::{
    DEFAULT_REPOSITORY, EcrRepository, InstalledImage, RepositoryName, TAG, default_reference,
    find_installed_image, repository_arn,
};

use super::aws::Api;
use super::dry_run::{AwsCalls, Effect};
use super::error::OperatorError;
use crate::endpoints::Region;
use crate::plan::Platform;

/// The operator's input of `install`.
#[derive(Debug, Clone)]
pub struct InstallSpec {
    pub repository: RepositoryName,
    /// If empty, every platform with a file.
    pub platforms: Vec<Platform>,
    /// Files that replace or complete those in this binary.
    pub agents: Vec<(Platform, PathBuf)>,
}

/// The image in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub reference: String,
    pub digest: String,
    pub platforms: Vec<Platform>,
    /// Whether anything had to be pushed.
    pub is_new: bool,
}

/// Reads the files of the image, from the flags and from this binary.
pub fn read_files(spec: &InstallSpec) -> Result<Vec<AgentFile>, OperatorError> {
    let mut files = BTreeMap::new();
    let mut named = BTreeMap::new();
    for (platform, path) in &spec.agents {
        if let Some(other) = named.insert(platform.to_string(), path) {
            return Err(OperatorError::Usage(format!(
                "--agent names two files for {platform}, {} and {}; pass one",
                other.display(),
                path.display()
            )));
        }
        if !spec.platforms.is_empty() && !spec.platforms.contains(platform) {
            return Err(OperatorError::Usage(format!(
                "--agent names a file for {platform}, which --platform leaves out; remove one of them"
            )));
        }
        files.insert(platform.to_string(), AgentFile::read(platform, path)?);
    }
    // A file of this binary that is replaced or left out may be damaged.
    for embedded in embedded_files() {
        let is_selected = |platform: &Platform| platform.to_string() == embedded.platform;
        if !files.contains_key(embedded.platform)
            && (spec.platforms.is_empty() || spec.platforms.iter().any(is_selected))
        {
            files.insert(embedded.platform.to_owned(), embedded.unpack()?);
        }
    }
    if files.is_empty() && embedded_files().len() == 0 {
        return Err(OperatorError::Usage(format!(
            "this build of pullprobe does not contain the probe's static files; {}, and pass it with --agent \
             linux/amd64=FILE. Releases contain the files",
            how_to_build(&Platform::of("linux", "amd64"))
        )));
    }
    if spec.platforms.is_empty() {
        return Ok(files.into_values().collect());
    }
    let mut selected = BTreeMap::new();
    for platform in &spec.platforms {
        let name = platform.to_string();
        let file = files.get(&name).ok_or_else(|| {
            OperatorError::Usage(format!(
                "--platform {name}: there is no file for it; {}, and pass it with --agent {name}=FILE",
                how_to_build(platform)
            ))
        })?;
        selected.insert(name, file.clone());
    }
    Ok(selected.into_values().collect())
}

/// Returns the file for `platform` that this binary contains, or any other; `None` in a source
/// build.
pub fn embedded_agent(platform: &Platform) -> Option<Result<AgentFile, OperatorError>> {
    let name = platform.to_string();
    let file = embedded_files()
        .find(|file| file.platform == name)
        .or_else(|| embedded_files().next())?;
    Some(file.unpack())
}

/// Pushes the image. Leaves what is already there unchanged, and refuses to replace another image
/// under the same tag.
pub async fn install(
    calls: &AwsCalls,
    name: &RepositoryName,
    files: &[AgentFile],
    show: &mut ShowEvent<'_>,
) -> Result<Installation, OperatorError> {
    let image = OciImage::new(files)
        .map_err(|error| OperatorError::Failed(format!("the image cannot be built: {error}")))?;
    let repository = EcrRepository::find_or_create(calls, name).await?;
    let mut installation = Installation {
        reference: format!("{}:{TAG}", repository.uri),
        digest: image.index.digest.clone(),
        platforms: image
            .platforms
            .iter()
            .map(|image| image.platform.clone())
            .collect(),
        is_new: true,
    };
    if repository.is_new && calls.is_dry() {
        for part in &image.platforms {
            show_upload(calls, &repository, part);
        }
        show_tag(calls, &repository, &image.index);
        return Ok(installation);
    }
    if repository.is_new {
        show(&InstallEvent::RepositoryCreated {
            uri: &repository.uri,
        });
    }
    let mut registry = RegistryClient::log_in(calls, &repository, show).await?;
    let tagged = check_tag(&mut registry, &installation).await?;
    let mut is_changed = false;
    for part in &image.platforms {
        is_changed |= push_platform(calls, &repository, &mut registry, part).await?;
    }
    if !tagged && calls.is_dry() {
        show_tag(calls, &repository, &image.index);
    } else if !tagged {
        push_index(&mut registry, &installation, &image.index).await?;
    }
    installation.is_new = is_changed || !tagged;
    Ok(installation)
}

/// Returns whether the tag names this very image. Fails if it names another one.
async fn check_tag(
    registry: &mut RegistryClient<'_>,
    installation: &Installation,
) -> Result<bool, OperatorError> {
    let media_types = [image::INDEX, image::MANIFEST];
    match registry.manifest_digest(TAG, &media_types).await? {
        None => Ok(false),
        Some(digest) if digest == installation.digest => Ok(true),
        Some(digest) => Err(OperatorError::Usage(format!(
            "{reference} already exists with another digest, {digest} instead of {expected} (another build, or other \
             platforms), and is not replaced: tasks may use it. Use it as it is (pullprobe launch --probe-image \
             {reference}), push to another repository with --repository, or delete the tag first with `aws ecr \
             batch-delete-image --repository-name NAME --image-ids imageTag={TAG}`",
            reference = installation.reference,
            expected = installation.digest,
        ))),
    }
}

/// Pushes what is missing of one platform's image. Returns whether anything was.
async fn push_platform(
    calls: &AwsCalls,
    repository: &EcrRepository,
    registry: &mut RegistryClient<'_>,
    part: &PlatformImage,
) -> Result<bool, OperatorError> {
    let mut is_changed = false;
    for blob in [&part.layer, &part.config] {
        if registry.has_blob(blob).await? {
            continue;
        }
        is_changed = true;
        if calls.is_dry() {
            show_blob(calls, repository, blob);
            continue;
        }
        if blob == &part.layer {
            registry.show(&InstallEvent::Uploading {
                platform: &part.platform,
                bytes: blob.bytes.len(),
            });
        }
        registry.upload(blob).await?;
    }
    let manifest = &part.manifest;
    if registry
        .manifest_digest(&manifest.digest, &[manifest.media_type])
        .await?
        .is_none()
    {
        is_changed = true;
        if calls.is_dry() {
            show_manifest(calls, repository, manifest, None);
        } else {
            registry.put_manifest(&manifest.digest, manifest).await?;
        }
    }
    Ok(is_changed)
}

/// Pushes the index: under its digest first, so that the tag is written only for an index that the
/// registry has stored correctly.
async fn push_index(
    registry: &mut RegistryClient<'_>,
    installation: &Installation,
    index: &OciContent,
) -> Result<(), OperatorError> {
    registry.put_manifest(&index.digest, index).await?;
    if let Err(error) = registry.put_manifest(TAG, index).await {
        // Another process may have written the tag in between.
        check_tag(registry, installation).await?;
        return Err(error);
    }
    Ok(())
}

/// Returns how to push the image to a Region that does not have it.
pub fn how_to_install(region: &Region) -> String {
    let install = format!("pullprobe install --region {region}");
    if embedded_files().len() == 0 {
        format!(
            "Push it once, from a checkout of pullprobe (for tasks on ARM64 with linux/arm64):\n\n    \
             dist/build linux/amd64\n    \
             {install} --agent linux/amd64={}\n\n\
             or add --install and --agent to this command",
            built_file("linux/amd64")
        )
    } else {
        format!("Push it once:\n\n    {install}\n\nor add --install to this command")
    }
}

// What a dry run shows: the requests as IAM names them.

fn show_upload(calls: &AwsCalls, repository: &EcrRepository, part: &PlatformImage) {
    show_blob(calls, repository, &part.layer);
    show_blob(calls, repository, &part.config);
    show_manifest(calls, repository, &part.manifest, None);
}

fn show_blob(calls: &AwsCalls, repository: &EcrRepository, blob: &OciContent) {
    let body = json!({
        "repositoryName": repository.name,
        "mediaType": blob.media_type,
        "layerDigests": [blob.digest],
        "size": blob.bytes.len(),
    });
    for operation in [
        "InitiateLayerUpload",
        "UploadLayerPart",
        "CompleteLayerUpload",
    ] {
        calls.show(Api::ECR, operation, &body, Effect::Changes);
    }
}

fn show_tag(calls: &AwsCalls, repository: &EcrRepository, index: &OciContent) {
    show_manifest(calls, repository, index, Some(TAG));
}

fn show_manifest(
    calls: &AwsCalls,
    repository: &EcrRepository,
    manifest: &OciContent,
    tag: Option<&str>,
) {
    let body = json!({
        "repositoryName": repository.name,
        "imageManifest": String::from_utf8_lossy(&manifest.bytes),
        "imageManifestMediaType": manifest.media_type,
        "imageDigest": manifest.digest,
        "imageTag": tag,
    });
    calls.show(Api::ECR, "PutImage", &body, Effect::Changes);
}
