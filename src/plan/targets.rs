//! From what is wanted to the hosts that it takes, each once.

use std::ops::Index;

use super::input::{EfsVolume, ImageInput, ReachabilityCheck};
use super::{
    Connection, EnvironmentFile, FileSystem, ImagePull, LogDestination, Login, Plan, SecretRead,
    Target, ValueFrom,
};
use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::{Dependency, Phase, TargetKey};
use crate::reference::Registry;

/// The hosts collected so far.
pub(super) struct Targets<'a> {
    pub region: &'a Region,
    pub all: Vec<Target>,
}

/// A target of the plan that handed it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIndex(usize);

/// One value for each target of a plan.
pub struct TargetMap<T>(Vec<T>);

impl<T> Index<TargetIndex> for TargetMap<T> {
    type Output = T;

    fn index(&self, index: TargetIndex) -> &T {
        &self.0[index.0]
    }
}

impl Plan {
    /// Returns the target.
    pub fn target(&self, index: TargetIndex) -> &Target {
        &self.targets[index.0]
    }

    /// Returns what `of` makes of each target.
    pub fn map_targets<T>(&self, of: impl FnMut(&Target) -> T) -> TargetMap<T> {
        TargetMap(self.targets.iter().map(of).collect())
    }
}

/// A log group of the task, with the defaults filled in.
#[derive(PartialEq)]
pub(super) struct LogGroup {
    pub group: String,
    pub stream_prefix: String,
    pub region: Region,
    pub create_group: bool,
}

