//! Fills in or leaves out a template's open values, and reads the rest.

use serde_json::Value;

use super::placeholder::{self, PlaceholderStyle, find, find_in_value, split_tag};
use super::{InvalidTemplate, TemplateDefinition, open_parts, open_value};
use crate::arn::is_account_id;
use crate::endpoints::{Region, Service, Variant, api_host, bucket_host, layer_host};
use crate::observation::Dependency;
use crate::plan::task_definition::{self, Problem};
use crate::plan::{PlanInput, ReachabilityCheck, Unchecked};
use crate::redact;
use crate::reference::{Reference, Registry};

/// Maximum number of characters of a placeholder that a message shows.
const MAX_SHOWN: usize = 120;

/// Maximum number of notes on one task definition.
const MAX_NOTES: usize = 20;

/// Maximum number of placeholders without an effect that a note names.
const MAX_UNNEEDED: usize = 5;

/// The ends of the reasons for open values that come from these types of resources in a stack.
const STACK_SECRET: &str = "(AWS::SecretsManager::Secret)";
const STACK_REPOSITORY: &str = "(AWS::ECR::Repository)";

/// Members in which `$X` and `<x>` are ordinary text, and which no check needs.
const FREE_TEXT: [&str; 9] = [
    "command",
    "entryPoint",
    "environment",
    "healthCheck",
    "dockerLabels",
    "systemControls",
    "extraHosts",
    "tags",
    "proxyConfiguration",
];

/// What the inputs are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePurpose {
    /// To be printed: an image without its tag still shows its registry, and a secret of an unknown
    /// account still shows the endpoint and a policy for every account.
    Print,
    /// To be checked: an incomplete value is left out, because its check would fail.
    Check,
}

/// The inputs from a task definition.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateReading {
    /// The inputs. Values that are left out are listed as not checked.
    pub input: PlanInput,
    /// Notes on values that were left out or assumed and are not dependencies.
    pub notes: Vec<String>,
}

impl TemplateDefinition {
    /// Sets images: `NAME=REF` for the container of that name, `REF` for the only container whose
    /// image is open. Returns the references that fit no container.
    ///
    /// # Errors
    ///
    /// Fails if a name matches no container.
    pub fn set_images<'a>(&mut self, images: &'a [String]) -> Result<Vec<&'a str>, String> {
        let mut others = Vec::new();
        let containers = self.inner_mut().get_mut("containerDefinitions");
        let Some(containers) = containers.and_then(Value::as_array_mut) else {
            return Ok(images.iter().map(String::as_str).collect());
        };
        for image in images.iter().filter(|image| !image.is_empty()) {
            let Some((name, reference)) = image.split_once('=') else {
                let is_open = |container: &&mut Value| open_image(&container["image"]).is_some();
                let mut open = containers.iter_mut().filter(is_open);
                match (open.next(), open.next()) {
                    (Some(container), None) if container.is_object() => {
                        container["image"] = image.as_str().into();
                    }
                    _ => others.push(image.as_str()),
                }
                continue;
            };
            let name_of = |container: &Value| super::text_of(&container["name"]);
            let names: Vec<_> = containers.iter().map(name_of).collect();
            let Some(position) = names.iter().position(|known| known == name) else {
                return Err(format!(
                    "there is no container {:?}; the containers are {}",
                    shown(name),
                    names
                        .iter()
                        .map(|name| shown(name))
                        .collect::<Vec<_>>()
                        .join(", ")
                ));
            };
            if let Some(container) = containers[position].as_object_mut() {
                container.insert("image".into(), reference.into());
            }
        }
        Ok(others)
    }

    /// Reads the task definition for a task in `region`.
    ///
    /// # Errors
    ///
    /// Fails with every value that ECS would reject.
    pub fn read(
        mut self,
        region: Option<&Region>,
        purpose: TemplatePurpose,
    ) -> Result<TemplateReading, InvalidTemplate> {
        let mut settling = Settling::new(region, purpose);
        settling.settle_definition(self.inner_mut());
        let (mut input, open) = task_definition::read_value(&self.document)?;
        let definition = self.inner();
        for error in open {
            if let Problem::Open { text, reason } = &error.problem {
                let path = error
                    .path
                    .strip_prefix("taskDefinition.")
                    .unwrap_or(&error.path);
                settling.leave_out(&mut input, definition, path, text, reason);
            }
        }
        let mut more = Vec::new();
        list_open(self.inner(), "", &mut more);
        more.retain(|(path, _)| !settling.named.contains(path));
        settling.name_unneeded(&more);
        input.account = self.facts().account;
        input.unchecked.append(&mut settling.unchecked);
        let more = settling.notes.len().saturating_sub(MAX_NOTES);
        if more > 0 {
            settling.notes.truncate(MAX_NOTES);
            settling.notes.push(format!(
                "and {more} more values that are ignored or assumed"
            ));
        }
        Ok(TemplateReading {
            input,
            notes: settling.notes,
        })
    }

    /// Returns the whole task definition, with the values that `region` determines.
    ///
    /// # Errors
    ///
    /// Fails if the file leaves a value open, or with every value that ECS would reject.
    pub fn into_complete(mut self, region: &Region) -> Result<Value, InvalidTemplate> {
        let reading = self.clone().read(Some(region), TemplatePurpose::Check)?;
        let mut settling = Settling::new(Some(region), TemplatePurpose::Check);
        settling.settle_definition(self.inner_mut());
        let mut open = Vec::new();
        list_open(self.inner(), "", &mut open);
        match open.as_slice() {
            [] => Ok(self.into_value()),
            [(_, first), ..] => {
                let why = reading
                    .input
                    .unchecked
                    .iter()
                    .map(|unchecked| &unchecked.why);
                let why = why.chain(&reading.notes).next().cloned();
                Err(InvalidTemplate::Unreadable(format!(
                    "{} of its values are not known, such as {:?}: {}. `launch` needs a task definition without placeholders",
                    open.len(),
                    shown(first),
                    why.unwrap_or_else(|| "render the file first".into())
                )))
            }
        }
    }
}

