//! `volumes` and `mountPoints`.

use super::TaskDefinitionReader;
use super::error::{Problem, TaskDefinitionError};
use super::node::Node;
use crate::observation::Dependency;
use crate::plan::{EfsVolume, ReachabilityCheck, Unchecked, shorten};

/// Volumes on a network file system that are not checked.
const UNCHECKED_VOLUMES: [&str; 1] = ["s3filesVolumeConfiguration"];

/// NFS (RFC 8881 section 2.9.1).
const NFS_PORT: u16 = 2049;

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
            if let Some(windows) = volume.member("fsxWindowsFileServerVolumeConfiguration")? {
                let result = self.read_windows_volume(&windows);
                self.note(result);
            }
            if let Some(docker) = volume.member("dockerVolumeConfiguration")? {
                let result = self.read_docker_volume(&docker);
                self.note(result);
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

    /// Reads a volume of FSx for Windows File Server. The agent asks the API of FSx for its host,
    /// and reads the user's password, both with the task execution role (Amazon ECS developer
    /// guide, "FSx for Windows File Server volumes").
    fn read_windows_volume(&mut self, windows: &Node<'_>) -> Result<(), TaskDefinitionError> {
        if self.names_fargate {
            return Err(windows.error("Fargate does not support FSx for Windows File Server"));
        }
        let id = windows.required("fileSystemId")?;
        check_efs_id(&id, "fs-")?;
        windows.required("rootDirectory")?;
        let authorization = windows.required("authorizationConfig")?;
        let parameter = authorization.required("credentialsParameter")?;
        authorization.required("domain")?;
        let credentials = parameter.text()?.parse();
        let credentials = credentials.map_err(|error| parameter.error(error))?;
        self.input.secrets.push(credentials);
        self.input.windows_file_systems.push(id.text()?.to_owned());
        self.input.unchecked.push(Unchecked {
            dependency: Dependency::Efs,
            subject: id.text()?.to_owned(),
            why:
                "only fsx:DescribeFileSystems returns the host of a file system of FSx for Windows \
                 File Server, which is mounted at TCP 445"
                    .into(),
        });
        Ok(())
    }

    /// Reads the server of an NFS volume, which Docker mounts (Docker documentation, "Volumes": the
    /// driver `local` takes the options of mount).
    fn read_docker_volume(&mut self, docker: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let Some(options) = docker.member("driverOpts")? else {
            return Ok(());
        };
        let kind = options.text_of("type")?.unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("nfs") {
            return Ok(());
        }
        let mount = options.text_of("o")?.unwrap_or_default();
        let option = |name: &str| {
            mount
                .split(',')
                .find_map(|option| option.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let device = options.text_of("device")?.unwrap_or_default();
        let device_host = device.split_once(":/").map(|(host, _)| host);
        let host = option("addr")
            .or(device_host)
            .filter(|host| !host.is_empty());
        let Some(host) = host else {
            self.input.unchecked.push(Unchecked {
                dependency: Dependency::Efs,
                subject: shorten(device),
                why: "its options do not name the NFS server".into(),
            });
            return Ok(());
        };
        self.input.connections.push(ReachabilityCheck {
            dependency: Dependency::Efs,
            host: host.to_ascii_lowercase(),
            port: option("port")
                .and_then(|port| port.parse().ok())
                .unwrap_or(NFS_PORT),
            tcp_only: true,
            subject: "NFS volume of Docker".into(),
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
        // Which access point it is changes neither host nor port.
        if let Some(Err(
            open @ TaskDefinitionError {
                problem: Problem::Open { .. },
                ..
            },
        )) = access_point.as_ref().map(Node::text)
        {
            self.note(Err(open));
            access_point = None;
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
