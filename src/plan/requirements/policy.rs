//! The least policies: of the execution role, of the task role, of each endpoint.
//!
//! `ecr:BatchCheckLayerAvailability` is in AWS's own policy and in none of these: it is for a push.
//! A pull takes `BatchGetImage` for the manifest and `GetDownloadUrlForLayer` for the layers
//! (Amazon ECR user guide, "VPC endpoints").

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::Dependency;
use crate::plan::{Plan, ValueFrom};
use crate::reference::{Reference, Registry};

/// An IAM policy document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    /// Of the policy language.
    pub version: &'static str,
    /// What is allowed.
    pub statement: Vec<Statement>,
}

/// One `Allow`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// What it is for: letters and digits.
    pub sid: &'static str,
    /// Always `Allow`.
    pub effect: &'static str,
    /// `*` in the policy of an endpoint; the role's own have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'static str>,
    /// API actions.
    #[serde(serialize_with = "one_or_many")]
    pub action: Vec<&'static str>,
    /// ARNs, or `*` where the action takes none.
    #[serde(serialize_with = "one_or_many")]
    pub resource: Vec<String>,
    /// Operator, key, values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>,
}

/// Who is to have a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IamRole {
    /// The execution role: what ECS does before the containers run.
    Execution,
    /// The task role: what is done for the containers.
    Task,
}

/// A statement that is needed under a condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OptionalRequirement {
    /// Its name, kebab-case.
    pub name: &'static str,
    /// The condition, that goes on from "if".
    pub when: &'static str,
    /// Whose.
    pub role: IamRole,
    /// What is then allowed.
    pub statement: Statement,
}

impl Policy {
    /// Of the policy language: the only one that knows conditions on variables.
    pub const VERSION: &str = "2012-10-17";

    fn of(statements: impl IntoIterator<Item = Option<Statement>>) -> Self {
        Self {
            version: Self::VERSION,
            statement: statements.into_iter().flatten().collect(),
        }
    }

    /// Whether it allows nothing.
    pub fn is_empty(&self) -> bool {
        self.statement.is_empty()
    }
}

/// What stands before and after the account of an ARN, where that is `*`.
pub fn around_account(arn: &str) -> Option<(&str, &str)> {
    let (at, _) = arn.match_indices(':').nth(3)?;
    let (before, after) = arn.split_at(at + 1);
    let after = after
        .strip_prefix('*')
        .filter(|after| after.starts_with(':'))?;
    arn.starts_with("arn:").then_some((before, after))
}

/// A list of one is written as that one.
fn one_or_many<T: Serialize, S: Serializer>(
    values: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if let [only] = values {
        only.serialize(serializer)
    } else {
        values.serialize(serializer)
    }
}

