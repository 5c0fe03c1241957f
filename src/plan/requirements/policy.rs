//! Least-privilege policies of the task execution role, the task role and each VPC endpoint.
//!
//! `ecr:BatchCheckLayerAvailability` is in the AWS managed policy but not in these: it serves a
//! push. A pull uses `BatchGetImage` for the manifest and `GetDownloadUrlForLayer` for the layers
//! (Amazon ECR user guide, "VPC endpoints").

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::arn::{Arn, is_account_id};
use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::Dependency;
use crate::plan::{FileSystem, LogDestination, Plan, SecretRead, ValueFrom};
use crate::reference::{Reference, Registry};

/// An IAM policy document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    /// Version of the policy language.
    pub version: &'static str,
    /// `Allow` statements.
    pub statement: Vec<Statement>,
}

/// An `Allow` statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// The purpose, in letters and digits.
    pub sid: &'static str,
    /// Always `Allow`.
    pub effect: &'static str,
    /// `*` in an endpoint policy; absent in a role's policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'static str>,
    /// API actions.
    #[serde(serialize_with = "one_or_many")]
    pub action: Vec<&'static str>,
    /// ARNs, or `*` for actions without resources.
    #[serde(serialize_with = "one_or_many")]
    pub resource: Vec<String>,
    /// Condition values by operator and key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>,
}

/// One of the two roles of a task definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IamRole {
    /// The task execution role, which ECS uses before the containers run.
    Execution,
    /// The task role, which the containers use.
    Task,
}

/// A statement that is required under a condition which a task definition does not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OptionalRequirement {
    /// Name in kebab-case.
    pub name: &'static str,
    /// The condition, as a clause that can follow "if" or "whether".
    pub when: &'static str,
    /// Role that needs the statement.
    pub role: IamRole,
    /// The statement.
    pub statement: Statement,
}

/// The least-privilege policies of the two roles.
#[derive(Debug, Clone, PartialEq)]
pub struct RolePolicies {
    /// Policy of the task execution role.
    pub execution_role: Policy,
    /// Policy of the task role, without what the containers do once they run.
    pub task_role: Policy,
    /// Statements that are required under a condition.
    pub optional: Vec<OptionalRequirement>,
}

/// Name of the optional requirement whose keys only the operator knows.
pub const CUSTOMER_MANAGED_KEY: &str = "customer-managed-key";

/// Maximum number of characters of a role's inline policies together, without white space (IAM user
/// guide, "IAM and AWS STS quotas").
pub const MAX_INLINE_CHARS: usize = 10_240;

/// Maximum number of characters of a managed policy (same source). Ten can be attached to a role,
/// and more on request.
pub const MAX_MANAGED_CHARS: usize = 6_144;

/// Digits of an account ID, which takes the place of a `*`.
const ACCOUNT_DIGITS: usize = 12;

impl Policy {
    /// The version of the policy language that supports policy variables.
    pub const VERSION: &str = "2012-10-17";

    fn of(statements: impl IntoIterator<Item = Option<Statement>>) -> Self {
        Self {
            version: Self::VERSION,
            statement: statements.into_iter().flatten().collect(),
        }
    }

    /// Returns the characters that IAM counts, with the account filled in.
    pub fn size(&self) -> usize {
        let resources = self.statement.iter().flat_map(|one| &one.resource);
        let accounts = resources.filter(|arn| parse_any_account_arn(arn).is_some());
        // Policies have only string keys, so they can always be written as JSON.
        let text = serde_json::to_string(self).unwrap_or_default();
        text.chars().count() + accounts.count() * (ACCOUNT_DIGITS - "*".len())
    }

    /// Returns policies of at most [`MAX_MANAGED_CHARS`] that allow the same together.
    fn split(&self) -> Vec<Self> {
        let mut parts = vec![Self::of([])];
        for statement in &self.statement {
            for resource in &statement.resource {
                let with = |part: &Self| {
                    let mut part = part.clone();
                    match part.statement.last_mut() {
                        Some(last) if last.sid == statement.sid => {
                            last.resource.push(resource.clone());
                        }
                        _ => part.statement.push(Statement {
                            resource: vec![resource.clone()],
                            ..statement.clone()
                        }),
                    }
                    part
                };
                let grown = parts.last().map(with);
                match grown.filter(|part| part.size() <= MAX_MANAGED_CHARS) {
                    Some(part) => {
                        parts.pop();
                        parts.push(part);
                    }
                    None => parts.push(with(&Self::of([]))),
                }
            }
        }
        parts
    }