/// Lists the path and text of each open value.
fn list_open(value: &Value, path: &str, open: &mut Vec<(String, String)>) {
    match value {
        Value::String(_) => {
            let text = open_parts(value).map(|(text, _)| text);
            open.extend(text.map(|text| (path.to_owned(), text.to_owned())));
        }
        Value::Array(elements) => {
            for (n, element) in elements.iter().enumerate() {
                list_open(element, &format!("{path}[{n}]"), open);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                list_open(member, &member_path(path, name), open);
            }
        }
        _ => {}
    }
}

/// Returns the path of a member. Its name may be the file's own choice, such as a label's, so it is
/// shown safely.
fn member_path(path: &str, name: &str) -> String {
    let name = shown(name);
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

/// Returns the text of an image that cannot be pulled as written, with the reason as a noun phrase.
fn open_image(image: &Value) -> Option<(String, String)> {
    if let Some((text, reason)) = open_parts(image) {
        return Some((text.to_owned(), reason.to_owned()));
    }
    match image {
        Value::Null => Some((String::new(), "missing".into())),
        Value::String(text) if text.trim().is_empty() => Some((String::new(), "empty".into())),
        Value::String(text) => {
            let style = if let Some(mark) = find(text).first() {
                mark.style
            } else {
                placeholder::image_word(text)?;
                PlaceholderStyle::Word
            };
            Some((text.clone(), style.phrase().to_owned()))
        }
        _ => None,
    }
}

/// Replaces open values with known ones, and marks the rest.
struct Settling<'a> {
    region: Option<&'a Region>,
    purpose: TemplatePurpose,
    notes: Vec<String>,
    unchecked: Vec<Unchecked>,
    /// Paths of the open values that the reader needs.
    named: Vec<String>,
}

