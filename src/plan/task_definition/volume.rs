//! `volumes` and `mountPoints`.

use super::TaskDefinitionReader;
use super::error::TaskDefinitionError;
use super::node::Node;
use crate::observation::Dependency;
use crate::plan::{EfsVolume, Unchecked, shorten};

/// Volumes on a network file system that are not checked.
const UNCHECKED_VOLUMES: [&str; 2] = [
    "fsxWindowsFileServerVolumeConfiguration",
    "s3filesVolumeConfiguration",
];

impl TaskDefinitionReader {
    pub(super) fn read_volumes(
        &mut self,
        definition: &Node<'_>,
        containers: &[Node<'_>],
    ) -> Result<(), TaskDefinitionError> {
        let mut names = Vec::new();
        for volume in definition.elements("volumes")? {
            let name = volume.text_of("name")?;
            if name.is_some() && names.contains(&name) {
                let node = volume.required("name")?;
                return Err(node.error("another volume has this name"));
            }
            names.push(name);
            for kind in UNCHECKED_VOLUMES {
                if let Some(configuration) = volume.member(kind)? {
                    self.add_unchecked_volume(&configuration, kind)?;
                }
            }
            if let Some(efs) = volume.member("efsVolumeConfiguration")? {
                let result = self.read_efs_volume(&efs);
                self.note(result);
            }
        }
        for container in containers {
            for mount in container.elements("mountPoints")? {
                let source = mount.text_of("sourceVolume")?;
                if let Some(name) = source.filter(|_| !names.contains(&source)) {
                    let problem = format_args!("there is no volume {:?}", shorten(name));
                    return Err(mount.error(problem));
                }
            }
        }
        Ok(())
    }

    fn add_unchecked_volume(
        &mut self,
        configuration: &Node<'_>,
        kind: &str,
    ) -> Result<(), TaskDefinitionError> {
        let id = configuration
            .text_of("fileSystemId")?
            .or(configuration.text_of("fileSystemArn")?)
            .unwrap_or(kind);
        self.input.unchecked.push(Unchecked {
            dependency: Dependency::Efs,
            subject: shorten(id),
            why: format!("{kind} volumes are not checked"),
        });
        Ok(())
    }

    fn read_efs_volume(&mut self, efs: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let id = efs.required("fileSystemId")?;
        check_efs_id(&id, "fs-")?;
        let transit_encryption = is_enabled(efs, "transitEncryption")?;
        let root_directory = efs.text_of("rootDirectory")?;
        let (mut access_point, mut iam) = (None, false);
        if let Some(authorization) = efs.member("authorizationConfig")? {
            iam = is_enabled(&authorization, "iam")?;
            access_point = authorization.member("accessPointId")?;
        }
        if let Some(access_point) = &access_point {
            check_efs_id(access_point, "fsap-")?;
            if !matches!(root_directory, None | Some("" | "/")) {
                return Err(efs.error("with an access point, rootDirectory must be absent or /"));
            }
        }
        if !transit_encryption && (iam || access_point.is_some()) {
            return Err(efs.error("an access point or IAM needs transitEncryption to be ENABLED"));
        }
        let access_point = access_point.map(|node| node.text().map(str::to_owned));
        self.input.file_systems.push(EfsVolume {
            id: id.text()?.to_owned(),
            root_directory: root_directory.map(str::to_owned),
            access_point: access_point.transpose()?,
            iam,
            transit_encryption,
        });
        Ok(())
    }
}

fn is_enabled(parent: &Node<'_>, name: &str) -> Result<bool, TaskDefinitionError> {
    match parent.member(name)? {
        Some(switch) => Ok(switch.one_of(&["ENABLED", "DISABLED"])? == "ENABLED"),
        None => Ok(false),
    }
}

/// Checks that the ID is `fs-` or `fsap-` and 8 to 40 hexadecimal digits (EFS API reference).
fn check_efs_id(node: &Node<'_>, prefix: &str) -> Result<(), TaskDefinitionError> {
    let text = node.text()?;
    let is_hex_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_valid = text
        .strip_prefix(prefix)
        .is_some_and(|digits| (8..=40).contains(&digits.len()) && digits.bytes().all(is_hex_digit));
    if is_valid {
        return Ok(());
    }
    Err(node.error(format_args!(
        "{:?} is not of the form {prefix}0123456789abcdef0",
        shorten(text)
    )))
}