    /// Whether the policy has no statements.
    pub fn is_empty(&self) -> bool {
        self.statement.is_empty()
    }
}

impl Statement {
    /// Returns a statement that allows `action` on the resources; `None` without resources.
    fn allow(
        sid: &'static str,
        action: &[&'static str],
        resources: impl IntoIterator<Item = String>,
    ) -> Option<Self> {
        let mut resource: Vec<String> = resources.into_iter().collect();
        resource.sort();
        resource.dedup();
        (!resource.is_empty()).then(|| Self {
            sid,
            effect: "Allow",
            principal: None,
            action: action.to_vec(),
            resource,
            condition: BTreeMap::new(),
        })
    }

    /// Returns the statement with the condition that `key` equals one of `values`.
    fn if_equals(self, key: &'static str, values: Vec<String>) -> Self {
        Self {
            condition: BTreeMap::from([("StringEquals", BTreeMap::from([(key, values)]))]),
            ..self
        }
    }

    /// Returns the statement as an endpoint policy has it.
    fn for_any_principal(self) -> Self {
        Self {
            principal: Some("*"),
            ..self
        }
    }
}

/// Writes a list of one as that value.
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

/// Returns the ARN if it is a pattern that matches every account, because the task's is unknown.
pub fn parse_any_account_arn(text: &str) -> Option<Arn> {
    text.parse().ok().filter(Arn::matches_any_account)
}

impl RolePolicies {
    /// Derives the policies of `plan`.
    pub fn of(plan: &Plan) -> Self {
        Self {
            execution_role: execution_role_policy(plan),
            task_role: task_role_policy(plan),
            optional: optional_requirements(plan),
        }
    }

    /// Returns the policy of the role.
    pub fn of_role(&self, role: IamRole) -> &Policy {
        match role {
            IamRole::Execution => &self.execution_role,
            IamRole::Task => &self.task_role,
        }
    }

    /// Returns the optional requirements of the role.
    pub fn optional_of(&self, role: IamRole) -> impl Iterator<Item = &OptionalRequirement> {
        self.optional
            .iter()
            .filter(move |requirement| requirement.role == role)
    }

    /// Returns the characters of the role's policies, the optional ones included.
    pub fn inline_size(&self, role: IamRole) -> usize {
        let optional = self.optional_of(role).map(|requirement| {
            let statement = Some(requirement.statement.clone());
            Policy::of([statement]).size()
        });
        self.of_role(role).size() + optional.sum::<usize>()
    }

    /// Returns the managed policies into which the role's policy must be split; none if it fits
    /// into the role's inline policies.
    pub fn managed(&self, role: IamRole) -> Vec<Policy> {
        if self.inline_size(role) <= MAX_INLINE_CHARS {
            return Vec::new();
        }
        self.of_role(role).split()
    }

    /// Returns all statements, the optional ones last.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        let optional = self
            .optional
            .iter()
            .map(|requirement| &requirement.statement);
        [&self.execution_role, &self.task_role]
            .into_iter()
            .flat_map(|policy| &policy.statement)
            .chain(optional)
    }

    /// Returns the policy of the endpoint for `service`: the statements whose requests go through
    /// it, for the resources in the task's Region.
    pub fn of_endpoint(&self, service: Service, plan: &Plan) -> Policy {
        let action_prefix = match service {
            Service::EcrApi | Service::EcrDkr => "ecr:",
            Service::S3 => "s3:",
            Service::Logs => "logs:",
            Service::SecretsManager => "secretsmanager:",
            Service::Ssm => "ssm:",
            Service::SsmMessages => "ssmmessages:",
            Service::Fsx => "fsx:",
            _ => return Policy::of([]),
        };
        // Amazon ECR signs the URLs of layers, so the principal is not the role.
        let layers = (service == Service::S3)
            .then(|| layer_statement(plan))
            .flatten();
        let uses_service = |statement: &&Statement| {
            let mut actions = statement.action.iter();
            actions.all(|action| action.starts_with(action_prefix))
        };
        let statements = self.statements().filter(uses_service).map(|statement| {
            let mut resource = statement.resource.clone();
            resource.retain(|arn| is_in_region(arn, &plan.region));
            let statement = Statement {
                resource,
                ..statement.clone()
            };
            (!statement.resource.is_empty()).then(|| statement.for_any_principal())
        });
        Policy::of([layers].into_iter().chain(statements))
    }
}