impl<'a> Settling<'a> {
    fn new(region: Option<&'a Region>, purpose: TemplatePurpose) -> Self {
        Self {
            region,
            purpose,
            notes: Vec::new(),
            unchecked: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Names open values that no check needs.
    fn name_unneeded(&mut self, open: &[(String, String)]) {
        let shown: Vec<_> = open
            .iter()
            .take(MAX_UNNEEDED)
            .map(|(path, text)| format!("{path} ({})", shown(text)))
            .collect();
        if let Some(more) = open.len().checked_sub(shown.len())
            && !shown.is_empty()
        {
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            self.notes.push(format!(
                "placeholders that have no effect here: {}{more}",
                shown.join(", ")
            ));
        }
    }

    fn settle_definition(&mut self, definition: &mut Value) {
        // Without this member, the launch type is unknown, which is valid.
        let compatibilities = &definition["requiresCompatibilities"];
        let is_open = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| open_parts(value).is_some() || !find(text).is_empty())
        };
        let elements = compatibilities.as_array();
        if is_open(compatibilities) || elements.is_some_and(|all| all.iter().any(is_open)) {
            self.note("requiresCompatibilities", "a placeholder");
            if let Some(members) = definition.as_object_mut() {
                members.remove("requiresCompatibilities");
            }
        }
        if let Some(containers) = definition
            .get_mut("containerDefinitions")
            .and_then(Value::as_array_mut)
        {
            for (n, container) in containers.iter_mut().enumerate() {
                self.settle_image(container, &format!("containerDefinitions[{n}]"));
            }
        }
        self.settle(definition, "", "");
    }

    fn settle_image(&mut self, container: &mut Value, path: &str) {
        self.fill_image_region(container, path);
        let Some((text, phrase)) = open_image(&container["image"]) else {
            return;
        };
        if !container.is_object() {
            return;
        }
        let name = shown(&super::text_of(&container["name"]));
        let next = format!(
            "pass --image {}=REF",
            if name.is_empty() { "NAME" } else { &name }
        );
        let (named, tag) = split_tag(&text);
        let is_named =
            tag.is_some() && find(named).is_empty() && placeholder::image_word(named).is_none();
        if is_named
            && self.purpose == TemplatePurpose::Print
            && let Ok(reference) = named.parse::<Reference>()
        {
            self.unchecked.push(Unchecked {
                dependency: dependency_of(&reference),
                subject: shown(&text),
                why: format!(
                    "the tag of {path}.image is {phrase}, so only its registry and repository are known; {next}"
                ),
            });
            container["image"] = named.into();
            return;
        }
        let (subject, reason) = match (text.is_empty(), open_parts(&container["image"])) {
            (true, None) => (name.clone(), format!("{phrase}; {next}")),
            (_, Some(_)) if phrase.contains("pass --set") => (text, format!("{phrase}, or {next}")),
            _ => (text, format!("{phrase}; render the file first, or {next}")),
        };
        container["image"] = open_value(&subject, &reason);
    }

    /// Fills in the task's Region if a placeholder named after it stands for the registry's.
    fn fill_image_region(&mut self, container: &mut Value, path: &str) {
        let (Some(region), TemplatePurpose::Print) = (self.region, self.purpose) else {
            return;
        };
        let Some(image) = container.get_mut("image") else {
            return;
        };
        let text = super::text_of(image);
        let means_region = |name: &str| name.to_ascii_lowercase().contains("region");
        let mark = find_in_value(&text)
            .into_iter()
            .find(|mark| text[..mark.start].ends_with(".dkr.ecr.") && means_region(mark.name));
        if let Some(mark) = mark {
            let (before, after) = (&text[..mark.start], &text[mark.end()..]);
            let filled = format!("{before}{region}{after}");
            self.notes.push(format!(
                "{path}.image: {} is assumed to be {region}",
                shown(mark.text)
            ));
            *image = match open_parts(image) {
                Some((_, reason)) => open_value(&filled, reason),
                None => filled.into(),
            };
        }
    }