impl Targets<'_> {
    pub fn secret(&mut self, value_from: ValueFrom) -> SecretRead {
        let (dependency, service) = match value_from {
            ValueFrom::Secret { .. } => (Dependency::SecretsManager, Service::SecretsManager),
            ValueFrom::Parameter { .. } => (Dependency::Ssm, Service::Ssm),
        };
        let region = value_from.region().unwrap_or(self.region);
        let host = endpoints::api_host(service, region, Variant::default());
        SecretRead {
            target: self.add(dependency, host, 443, &[Phase::Read]),
            value_from,
        }
    }

    /// `secret` is an ARN or, in the task's region, a name.
    pub fn login(&mut self, secret: String) -> Result<Login, String> {
        let region = match secret.parse() {
            Ok(ValueFrom::Secret { region, .. }) => region,
            _ if secret.starts_with("arn:") => {
                return Err(format!("{secret:?} is not the ARN of a secret"));
            }
            _ => self.region.clone(),
        };
        let host = endpoints::api_host(Service::SecretsManager, &region, Variant::default());
        Ok(Login {
            target: self.add(Dependency::SecretsManager, host, 443, &[Phase::Read]),
            secret,
            region,
        })
    }

    /// The target that hands out the token for an image of Amazon ECR.
    pub fn token(&mut self, wanted: &ImageInput) -> Option<TargetIndex> {
        let Registry::Ecr { region, .. } = &wanted.image.registry else {
            return None;
        };
        // Fargate asks api.ecr by its IPv4 name even for a dual-stack image URI
        // (containers-roadmap#2792).
        let api = endpoints::api_host(Service::EcrApi, region, Variant::default());
        Some(self.add(Dependency::EcrApi, api, 443, &[Phase::Authorize]))
    }

    pub fn log(&mut self, log: LogGroup) -> LogDestination {
        let LogGroup {
            group,
            stream_prefix,
            region,
            create_group,
        } = log;
        let host = endpoints::api_host(Service::Logs, &region, Variant::default());
        LogDestination {
            group,
            stream_prefix,
            region,
            create_group,
            target: self.add(Dependency::Logs, host, 443, &[Phase::Write]),
        }
    }

    /// Fails if `arn` names no object of a bucket.
    pub fn environment_file(&mut self, arn: String) -> Result<EnvironmentFile, String> {
        let (bucket, key) = object_of(&arn)?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let host = endpoints::bucket_host(&bucket, self.region);
        let target = self.add(Dependency::EnvironmentFile, host, 443, &[Phase::Fetch]);
        Ok(EnvironmentFile {
            arn,
            bucket,
            key,
            target,
        })
    }

    pub fn file_system(&mut self, wanted: EfsVolume) -> FileSystem {
        let EfsVolume {
            id,
            root_directory,
            access_point,
            iam,
            transit_encryption,
        } = wanted;
        let host = endpoints::file_system_host(&id, self.region);
        let target = self.insert(
            Dependency::Efs,
            host,
            NFS,
            &[Phase::Resolve, Phase::Connect, Phase::Mount],
        );
        FileSystem {
            id,
            root_directory,
            access_point,
            iam,
            transit_encryption,
            target,
        }
    }

    pub fn connection(&mut self, wanted: ReachabilityCheck) -> Connection {
        let ReachabilityCheck {
            dependency,
            host,
            port,
            tcp_only,
            subject,
        } = wanted;
        let phases = [Phase::Resolve, Phase::Connect, Phase::Handshake];
        let phases = if tcp_only { &phases[..2] } else { &phases };
        Connection {
            target: self.insert(dependency, host, port, phases),
            subject,
        }
    }

    pub fn image(
        &mut self,
        wanted: ImageInput,
        token: Option<TargetIndex>,
        login: Option<Login>,
    ) -> ImagePull {
        use Phase::{Blob, Fetch, Manifest};
        let ImageInput {
            image: reference,
            injected,
            ..
        } = wanted;
        let (host, port) = (reference.host(), reference.port());
        let (registry, layers) = match &reference.registry {
            Registry::Ecr { region, .. } => {
                let registry = self.add(Dependency::EcrDkr, host, port, &[Manifest, Blob]);
                (
                    registry,
                    Some(self.add(Dependency::S3, endpoints::layer_host(region), 443, &[Fetch])),
                )
            }
            Registry::Other { .. } => (
                self.add(Dependency::Registry, host, port, &[Manifest, Blob, Fetch]),
                None,
            ),
        };
        ImagePull {
            reference,
            login,
            injected,
            token,
            registry,
            layers,
        }
    }

    /// Adds an HTTPS host, unless it is known, and returns its index.
    fn add(
        &mut self,
        dependency: Dependency,
        host: String,
        port: u16,
        then: &[Phase],
    ) -> TargetIndex {
        self.insert(
            dependency,
            host,
            port,
            &[&[Phase::Resolve, Phase::Connect, Phase::Handshake], then].concat(),
        )
    }

    fn insert(
        &mut self,
        dependency: Dependency,
        host: String,
        port: u16,
        phases: &[Phase],
    ) -> TargetIndex {
        let known = self
            .all
            .iter()
            .position(|t| (t.dependency, &t.host, t.port) == (dependency, &host, port));
        if let Some(known) = known {
            return TargetIndex(known);
        }
        let first_of_its_dependency = self
            .all
            .iter()
            .all(|target| target.dependency != dependency);
        let key = if first_of_its_dependency {
            TargetKey::of(dependency)
        } else {
            TargetKey::at(dependency, &host)
        };
        self.all.push(Target {
            key,
            dependency,
            host,
            port,
            phases: phases.to_vec(),
        });
        TargetIndex(self.all.len() - 1)
    }
}

/// NFS (RFC 8881 section 2.9.1); EFS has no other, with TLS or without.
const NFS: u16 = 2049;

/// Bucket and key of `arn:aws:s3:::bucket/key`.
pub(crate) fn object_of(arn: &str) -> Result<(&str, &str), String> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let object = match parts[..] {
        ["arn", _, "s3", "", "", object] => object.split_once('/'),
        _ => None,
    };
    match object {
        Some((bucket, key)) if is_bucket(bucket) && !key.is_empty() => Ok((bucket, key)),
        _ => Err(format!(
            "{:?} is not the ARN of an object in Amazon S3, such as arn:aws:s3:::bucket/app.env",
            arn.chars().take(200).collect::<String>()
        )),
    }
}

/// Amazon S3 user guide, "Bucket naming rules": 3 to 63 lower-case letters, digits, dots and
/// hyphens.
fn is_bucket(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let ends = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    (3..=63).contains(&name.len()) && name.chars().all(plain) && ends && !name.contains("..")
}
