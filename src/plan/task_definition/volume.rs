//! `volumes` and `mountPoints`.

use super::Reader;
use super::node::{Mistake, Node, shorten};
use crate::observation::Dependency;
use crate::plan::{EfsVolume, Unchecked};

impl Reader {
    pub(super) fn volumes(
        &mut self,
        definition: &Node<'_>,
        containers: &[Node<'_>],
    ) -> Result<(), Mistake> {
        let mut names = Vec::new();
        for volume in definition.elements("volumes")? {
            let name = volume.text_of("name")?;
            if name.is_some() && names.contains(&name) {
                return Err(volume
                    .needed("name")?
                    .mistake("another volume has this name"));
            }
            names.push(name);
            let kinds = [
                "fsxWindowsFileServerVolumeConfiguration",
                "s3filesVolumeConfiguration",
            ];
            for kind in kinds {
                if let Some(configuration) = volume.member(kind)? {
                    self.left_out(&configuration, kind)?;
                }
            }
            if let Some(efs) = volume.member("efsVolumeConfiguration")? {
                let read = self.file_system(&efs);
                self.note(read);
            }
        }
        for container in containers {
            for mount in container.elements("mountPoints")? {
                let source = mount.text_of("sourceVolume")?;
                if let Some(name) = source.filter(|_| !names.contains(&source)) {
                    return Err(
                        mount.mistake(format_args!("there is no volume {:?}", shorten(name)))
                    );
                }
            }
        }
        Ok(())
    }

    fn left_out(&mut self, configuration: &Node<'_>, kind: &str) -> Result<(), Mistake> {
        let id = configuration
            .text_of("fileSystemId")?
            .or(configuration.text_of("fileSystemArn")?)
            .unwrap_or(kind);
        let why = format!("a volume with {kind} is not rehearsed");
        self.wanted.unchecked.push(Unchecked {
            dependency: Dependency::Efs,
            subject: shorten(id),
            why,
        });
        Ok(())
    }

    fn file_system(&mut self, efs: &Node<'_>) -> Result<(), Mistake> {
        let id = efs.needed("fileSystemId")?;
        check_id(&id, "fs-")?;
        let transit_encryption = is_enabled(efs, "transitEncryption")?;
        let root_directory = efs.text_of("rootDirectory")?;
        let (mut access_point, mut iam) = (None, false);
        if let Some(authorization) = efs.member("authorizationConfig")? {
            iam = is_enabled(&authorization, "iam")?;
            access_point = authorization.member("accessPointId")?;
        }
        if let Some(access_point) = &access_point {
            check_id(access_point, "fsap-")?;
            if !matches!(root_directory, None | Some("" | "/")) {
                return Err(efs.mistake("with an access point, rootDirectory is left out or /"));
            }
        }
        if !transit_encryption && (iam || access_point.is_some()) {
            return Err(efs.mistake("an access point or IAM needs transitEncryption to be ENABLED"));
        }
        let file_system = EfsVolume {
            id: id.text()?.to_owned(),
            root_directory: root_directory.map(str::to_owned),
            access_point: access_point
                .map(|node| node.text().map(str::to_owned))
                .transpose()?,
            iam,
            transit_encryption,
        };
        self.wanted.file_systems.push(file_system);
        Ok(())
    }
}

fn is_enabled(of: &Node<'_>, name: &str) -> Result<bool, Mistake> {
    match of.member(name)? {
        Some(switch) => Ok(switch.one_of(&["ENABLED", "DISABLED"])? == "ENABLED"),
        None => Ok(false),
    }
}

/// `fs-` or `fsap-` and 8 to 40 hexadecimal digits (EFS API reference).
fn check_id(node: &Node<'_>, prefix: &str) -> Result<(), Mistake> {
    let text = node.text()?;
    let digits = text.strip_prefix(prefix).unwrap_or_default();
    if (8..=40).contains(&digits.len())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Ok(());
    }
    Err(node.mistake(format_args!(
        "{:?} is not of the form {prefix}0123456789abcdef0",
        shorten(text)
    )))
}