    /// Settles the values below `value`, which is the member `name`.
    fn settle(&mut self, value: &mut Value, name: &str, path: &str) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let is_free = FREE_TEXT.contains(&name.as_str()) && !member.is_string();
                    if name != "image" && !is_free {
                        self.settle(member, name, &member_path(path, name));
                    }
                }
            }
            Value::Array(elements) => {
                for (n, element) in elements.iter_mut().enumerate() {
                    self.settle(element, name, &format!("{path}[{n}]"));
                }
            }
            Value::String(_) => self.settle_text(value, name, path),
            _ => {}
        }
    }

    fn settle_text(&mut self, value: &mut Value, name: &str, path: &str) {
        let (text, given) = match open_parts(value) {
            Some((text, reason)) => (text.to_owned(), Some(reason.to_owned())),
            None => (super::text_of(value), None),
        };
        let marks = find(&text);
        let reason = given.clone().unwrap_or_else(|| reason_of(&text));
        let is_open = given.is_some() || !marks.is_empty();
        let settled = match name {
            "awslogs-region" if is_open || placeholder::is_region_word(&text) => {
                match self.region {
                    Some(region) => {
                        self.notes.push(format!(
                            "{path} ({}) is assumed to be {region}",
                            shown(&text)
                        ));
                        Some(Value::from(region.as_str()))
                    }
                    None => Some(open_value(&text, &reason)),
                }
            }
            // Neither affects which hosts are contacted.
            "awslogs-stream-prefix" | "awslogs-create-group" if is_open => {
                self.note(path, &format!("{} ({})", reason, shown(&text)));
                Some(Value::Null)
            }
            "valueFrom" | "credentialsParameter" | "executionRoleArn" | "taskRoleArn" | "value" => {
                self.settle_arn(&text, &reason, is_open, path)
            }
            "fileSystemId" | "accessPointId" => {
                let id = text.split_once('-').map_or(&*text, |(_, id)| id);
                (is_open || placeholder::is_word(id)).then(|| open_value(&text, &reason))
            }
            _ => {
                let has_word = text.split(['/', ':']).any(placeholder::is_word);
                (is_open || has_word).then(|| open_value(&text, &reason))
            }
        };
        if let Some(settled) = settled {
            *value = settled;
        }
    }

    /// Fills in the open parts of an ARN that the task determines: the partition, the Region and,
    /// for printing, `*` as the account. Returns `None` if nothing is open.
    fn settle_arn(&mut self, text: &str, reason: &str, is_open: bool, path: &str) -> Option<Value> {
        if let Some((known, suffix)) = without_suffix(text) {
            self.notes.push(format!(
                "{path}: {} stands for the six characters that Secrets Manager adds, so policies allow any",
                shown(suffix)
            ));
            let is_open = is_open && !find(&known).is_empty();
            let settled = self.settle_arn(&known, &reason_of(&known), is_open, path);
            return Some(settled.unwrap_or_else(|| known.into()));
        }
        let open = || Some(open_value(text, reason));
        let is_word_in = |text: &str| text.split([':', '/']).any(placeholder::is_word);
        let mut fields = split_outside(text, ':', 6);
        if fields[0] != "arn" || fields.len() < 6 {
            return (is_open || is_word_in(text)).then(open).flatten();
        }
        let is_marked = |field: &str| !find(field).is_empty();
        let account = fields[4];
        let is_account_open = is_marked(account) || placeholder::is_account_word(account);
        let is_region_open = is_marked(fields[3]) || placeholder::is_region_word(fields[3]);
        let is_partition_open = is_marked(fields[1]);
        if !(is_open || is_account_open || is_region_open || is_word_in(fields[5])) {
            return None;
        }
        if is_marked(fields[2]) || is_marked(fields[5]) || is_word_in(fields[5]) {
            return open();
        }
        let mut assumed = Vec::new();
        if is_partition_open {
            let Some(region) = self.region else {
                return open();
            };
            fields[1] = region.partition().name();
        }
        if is_region_open {
            let means_region = fields[3].to_ascii_lowercase().contains("region");
            let Some(region) = self.region.filter(|_| means_region) else {
                return open();
            };
            assumed.push(format!("{} is assumed to be {region}", shown(fields[3])));
            fields[3] = region.as_str();
        }
        let is_role = path.ends_with("RoleArn");
        if is_account_open {
            if self.purpose == TemplatePurpose::Check || is_role {
                return open();
            }
            assumed.push(format!(
                "{} is not known, so policies name every account",
                shown(account)
            ));
            fields[4] = "*";
        } else if !(account.is_empty() || account == "*" || is_account_id(account)) {
            return None;
        }
        if !assumed.is_empty() {
            self.notes.push(format!("{path}: {}", assumed.join("; ")));
        }
        Some(fields.join(":").into())
    }

    fn note(&mut self, path: &str, reason: &str) {
        self.notes
            .push(format!("{path} is ignored, because it is {reason}"));
    }

    /// Lists a value that is left out, and adds the host that is contacted whatever the value.
    fn leave_out(
        &mut self,
        input: &mut PlanInput,
        definition: &Value,
        path: &str,
        text: &str,
        reason: &str,
    ) {
        self.named.push(path.to_owned());
        let Some(dependency) = open_dependency(path, text, reason) else {
            let text = if text.is_empty() {
                String::new()
            } else {
                format!(" ({})", shown(text))
            };
            self.notes.push(format!(
                "{path}{text} is ignored, because it is {}",
                shown_reason(reason)
            ));
            return;
        };
        let mut why = format!("{path} is {}", shown_reason(reason));
        if dependency == Dependency::SecretsManager
            && split_outside(text, ':', 6).len() < 6
            && path.contains("valueFrom")
            && !reason.contains(STACK_SECRET)
        {
            why.push_str(". Whether it is in Secrets Manager or in Parameter Store is not known");
        }
        let unchecked = Unchecked {
            dependency,
            subject: shown(text),
            why,
        };
        if !self.unchecked.contains(&unchecked) {
            self.unchecked.push(unchecked);
        }
        let hosts = if dependency == Dependency::EcrDkr {
            self.known_hosts_of_ecr(text, reason)
        } else {
            let host = self.known_host(dependency, definition, path, text, reason);
            host.map(|host| (dependency, host)).into_iter().collect()
        };
        for (dependency, host) in hosts {
            if input.connections.iter().all(|known| known.host != host) {
                input.connections.push(ReachabilityCheck {
                    dependency,
                    host,
                    port: 443,
                    tcp_only: false,
                    subject: path.to_owned(),
                });
            }
        }
    }

    /// Returns the hosts of Amazon ECR that are contacted whatever the account: in the Region that
    /// the image's host names, or in the task's for a repository of the same stack. The registry's
    /// own host begins with the account, so it is not known.
    fn known_hosts_of_ecr(&self, text: &str, reason: &str) -> Vec<(Dependency, String)> {
        let label = [".dkr.ecr.", ".dkr-ecr."]
            .iter()
            .find_map(|marker| text.split_once(marker)?.1.split(['.', '/']).next());
        let region = match label {
            Some(label) => label.parse().ok(),
            None => self
                .region
                .filter(|_| reason.contains(STACK_REPOSITORY))
                .cloned(),
        };
        let Some(region) = region else {
            return Vec::new();
        };
        let api = api_host(Service::EcrApi, &region, Variant::default());
        vec![
            (Dependency::EcrApi, api),
            (Dependency::S3, layer_host(&region)),
        ]
    }

    /// Returns the host that is contacted whatever the open part is.
    fn known_host(
        &self,
        dependency: Dependency,
        definition: &Value,
        path: &str,
        text: &str,
        reason: &str,
    ) -> Option<String> {
        let fields = split_outside(text, ':', 6);
        let region_of = |field: &str| -> Option<Region> {
            match field.parse() {
                Ok(region) => Some(region),
                Err(_) if field.to_ascii_lowercase().contains("region") => self.region.cloned(),
                Err(_) => None,
            }
        };
        let host = |service, region: &Region| api_host(service, region, Variant::default());
        match dependency {
            Dependency::SecretsManager if fields.get(2) == Some(&"secretsmanager") => {
                Some(host(Service::SecretsManager, &region_of(fields.get(3)?)?))
            }
            Dependency::SecretsManager if reason.contains(STACK_SECRET) => {
                Some(host(Service::SecretsManager, self.region?))
            }
            Dependency::Ssm if fields.get(2) == Some(&"ssm") => {
                Some(host(Service::Ssm, &region_of(fields.get(3)?)?))
            }
            // A parameter's name, which does not name a Region.
            Dependency::Ssm => Some(host(Service::Ssm, self.region?)),
            Dependency::Logs => {
                let n: usize = path.split(['[', ']']).nth(1)?.parse().ok()?;
                let options = &definition["containerDefinitions"][n]["logConfiguration"]["options"];
                let region = options["awslogs-region"]
                    .as_str()
                    .and_then(|region| region.parse().ok());
                Some(host(Service::Logs, region.as_ref().or(self.region)?))
            }
            Dependency::EnvironmentFile => {
                let (bucket, _) = fields.get(5)?.split_once('/')?;
                let is_name = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
                let is_known = !bucket.is_empty() && bucket.chars().all(is_name);
                is_known.then_some(bucket_host(bucket, self.region?, Variant::default()))
            }
            _ => None,
        }
    }
}

