//! Derives the set of hosts from the plan's inputs.

use std::ops::Index;

use super::input::{EfsVolume, ImageInput, ReachabilityCheck};
use super::{
    EnvironmentFile, FileSystem, ImagePull, LogDestination, Plan, PlanError, ReachabilityTarget,
    RegistryLogin, S3Object, SecretRead, Target, ValueFrom,
};
use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::{Dependency, Phase, TargetKey};
use crate::reference::Registry;

const HTTPS_PORT: u16 = 443;

/// NFS (RFC 8881 section 2.9.1); EFS uses no other port, with TLS or without.
const NFS_PORT: u16 = 2049;

/// A target of the plan that returned the index.
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

    /// Applies `map` to each target.
    pub fn map_targets<T>(&self, map: impl FnMut(&Target) -> T) -> TargetMap<T> {
        TargetMap(self.targets.iter().map(map).collect())
    }
}

/// A log group of the task, with defaults filled in.
pub(super) struct ResolvedLogGroup {
    pub group: String,
    pub stream_prefix: String,
    pub region: Region,
    pub create_group: bool,
}

impl ResolvedLogGroup {
    /// Whether both write to the same log streams.
    pub fn is_same_stream(&self, other: &Self) -> bool {
        (&self.group, &self.region, &self.stream_prefix)
            == (&other.group, &other.region, &other.stream_prefix)
    }
}

/// The targets of a plan as it is built, each host once.
pub(super) struct TargetList<'a> {
    region: &'a Region,
    /// Which names of AWS services the task uses.
    variant: Variant,
    targets: Vec<Target>,
}

impl<'a> TargetList<'a> {
    /// Returns an empty list for a task in `region` that uses these names of AWS services.
    pub fn new(region: &'a Region, variant: Variant) -> Self {
        Self {
            region,
            variant,
            targets: Vec::new(),
        }
    }

    pub fn into_targets(self) -> Vec<Target> {
        self.targets
    }

    pub fn add_secret(&mut self, value_from: ValueFrom) -> SecretRead {
        let (dependency, service) = match value_from {
            ValueFrom::Secret { .. } => (Dependency::SecretsManager, Service::SecretsManager),
            ValueFrom::Parameter { .. } => (Dependency::Ssm, Service::Ssm),
        };
        let region = value_from.region().unwrap_or(self.region);
        let host = endpoints::api_host(service, region, self.variant);
        SecretRead {
            target: self.add_https(dependency, host, HTTPS_PORT, &[Phase::Read]),
            value_from,
        }
    }

    /// Adds the Secrets Manager endpoint for `secret`, an ARN or a name in the task's Region.
    pub fn add_registry_login(&mut self, secret: String) -> Result<RegistryLogin, PlanError> {
        let region = match secret.parse() {
            Ok(ValueFrom::Secret { region, .. }) => region,
            _ if secret.starts_with("arn:") => return Err(PlanError::RegistryLogin(secret)),
            _ => self.region.clone(),
        };
        let host = endpoints::api_host(Service::SecretsManager, &region, self.variant);
        Ok(RegistryLogin {
            target: self.add_https(Dependency::SecretsManager, host, HTTPS_PORT, &[Phase::Read]),
            secret,
            region,
        })
    }

    /// Adds the endpoint that issues the authorization token for an Amazon ECR image.
    pub fn add_token_endpoint(&mut self, image: &ImageInput) -> Option<TargetIndex> {
        let Registry::Ecr { region, .. } = &image.image.registry else {
            return None;
        };
        // In a subnet with IPv4, Fargate calls api.ecr by its IPv4 name even for a dual-stack image
        // URI (containers-roadmap#2792).
        let host = endpoints::api_host(Service::EcrApi, region, self.variant);
        Some(self.add_https(Dependency::EcrApi, host, HTTPS_PORT, &[Phase::Authorize]))
    }

    pub fn add_log_group(&mut self, log: ResolvedLogGroup) -> LogDestination {
        let ResolvedLogGroup {
            group,
            stream_prefix,
            region,
            create_group,
        } = log;
        let host = endpoints::api_host(Service::Logs, &region, self.variant);
        LogDestination {
            group,
            stream_prefix,
            region,
            create_group,
            target: self.add_https(Dependency::Logs, host, HTTPS_PORT, &[Phase::Write]),
        }
    }