/// `None` if there are no resources.
fn allow(
    sid: &'static str,
    action: &[&'static str],
    mut resource: Vec<String>,
) -> Option<Statement> {
    resource.sort();
    resource.dedup();
    let (action, condition) = (action.to_vec(), BTreeMap::new());
    let statement = Statement {
        sid,
        effect: "Allow",
        principal: None,
        action,
        resource,
        condition,
    };
    (!statement.resource.is_empty()).then_some(statement)
}

/// Resources of a service in the task's account.
fn arn(plan: &Plan, service: &str, region: &Region, resource: &str) -> String {
    let account = account(plan).unwrap_or("*");
    format!(
        "arn:{}:{service}:{region}:{account}:{resource}",
        region.partition().name()
    )
}

/// The task's account: that of its roles, since ECS passes none of another account.
fn account(plan: &Plan) -> Option<&str> {
    let roles = [&plan.execution_role, &plan.task_role]
        .into_iter()
        .flatten();
    let mut accounts = roles.filter_map(|role| role.split(':').nth(4));
    accounts
        .find(|account| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What ECS does as the execution role.
pub fn of_execution_role(plan: &Plan) -> Policy {
    let repositories: Vec<_> = plan
        .images
        .iter()
        .filter_map(|image| repository_arn(&image.reference))
        .collect();
    let everything = if repositories.is_empty() {
        vec![]
    } else {
        vec!["*".to_owned()]
    };
    // The streams of a group, and the group itself as CreateLogStream and CreateLogGroup name it:
    // `…:log-stream:`.
    let group = |log: &crate::plan::LogDestination| {
        arn(
            plan,
            "logs",
            &log.region,
            &format!("log-group:{}:*", log.group),
        )
    };
    let created = plan.logs.iter().filter(|log| log.create_group);
    let parameters = plan
        .secrets
        .iter()
        .filter_map(|secret| match &secret.value_from {
            ValueFrom::Parameter { name, region } => {
                Some(parameter_arn(plan, name, region.as_ref()))
            }
            ValueFrom::Secret { .. } => None,
        });
    let objects = plan.environment_files.iter().map(|file| file.arn.clone());
    let buckets = plan.environment_files.iter().map(|file| {
        let partition = file.arn.split(':').nth(1).unwrap_or("aws");
        format!("arn:{partition}:s3:::{}", file.bucket)
    });
    Policy::of([
        allow("RegistryToken", &["ecr:GetAuthorizationToken"], everything),
        allow(
            "PullImages",
            &["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            repositories,
        ),
        allow(
            "WriteLogs",
            &["logs:CreateLogStream", "logs:PutLogEvents"],
            plan.logs.iter().map(group).collect(),
        ),
        allow(
            "CreateLogGroup",
            &["logs:CreateLogGroup"],
            created.map(group).collect(),
        ),
        allow(
            "ReadSecrets",
            &["secretsmanager:GetSecretValue"],
            secrets(plan),
        ),
        allow(
            "ReadParameters",
            &["ssm:GetParameters"],
            parameters.collect(),
        ),
        allow("ReadEnvironmentFiles", &["s3:GetObject"], objects.collect()),
        allow(
            "FindEnvironmentFiles",
            &["s3:GetBucketLocation"],
            buckets.collect(),
        ),
    ])
}

/// What is done as the task role before the containers run, or beside them.
pub fn of_task_role(plan: &Plan) -> Policy {
    let exec = plan
        .targets
        .iter()
        .any(|target| target.dependency == Dependency::SsmMessages);
    let channel = [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ];
    let [whole, through] = [false, true].map(|through| file_systems(plan, Some(through)));
    let mut through = allow(
        "MountThroughAccessPoints",
        &["elasticfilesystem:ClientMount"],
        through,
    );
    let points = plan
        .file_systems
        .iter()
        .filter(|fs| fs.iam)
        .filter_map(|fs| fs.access_point.as_ref());
    let points = points
        .map(|id| {
            arn(
                plan,
                "elasticfilesystem",
                &plan.region,
                &format!("access-point/{id}"),
            )
        })
        .collect();
    if let Some(statement) = &mut through {
        let key = BTreeMap::from([("elasticfilesystem:AccessPointArn", points)]);
        statement.condition = BTreeMap::from([("StringEquals", key)]);
    }
    Policy::of([
        allow(
            "MountFileSystems",
            &["elasticfilesystem:ClientMount"],
            whole,
        ),
        through,
        allow(
            "EcsExec",
            &channel,
            if exec { vec!["*".into()] } else { vec![] },
        ),
    ])
}

/// File systems that are mounted as the task role: all, or those with or without an access point.
fn file_systems(plan: &Plan, through_access_point: Option<bool>) -> Vec<String> {
    let mounted = plan.file_systems.iter().filter(|fs| fs.iam);
    let wanted = mounted.filter(|fs| {
        through_access_point.is_none_or(|through| fs.access_point.is_some() == through)
    });
    wanted.map(|fs| file_system_arn(plan, &fs.id)).collect()
}

/// The name of the statement whose resources only the account knows.
pub const CUSTOMER_MANAGED_KEY: &str = "customer-managed-key";

/// What is needed under conditions that a task definition does not tell.
pub fn extras(plan: &Plan) -> Vec<OptionalRequirement> {
    let mut extras = Vec::new();
    let mut add = |name, when, role, statement: Option<Statement>| {
        extras.extend(statement.map(|statement| OptionalRequirement {
            name,
            when,
            role,
            statement,
        }));
    };
    let via = decrypting_services(plan);
    let mut decrypt = allow("DecryptWithYourKey", &["kms:Decrypt"], keys(plan, &via));
    if let Some(statement) = &mut decrypt {
        let hosts = via.into_iter().map(|(_, host)| host).collect();
        statement.condition =
            BTreeMap::from([("StringEquals", BTreeMap::from([("kms:ViaService", hosts)]))]);
    }
    let key = "a secret, SecureString parameter or environment file is encrypted with a customer managed key";
    add(CUSTOMER_MANAGED_KEY, key, IamRole::Execution, decrypt);
    let caches = plan
        .images
        .iter()
        .filter(|image| image.reference.pulls_through().is_some());
    let caches = caches
        .filter_map(|image| repository_arn(&image.reference))
        .collect();
    let import = allow(
        "FillTheCache",
        &["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
        caches,
    );
    let first = "the repository is a pull-through cache and this is the first pull";
    add("pull-through-cache", first, IamRole::Execution, import);
    let file_systems = file_systems(plan, None);
    let write = allow(
        "WriteToFileSystems",
        &["elasticfilesystem:ClientWrite"],
        file_systems.clone(),
    );
    add(
        "file-system-write",
        "a container writes to the file system",
        IamRole::Task,
        write,
    );
    let root = allow(
        "BeRootOnFileSystems",
        &["elasticfilesystem:ClientRootAccess"],
        file_systems,
    );
    add(
        "file-system-root",
        "a container is to be root on the file system",
        IamRole::Task,
        root,
    );
    extras
}

/// The policy of an endpoint for `service`: what goes through it of what the roles are allowed.
pub fn of_endpoint(
    service: Service,
    plan: &Plan,
    policies: [&Policy; 2],
    extras: &[OptionalRequirement],
) -> Policy {
    let actions = match service {
        Service::EcrApi | Service::EcrDkr => "ecr:",
        Service::S3 => "s3:",
        Service::Logs => "logs:",
        Service::SecretsManager => "secretsmanager:",
        Service::Ssm => "ssm:",
        Service::SsmMessages => "ssmmessages:",
        _ => return Policy::of([]),
    };
    let layers: Vec<_> = plan
        .images
        .iter()
        .filter_map(|image| layer_arn(&image.reference, &plan.region))
        .collect();
    let layers = if service == Service::S3 {
        layers
    } else {
        Vec::new()
    };
    let here = |arn: &String| {
        matches!(arn.split(':').nth(3), None | Some(""))
            || arn.contains(&format!(":{}:", plan.region))
    };
    let of_roles = policies.into_iter().flat_map(|policy| &policy.statement);
    let statements = of_roles.chain(extras.iter().map(|extra| &extra.statement));
    let through = statements.filter(|statement| {
        statement
            .action
            .iter()
            .all(|action| action.starts_with(actions))
    });
    let through = through.map(|statement| {
        let resource: Vec<_> = statement
            .resource
            .iter()
            .filter(|arn| here(arn))
            .cloned()
            .collect();
        (!resource.is_empty()).then(|| Statement {
            principal: Some("*"),
            resource,
            ..statement.clone()
        })
    });
    // Layers come by URLs that Amazon ECR has signed itself, so the principal is not the role.
    let layers = allow("FetchLayers", &["s3:GetObject"], layers);
    let layers = layers.map(|statement| Statement {
        principal: Some("*"),
        ..statement
    });
    Policy::of([layers].into_iter().chain(through))
}

fn repository_arn(reference: &Reference) -> Option<String> {
    let Registry::Ecr {
        account, region, ..
    } = &reference.registry
    else {
        return None;
    };
    let partition = region.partition().name();
    Some(format!(
        "arn:{partition}:ecr:{region}:{account}:repository/{}",
        reference.repository
    ))
}

/// Everything in the layer bucket of an image in `region` (Amazon ECR user guide, "Minimum Amazon
/// S3 bucket permissions").
fn layer_arn(reference: &Reference, region: &Region) -> Option<String> {
    let Registry::Ecr {
        region: of_image, ..
    } = &reference.registry
    else {
        return None;
    };
    let bucket = endpoints::layer_bucket(region);
    (of_image == region).then(|| format!("arn:{}:s3:::{bucket}/*", region.partition().name()))
}

/// The secrets that are read: named as such, as a parameter, or for a registry.
fn secrets(plan: &Plan) -> Vec<String> {
    let read = plan
        .secrets
        .iter()
        .filter_map(|secret| match &secret.value_from {
            ValueFrom::Secret { arn, .. } => Some(complete(arn)),
            parameter @ ValueFrom::Parameter { region, .. } => {
                let region = region.as_ref().unwrap_or(&plan.region);
                Some(secret_arn(plan, parameter.secret_behind()?, region))
            }
        });
    let logins = plan.images.iter().filter_map(|image| image.login.as_ref());
    read.chain(logins.map(|login| secret_arn(plan, &login.secret, &login.region)))
        .collect()
}

fn secret_arn(plan: &Plan, secret: &str, region: &Region) -> String {
    if secret.starts_with("arn:") {
        complete(secret)
    } else {
        complete(&arn(
            plan,
            "secretsmanager",
            region,
            &format!("secret:{secret}"),
        ))
    }
}

/// Secrets Manager ends every ARN with a hyphen and six characters of its own, against which
/// policies are matched. Where a reference leaves them out, `-??????` stands for them (Secrets
/// Manager user guide, "Finding a secret from a partial ARN").
fn complete(arn: &str) -> String {
    let tail = arn.rsplit_once('-').map(|(_, tail)| tail);
    let whole = tail.is_some_and(|tail| {
        tail.len() == 6 && tail.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if whole {
        arn.to_owned()
    } else {
        format!("{arn}-??????")
    }
}

fn parameter_arn(plan: &Plan, name: &str, region: Option<&Region>) -> String {
    match region {
        Some(_) => name.to_owned(),
        None => arn(
            plan,
            "ssm",
            &plan.region,
            &format!("parameter/{}", name.trim_start_matches('/')),
        ),
    }
}

fn file_system_arn(plan: &Plan, id: &str) -> String {
    arn(
        plan,
        "elasticfilesystem",
        &plan.region,
        &format!("file-system/{id}"),
    )
}

/// The services that decrypt for the role, with their region and the name that `kms:ViaService`
/// knows them by.
fn decrypting_services(plan: &Plan) -> Vec<(Region, String)> {
    let of_secret = |value: &ValueFrom| match value.secret_behind() {
        Some(_) => Service::SecretsManager,
        None if matches!(value, ValueFrom::Secret { .. }) => Service::SecretsManager,
        None => Service::Ssm,
    };
    let read = plan.secrets.iter().map(|secret| {
        (
            of_secret(&secret.value_from),
            secret.value_from.region().unwrap_or(&plan.region).clone(),
        )
    });
    let logins = plan.images.iter().filter_map(|image| image.login.as_ref());
    let logins = logins.map(|login| (Service::SecretsManager, login.region.clone()));
    let files = plan
        .environment_files
        .iter()
        .map(|_| (Service::S3, plan.region.clone()));
    let mut services: Vec<_> = read.chain(logins).chain(files).collect();
    services.sort();
    services.dedup();
    let host = |(service, region): (Service, Region)| {
        let host = endpoints::api_host(service, &region, Variant::default());
        (region, host)
    };
    services.into_iter().map(host).collect()
}

fn keys(plan: &Plan, via: &[(Region, String)]) -> Vec<String> {
    via.iter()
        .map(|(region, _)| arn(plan, "kms", region, "key/KEY-ID"))
        .collect()
}