fn dependency_of(reference: &Reference) -> Dependency {
    match reference.registry {
        Registry::Ecr { .. } => Dependency::EcrDkr,
        Registry::Other { .. } => Dependency::Registry,
    }
}

/// Returns the dependency to which the open value at `path` belongs; `None` if ECS does not contact
/// any host for it.
fn open_dependency(path: &str, text: &str, reason: &str) -> Option<Dependency> {
    let ends = |name: &str| path.ends_with(name);
    let has = |word: &str| text.to_ascii_lowercase().contains(word);
    if ends(".image") || is_container(path) {
        let is_ecr = has(".dkr.ecr") || has(".dkr-ecr") || reason.contains(STACK_REPOSITORY);
        return Some(if is_ecr {
            Dependency::EcrDkr
        } else {
            Dependency::Registry
        });
    }
    if ends(".secrets")
        || ends("secretOptions")
        || ends(".valueFrom")
        || is_element(path, "secrets")
    {
        let is_parameter = has(":ssm:") || has("param") || has("ssm") || text.starts_with('/');
        let is_parameter = is_parameter && !reason.contains(STACK_SECRET);
        let is_secret = has(":secretsmanager:") || !is_parameter;
        return Some(if is_secret {
            Dependency::SecretsManager
        } else {
            Dependency::Ssm
        });
    }
    if ends("credentialsParameter") || ends("repositoryCredentials") {
        return Some(Dependency::SecretsManager);
    }
    if path.contains("environmentFiles") {
        return Some(Dependency::EnvironmentFile);
    }
    if path.contains(".logConfiguration") {
        // These do not affect which hosts are contacted.
        if ends("awslogs-stream-prefix") || ends("awslogs-create-group") {
            return None;
        }
        return Some(match () {
            () if path.contains("awslogs") => Dependency::Logs,
            () if path.contains("splunk") => Dependency::Splunk,
            () => Dependency::LogRouter,
        });
    }
    (path.starts_with("volumes")).then_some(Dependency::Efs)
}