    /// Adds the bucket of the environment file. Fails if `arn` is not the ARN of an S3 object.
    pub fn add_environment_file(&mut self, arn: String) -> Result<EnvironmentFile, PlanError> {
        let S3Object { bucket, key } = arn.parse()?;
        let host = endpoints::bucket_host(&bucket, self.region, self.variant);
        let phases = [Phase::Fetch];
        Ok(EnvironmentFile {
            target: self.add_https(Dependency::EnvironmentFile, host, HTTPS_PORT, &phases),
            arn,
            bucket,
            key,
        })
    }

    pub fn add_file_system(&mut self, volume: EfsVolume) -> FileSystem {
        let EfsVolume {
            id,
            root_directory,
            access_point,
            iam,
            transit_encryption,
        } = volume;
        let host = endpoints::file_system_host(&id, self.region);
        let phases = [Phase::Resolve, Phase::Connect, Phase::Mount];
        FileSystem {
            id,
            root_directory,
            access_point,
            iam,
            transit_encryption,
            target: self.add(Dependency::Efs, host, NFS_PORT, &phases),
        }
    }

    pub fn add_reachability_check(&mut self, check: ReachabilityCheck) -> ReachabilityTarget {
        let ReachabilityCheck {
            dependency,
            host,
            port,
            tcp_only,
            subject,
        } = check;
        let target = if tcp_only {
            self.add(dependency, host, port, &[Phase::Resolve, Phase::Connect])
        } else {
            self.add_https(dependency, host, port, &[])
        };
        ReachabilityTarget { subject, target }
    }

    pub fn add_image(
        &mut self,
        image: ImageInput,
        token: Option<TargetIndex>,
        login: Option<RegistryLogin>,
    ) -> ImagePull {
        use Phase::{Blob, Fetch, Manifest};
        let ImageInput {
            image: reference,
            added_by_aws,
            deployment,
            ..
        } = image;
        let (host, port) = (reference.host(), reference.port());
        let (registry, layers) = match &reference.registry {
            Registry::Ecr { region, .. } => {
                let registry = self.add_https(Dependency::EcrDkr, host, port, &[Manifest, Blob]);
                // AWS does not document which of the bucket's names a redirect to an IPv6-only task
                // contains; the probe follows it.
                let layers = (!self.variant.dual_stack).then(|| {
                    let host = endpoints::layer_host(region);
                    self.add_https(Dependency::S3, host, HTTPS_PORT, &[Fetch])
                });
                (registry, layers)
            }
            Registry::Other { .. } => {
                let phases = [Manifest, Blob, Fetch];
                let registry = self.add_https(Dependency::Registry, host, port, &phases);
                (registry, None)
            }
        };
        ImagePull {
            reference,
            login,
            added_by_aws,
            deployment,
            token,
            registry,
            layers,
        }
    }

    /// Adds a host with TLS, and returns its index. `then` are the phases after the handshake.
    fn add_https(
        &mut self,
        dependency: Dependency,
        host: String,
        port: u16,
        then: &[Phase],
    ) -> TargetIndex {
        let connect = [Phase::Resolve, Phase::Connect, Phase::Handshake];
        self.add(dependency, host, port, &[&connect, then].concat())
    }

    /// Adds a target unless it is already listed, and returns its index.
    fn add(
        &mut self,
        dependency: Dependency,
        host: String,
        port: u16,
        phases: &[Phase],
    ) -> TargetIndex {
        let known = self.targets.iter().position(|target| {
            (target.dependency, &target.host, target.port) == (dependency, &host, port)
        });
        if let Some(known) = known {
            return TargetIndex(known);
        }
        let is_first = self
            .targets
            .iter()
            .all(|target| target.dependency != dependency);
        let key = if is_first {
            TargetKey::of(dependency)
        } else {
            TargetKey::at(dependency, &host)
        };
        self.targets.push(Target {
            key,
            dependency,
            host,
            port,
            phases: phases.to_vec(),
        });
        TargetIndex(self.targets.len() - 1)
    }
}