/// Whether a resource can be in `region`: `*`, or an ARN that names this Region or none.
fn is_in_region(resource: &str, region: &Region) -> bool {
    resource.parse::<Arn>().map_or(true, |arn| {
        arn.region.is_empty() || arn.region == region.as_str()
    })
}

/// Derives the policy for ECS's requests with the task execution role.
fn execution_role_policy(plan: &Plan) -> Policy {
    let repositories: Vec<_> = plan
        .images
        .iter()
        .filter_map(|image| repository_arn(&image.reference))
        .collect();
    // The action has no resources (Service Authorization Reference, "Amazon FSx").
    let file_systems = (!plan.windows_file_systems.is_empty()).then(|| "*".to_owned());
    let any_registry = (!repositories.is_empty()).then(|| "*".to_owned());
    let log_group = |log: &LogDestination| log_group_arn(plan, log);
    let created_log_groups = plan.logs.iter().filter(|log| log.create_group);
    let parameters = plan
        .secrets
        .iter()
        .filter_map(|secret| parameter_arn(plan, secret));
    let objects = plan.environment_files.iter().map(|file| file.arn.clone());
    let buckets = plan
        .environment_files
        .iter()
        .map(|file| bucket_arn(&file.arn, &file.bucket));
    Policy::of([
        Statement::allow(
            "RegistryToken",
            &["ecr:GetAuthorizationToken"],
            any_registry,
        ),
        Statement::allow(
            "PullImages",
            &["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            repositories,
        ),
        Statement::allow(
            "WriteLogs",
            &["logs:CreateLogStream", "logs:PutLogEvents"],
            plan.logs.iter().map(log_group),
        ),
        Statement::allow(
            "CreateLogGroup",
            &["logs:CreateLogGroup"],
            created_log_groups.map(log_group),
        ),
        Statement::allow(
            "ReadSecrets",
            &["secretsmanager:GetSecretValue"],
            secret_arns(plan),
        ),
        Statement::allow("ReadParameters", &["ssm:GetParameters"], parameters),
        Statement::allow("ReadEnvironmentFiles", &["s3:GetObject"], objects),
        Statement::allow("FindEnvironmentFiles", &["s3:GetBucketLocation"], buckets),
        Statement::allow(
            "FindFileSystems",
            &["fsx:DescribeFileSystems"],
            file_systems,
        ),
    ])
}

/// Derives the policy for requests with the task role that ECS makes for the containers.
fn task_role_policy(plan: &Plan) -> Policy {
    let uses_ecs_exec = plan
        .targets
        .iter()
        .any(|target| target.dependency == Dependency::SsmMessages);
    let (with_access_point, without_access_point): (Vec<_>, Vec<_>) =
        iam_file_systems(plan).partition(|file_system| file_system.access_point.is_some());
    let access_points = with_access_point
        .iter()
        .filter_map(|file_system| file_system.access_point.as_ref())
        .map(|id| access_point_arn(plan, id))
        .collect();
    let arn = |file_system: &FileSystem| file_system_arn(plan, file_system);
    let mount_through_access_points = Statement::allow(
        "MountThroughAccessPoints",
        &["elasticfilesystem:ClientMount"],
        with_access_point.into_iter().map(arn),
    );
    Policy::of([
        Statement::allow(
            "MountFileSystems",
            &["elasticfilesystem:ClientMount"],
            without_access_point.into_iter().map(arn),
        ),
        mount_through_access_points.map(|statement| {
            statement.if_equals("elasticfilesystem:AccessPointArn", access_points)
        }),
        Statement::allow(
            "EcsExec",
            &[
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            uses_ecs_exec.then(|| "*".to_owned()),
        ),
    ])
}

/// Derives the statements that are required under a condition.
fn optional_requirements(plan: &Plan) -> Vec<OptionalRequirement> {
    let decrypting_services = decrypting_services(plan);
    let keys = decrypting_services
        .iter()
        .map(|(_, region)| arn_in_account(plan, "kms", region, "key/KEY-ID"));
    let decrypt = Statement::allow("DecryptWithYourKey", &["kms:Decrypt"], keys);
    let service_hosts = decrypting_services
        .iter()
        .map(|(service, region)| endpoints::api_host(*service, region, Variant::default()))
        .collect();
    let caches = plan
        .images
        .iter()
        .filter(|image| image.reference.pulls_through().is_some())
        .filter_map(|image| repository_arn(&image.reference));
    let file_systems: Vec<_> = iam_file_systems(plan)
        .map(|file_system| file_system_arn(plan, file_system))
        .collect();
    let requirements = [
        (
            CUSTOMER_MANAGED_KEY,
            "a secret, SecureString parameter or environment file is encrypted with a customer managed key",
            IamRole::Execution,
            decrypt.map(|statement| statement.if_equals("kms:ViaService", service_hosts)),
        ),
        (
            "pull-through-cache",
            "the repository is a pull-through cache and this is the first pull",
            IamRole::Execution,
            Statement::allow(
                "FillTheCache",
                &["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
                caches,
            ),
        ),
        (
            "file-system-write",
            "a container writes to the file system",
            IamRole::Task,
            Statement::allow(
                "WriteToFileSystems",
                &["elasticfilesystem:ClientWrite"],
                file_systems.clone(),
            ),
        ),
        (
            "file-system-root",
            "a container needs root access to the file system",
            IamRole::Task,
            Statement::allow(
                "BeRootOnFileSystems",
                &["elasticfilesystem:ClientRootAccess"],
                file_systems,
            ),
        ),
    ];
    requirements
        .into_iter()
        .filter_map(|(name, when, role, statement)| {
            Some(OptionalRequirement {
                name,
                when,
                role,
                statement: statement?,
            })
        })
        .collect()
}

/// Returns the file systems that are mounted with the task role.
fn iam_file_systems(plan: &Plan) -> impl Iterator<Item = &FileSystem> {
    plan.file_systems
        .iter()
        .filter(|file_system| file_system.iam)
}

/// Returns the statement for Amazon ECR's layer bucket, if an image is in the task's Region (Amazon
/// ECR user guide, "Minimum Amazon S3 bucket permissions").
fn layer_statement(plan: &Plan) -> Option<Statement> {
    let is_in_task_region = |reference: &Reference| matches!(&reference.registry, Registry::Ecr { region, .. } if *region == plan.region);
    let has_image = plan
        .images
        .iter()
        .any(|image| is_in_task_region(&image.reference));
    let objects = has_image.then(|| {
        let bucket = endpoints::layer_bucket(&plan.region);
        s3_arn(plan.region.partition().name(), &format!("{bucket}/*"))
    });
    Statement::allow("FetchLayers", &["s3:GetObject"], objects).map(Statement::for_any_principal)
}

/// Returns the task's account: that of its task definition, or of its roles, because ECS passes no
/// role of another account.
fn task_account(plan: &Plan) -> Option<String> {
    if let Some(account) = &plan.account {
        return Some(account.clone());
    }
    [&plan.execution_role, &plan.task_role]
        .into_iter()
        .flatten()
        .filter_map(|role| role.parse::<Arn>().ok())
        .map(|role| role.account)
        .find(|account| is_account_id(account))
}

/// Returns the ARN of a resource in the task's account, or in every account if it is unknown.
fn arn_in_account(plan: &Plan, service: &str, region: &Region, resource: &str) -> String {
    let partition = region.partition().name();
    let account = task_account(plan);
    Arn::pattern(
        partition,
        service,
        region.as_str(),
        account.as_deref(),
        resource,
    )
    .to_string()
}

/// Returns the ARN of a bucket or of objects, which names neither Region nor account.
fn s3_arn(partition: &str, resource: &str) -> String {
    Arn::pattern(partition, "s3", "", Some(""), resource).to_string()
}

fn repository_arn(reference: &Reference) -> Option<String> {
    let Registry::Ecr {
        account, region, ..
    } = &reference.registry
    else {
        return None;
    };
    let partition = region.partition().name();
    let resource = format!("repository/{}", reference.repository);
    Some(Arn::pattern(partition, "ecr", region.as_str(), Some(account), resource).to_string())
}

/// Returns the ARN of the log group's streams. It also matches the log group as CreateLogStream and
/// CreateLogGroup name it: `…:log-stream:`.
fn log_group_arn(plan: &Plan, log: &LogDestination) -> String {
    let resource = format!("log-group:{}:*", log.group);
    arn_in_account(plan, "logs", &log.region, &resource)
}

fn bucket_arn(object_arn: &str, bucket: &str) -> String {
    // The plan has checked the ARN.
    let arn = object_arn.parse::<Arn>();
    s3_arn(arn.as_ref().map_or("aws", |arn| &arn.partition), bucket)
}

/// Returns the ARNs of all secrets: by `valueFrom`, through a parameter, or with the credentials of
/// a registry.
fn secret_arns(plan: &Plan) -> impl Iterator<Item = String> {
    let read = plan
        .secrets
        .iter()
        .filter_map(|secret| match &secret.value_from {
            ValueFrom::Secret { arn, .. } => Some(arn.clone()),
            parameter @ ValueFrom::Parameter { region, .. } => {
                let region = region.as_ref().unwrap_or(&plan.region);
                Some(secret_arn(plan, parameter.secret_behind()?, region))
            }
        });
    let logins = plan.images.iter().filter_map(|image| image.login.as_ref());
    read.chain(logins.map(|login| secret_arn(plan, &login.secret, &login.region)))
        .flat_map(|arn| with_random_suffix(&arn))
}

/// Returns the ARN of a secret that is named by ARN or by name.
fn secret_arn(plan: &Plan, secret: &str, region: &Region) -> String {
    if secret.starts_with("arn:") {
        return secret.to_owned();
    }
    arn_in_account(plan, "secretsmanager", region, &format!("secret:{secret}"))
}

/// Returns the ARN with its random suffix. Secrets Manager ends every ARN with a hyphen and six
/// random characters, and policies are matched against the complete ARN. For a partial ARN,
/// `-??????` matches them (Secrets Manager user guide, "Finding a secret from a partial ARN").
/// Where the last six characters can be a word or random, such as in `jwt-secret`, both are
/// returned.
fn with_random_suffix(arn: &str) -> Vec<String> {
    let suffix = arn.rsplit_once('-').map(|(_, suffix)| suffix);
    let suffix = suffix.filter(|suffix| {
        suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let partial = format!("{arn}-??????");
    match suffix {
        None => vec![partial],
        Some(suffix) if can_be_word(suffix) => vec![arn.to_owned(), partial],
        Some(_) => vec![arn.to_owned()],
    }
}

/// Whether a person may have chosen six characters: without a mixture of capital and small letters
/// (`secret`, `PROD01`), with a capital letter first (`Secret`), or of two words (`apiKey`). One in
/// seven random suffixes looks like that.
fn can_be_word(suffix: &str) -> bool {
    let has_capital = |text: &str| text.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_small = suffix.bytes().any(|byte| byte.is_ascii_lowercase());
    let (first, rest) = suffix.split_at(1);
    if !has_small || !has_capital(rest) {
        return true;
    }
    // Two words, of which the second begins with a capital letter.
    let second = rest
        .find(|c: char| c.is_ascii_uppercase())
        .map_or(0, |at| at + first.len());
    let (one, two) = suffix.split_at(second);
    let is_word = |word: &str| {
        let rest = word.get(1..).unwrap_or_default();
        word.len() >= 2
            && word.as_bytes()[0].is_ascii_alphabetic()
            && rest.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    is_word(one) && is_word(two)
}

/// Returns the ARN of a parameter; `None` for a secret.
fn parameter_arn(plan: &Plan, secret: &SecretRead) -> Option<String> {
    match &secret.value_from {
        ValueFrom::Parameter {
            name,
            region: Some(_),
        } => Some(name.clone()),
        ValueFrom::Parameter { name, region: None } => {
            let resource = format!("parameter/{}", name.trim_start_matches('/'));
            Some(arn_in_account(plan, "ssm", &plan.region, &resource))
        }
        ValueFrom::Secret { .. } => None,
    }
}

fn file_system_arn(plan: &Plan, file_system: &FileSystem) -> String {
    let resource = format!("file-system/{}", file_system.id);
    arn_in_account(plan, "elasticfilesystem", &plan.region, &resource)
}

fn access_point_arn(plan: &Plan, id: &str) -> String {
    let resource = format!("access-point/{id}");
    arn_in_account(plan, "elasticfilesystem", &plan.region, &resource)
}

/// Returns the services that decrypt with the role, each Region once.
fn decrypting_services(plan: &Plan) -> Vec<(Service, Region)> {
    let read = plan.secrets.iter().map(|secret| {
        let service = match &secret.value_from {
            ValueFrom::Secret { .. } => Service::SecretsManager,
            parameter if parameter.secret_behind().is_some() => Service::SecretsManager,
            ValueFrom::Parameter { .. } => Service::Ssm,
        };
        let region = secret.value_from.region().unwrap_or(&plan.region);
        (service, region.clone())
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
    services
}