/// Whether the path is that of a whole container, or of the list of containers.
fn is_container(path: &str) -> bool {
    path == "containerDefinitions"
        || (path.starts_with("containerDefinitions[") && path.matches(['.', '[']).count() == 1)
}

fn is_element(path: &str, list: &str) -> bool {
    path.rsplit_once('[')
        .is_some_and(|(before, _)| before.ends_with(list))
}

/// Returns the reason for a text with placeholders, as a clause that can follow "is".
fn reason_of(text: &str) -> String {
    match find(text).first() {
        Some(mark) => {
            let name = shown(mark.name);
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
            let set = match &*name {
                name if name.chars().all(is_plain) => format!(", or pass --set {name}=VALUE"),
                // A shell would interpret other characters.
                name if !name.contains('\'') => format!(", or pass --set '{name}=VALUE'"),
                _ => String::new(),
            };
            format!("{}; render the file first{set}", mark.style.phrase())
        }
        None => format!("{}; render the file first", PlaceholderStyle::Word.phrase()),
    }
}

/// Returns the ARN of a secret without what stands for the end of its name, and that end. ECS takes
/// the ARN without it as well (Amazon ECS developer guide, "Pass Secrets Manager secrets").
fn without_suffix(text: &str) -> Option<(String, &str)> {
    let fields = split_outside(text, ':', 12);
    let ["arn", _, "secretsmanager", _, _, "secret", name, ..] = fields.as_slice() else {
        return None;
    };
    let suffix = placeholder::secret_suffix(name)?;
    let mut known = fields.clone();
    known[6] = name.strip_suffix(suffix)?;
    Some((known.join(":"), suffix))
}

/// Splits at separators outside placeholders, into at most `count` fields.
fn split_outside(text: &str, separator: char, count: usize) -> Vec<&str> {
    let marks = find_in_value(text);
    let mut fields = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(separator) {
        let is_inside = marks.iter().any(|mark| mark.start <= at && at < mark.end());
        if !is_inside && fields.len() + 1 < count {
            fields.push(&text[start..at]);
            start = at + separator.len_utf8();
        }
    }
    fields.push(&text[start..]);
    fields
}

/// Returns text from the file in the form that messages show: on one line, shortened, without
/// secrets.
fn shown(text: &str) -> String {
    let line = redact::one_line(text);
    redact::redact(redact::shorten(&line, MAX_SHOWN))
}

/// Returns a reason in the form that messages show, because it may quote names from the file.
fn shown_reason(reason: &str) -> String {
    redact::one_line(redact::shorten(reason, 400))
}
