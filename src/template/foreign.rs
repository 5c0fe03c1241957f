//! Documents that are not task definitions but are often passed as one: what each is, and the
//! command that produces a task definition.

use serde_json::Value;

/// What a document is, and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignDocument {
    /// A noun phrase.
    pub what: &'static str,
    /// What to do, as a clause that can follow a semicolon.
    pub next: &'static str,
}

const DESCRIBE: &str =
    "pass the output of `aws ecs describe-task-definition --task-definition NAME`";
const HCL: ForeignDocument = ForeignDocument {
    what: "Terraform's HCL",
    next: "render it with `terraform plan -out PLAN && terraform show -json PLAN > plan.json` and pass \
           plan.json; for what is deployed, `terraform show -json > state.json`",
};
const JSONNET: ForeignDocument = ForeignDocument {
    what: "Jsonnet",
    next: "render it with `jsonnet FILE > taskdef.json`, or with `ecspresso render taskdef` where \
           ecspresso has functions of its own",
};

const EXPRESS: ForeignDocument = ForeignDocument {
    what: "a service of ECS Express Mode, of which ECS makes the task definition",
    next: "pass the output of `aws ecs describe-task-definition` for the taskDefinitionArn that `aws ecs \
           describe-express-gateway-service` shows, or the image alone: `pullprobe plan IMAGE`",
};
const BATCH: ForeignDocument = ForeignDocument {
    what: "an AWS Batch job definition",
    next: "Batch creates the task definition from it; pass its images with --image and its secrets with --secret",
};
const PIPELINE: &str =
    "pass the task definition that it deploys, with --image NAME=REF for the image that it builds";

/// Recognizes a CloudFormation template or Terraform's JSON without a task definition by the types
/// of its resources.
pub(super) fn of_stack(document: &Value) -> Option<ForeignDocument> {
    let text = document.to_string();
    let has = |kind: &str| text.contains(&format!("\"{kind}\""));
    if has("AWS::ECS::ExpressGatewayService") || has("aws_ecs_express_gateway_service") {
        return Some(EXPRESS);
    }
    (has("AWS::Batch::JobDefinition") || has("aws_batch_job_definition")).then_some(BATCH)
}

/// Recognizes a text by its lines, before it is parsed.
pub(super) fn of_text(text: &str) -> Option<ForeignDocument> {
    let lines = || {
        text.lines()
            .map(str::trim_end)
            .filter(|line| !line.trim().is_empty())
    };
    let is_block = |line: &str| {
        let mut words = line.split(' ');
        let Some(kind) = words.next() else {
            return false;
        };
        let labels = [
            "resource", "module", "variable", "data", "provider", "output",
        ];
        let is_labelled =
            labels.contains(&kind) && words.next().is_some_and(|label| label.starts_with('"'));
        let is_plain = ["locals {", "terraform {", "locals{", "terraform{"].contains(&line);
        (is_labelled && line.contains('{')) || is_plain
    };
    if lines().any(is_block) {
        return Some(HCL);
    }
    let first = lines().find(|line| !line.trim_start().starts_with(['#', '/', '*']))?;
    let is_jsonnet = |line: &str| {
        let line = line.trim_start();
        line.starts_with("local ") || line.contains("std.")
    };
    if is_jsonnet(first) || first.starts_with("function(") {
        return Some(JSONNET);
    }
    if first.starts_with("FROM ") || first.starts_with("ARG ") {
        return Some(ForeignDocument {
            what: "a Dockerfile",
            next: "pass the image that it builds: `pullprobe plan IMAGE`",
        });
    }
    let is_command = |line: &str| {
        let starts = ["aws ecs ", "cat >", "cat <<", "echo ", "set -e"];
        starts.iter().any(|start| line.starts_with(start))
    };
    let is_shell = text
        .lines()
        .next()
        .is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"));
    if is_command(first) || is_shell {
        return Some(ForeignDocument {
            what: "a shell script",
            next: "save the task definition that it passes to `aws ecs register-task-definition` as a file of its own",
        });
    }
    if first.starts_with("```") || text.starts_with("# ") && text.contains("\n```") {
        return Some(ForeignDocument {
            what: "Markdown",
            next: "save the task definition in it as a file of its own",
        });
    }
    let is_code = |line: &str| {
        let starts = ["import ", "from ", "export ", "package ", "const ", "#!/"];
        starts.iter().any(|start| line.starts_with(start))
    };
    if text
        .lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(is_code)
        || is_code(first)
    {
        return Some(ForeignDocument {
            what: "a program",
            next: "render what it makes, such as with `cdk synth > template.yaml` or `pulumi stack export`, \
                   and pass a CloudFormation template or a task definition",
        });
    }
    None
}

/// Recognizes Jsonnet and JavaScript by what JSON cannot have: names without quotes, text in single
/// quotes, and expressions.
pub(super) fn of_broken_json(text: &str) -> Option<ForeignDocument> {
    let is_name = |line: &str| {
        let line = line.trim_start().trim_start_matches(['{', '[', ' ']);
        let name_end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        name_end.is_some_and(|end| {
            let after = line[end..].trim_start();
            end > 0 && after.starts_with(':') && !after.starts_with("://")
        })
    };
    let names = text.lines().filter(|line| is_name(line)).count();
    let is_jsonnet = text.contains("std.") || text.contains("local ") || text.contains("+:");
    (names > 1 || is_jsonnet || (names > 0 && text.contains('\''))).then_some(JSONNET)
}

/// Recognizes a document by its members.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn of_value(document: &Value) -> Option<ForeignDocument> {
    let foreign = |what, next| Some(ForeignDocument { what, next });
    if let Value::Array(elements) = document {
        let has = |name: &str| elements.iter().any(|element| element.get(name).is_some());
        return match () {
            () if has("imageUri") => foreign(
                "a CodePipeline image definitions file",
                "pass the task definition that it is applied to, with --image NAME=REF for each image",
            ),
            () if has("taskArn") || has("serviceArn") => {
                foreign("a list of tasks or services", DESCRIBE)
            }
            () if has("hosts")
                || has("ecs_taskdefinition")
                || has("community.aws.ecs_taskdefinition") =>
            {
                foreign("an Ansible playbook", DESCRIBE)
            }
            () => None,
        };
    }
    let has = |name: &str| document.get(name).is_some_and(|value| !value.is_null());
    let text = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let is_object = |name: &str| document.get(name).is_some_and(Value::is_object);
    let is_list = |name: &str| document.get(name).is_some_and(Value::is_array);
    if has("apiVersion") && has("kind") {
        return foreign(
            "a Kubernetes manifest",
            "ECS does not run it; pass an ECS task definition, or the images alone: `pullprobe plan --image REF`",
        );
    }
    if has("AWSEBDockerrunVersion") {
        return foreign(
            "a Dockerrun.aws.json of Elastic Beanstalk",
            "Elastic Beanstalk makes the task definition of it; find it with `aws ecs list-task-definitions \
             --family-prefix awseb` and pass its `aws ecs describe-task-definition`",
        );
    }
    if has("task_definition") && (has("run_params") || is_object("task_definition")) {
        return foreign(
            "an ecs-params.yml file of the ECS CLI",
            "render it with `ecs-cli compose create` and pass the `aws ecs describe-task-definition` of what it \
             registers",
        );
    }
    if has("task_definition") && (has("service_definition") || has("cluster")) {
        return foreign(
            "an ecspresso configuration",
            "render it with `ecspresso render taskdef > taskdef.json`",
        );
    }
    let copilot_types = [
        "Load Balanced Web Service",
        "Backend Service",
        "Worker Service",
        "Request-Driven Web Service",
        "Static Site",
        "Environment",
        "Scheduled Job",
    ];
    if copilot_types.contains(&text("type")) {
        let next = "render it with `copilot svc package --name NAME --env ENV --output-dir OUT` (a job: `copilot job \
                    package`) and pass the template in OUT";
        return foreign("an AWS Copilot manifest", next);
    }
    if is_object("services") || (has("version") && has("volumes") && has("networks")) {
        return foreign(
            "a Compose file",
            "ECS does not read it; `docker compose config --images` lists the images for `pullprobe plan --image \
             REF`, and what is deployed is in `aws ecs describe-task-definition`",
        );
    }
    if has("tasks") || is_list("services") {
        return foreign(
            "a description of tasks or services",
            "pass the output of `aws ecs describe-task-definition` for its taskDefinitionArn",
        );
    }
    if is_list("taskDefinitionArns") {
        return foreign("a list of task definitions", DESCRIBE);
    }
    if document.get("taskDefinition").is_some_and(Value::is_string) {
        return foreign(
            "a service definition or a RunTask request, which only names a task definition",
            "pass the output of `aws ecs describe-task-definition` for the name in taskDefinition",
        );
    }
    if is_object("primaryContainer") {
        return Some(EXPRESS);
    }
    if has("serviceName") || has("desiredCount") {
        return foreign("a service definition", DESCRIBE);
    }
    let is_app_spec =
        text("version") == "0.0" || document.get("version").and_then(Value::as_f64) == Some(0.0);
    if is_app_spec && is_list("Resources") {
        return foreign(
            "a CodeDeploy AppSpec file",
            "pass the task definition that it names (usually taskdef.json), with --image for its placeholder",
        );
    }
    if has("jobDefinitionName") || has("containerProperties") {
        return Some(BATCH);
    }
    if is_object("provider") && (has("functions") || has("service")) {
        return foreign(
            "a serverless.yml",
            "render it with `serverless package` and pass .serverless/cloudformation-template-update-stack.json",
        );
    }
    if has("jobs") && (has("on") || has("true")) {
        return foreign("a GitHub Actions workflow", PIPELINE);
    }
    if has("phases") && has("version") {
        return foreign("a CodeBuild buildspec", PIPELINE);
    }
    if is_list("stages") {
        return foreign("a pipeline", PIPELINE);
    }
    if is_object("resource") || (is_object("terraform") && has("provider")) {
        return Some(HCL);
    }
    if is_object("artifacts") && has("version") {
        return foreign(
            "the manifest of an AWS CDK cloud assembly",
            "pass the stack's template, cdk.out/STACK.template.json",
        );
    }
    if has("StartAt") && is_object("States") {
        return foreign(
            "a Step Functions state machine, which only names a task definition",
            DESCRIBE,
        );
    }
    if (text("runtime") == "yaml" || is_object("runtime")) && is_object("resources") {
        return foreign(
            "a Pulumi program",
            "pass the output of `aws ecs describe-task-definition` for the task definition that `pulumi up` registers",
        );
    }
    if has("parameters") || has("$schema") && has("resources") {
        return foreign("a template of another system", DESCRIBE);
    }
    if text("schema").starts_with("pullprobe/") {
        return foreign(
            "output of pullprobe",
            "pass a plan with `pullprobe probe --plan`; `pullprobe plan` takes a task definition",
        );
    }
    if document["deployment"]["manifest"].is_object() {
        return foreign(
            "a Pulumi stack",
            "pass the container_definitions of its task definition, or `aws ecs describe-task-definition`",
        );
    }
    None
}
