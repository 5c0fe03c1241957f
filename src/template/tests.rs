use serde_json::json;

use super::*;
use crate::observation::Dependency;
use crate::plan::{Plan, PlanInput};

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

fn region() -> Region {
    "eu-west-1".parse().unwrap()
}

/// Reads the only task definition of a text.
fn reading(text: &str, purpose: TemplatePurpose) -> TemplateReading {
    let template =
        TaskTemplate::parse(text.as_bytes(), &[]).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let facts = template.definition(0, None, None).unwrap().facts();
    let definition = template.definition(0, Some(&region()), facts.account.as_deref());
    definition.unwrap().read(Some(&region()), purpose).unwrap()
}

fn input(text: &str) -> PlanInput {
    reading(text, TemplatePurpose::Print).input
}

fn error(text: &str) -> String {
    let result = TaskTemplate::parse(text.as_bytes(), &[])
        .and_then(|template| template.definition(0, Some(&region()), None))
        .and_then(|definition| definition.read(Some(&region()), TemplatePurpose::Print));
    result.unwrap_err().with_label("FILE")
}

fn images(input: &PlanInput) -> Vec<String> {
    input
        .images
        .iter()
        .map(|image| image.image.to_string())
        .collect()
}

/// The forms of one task definition.
fn forms() -> Vec<(&'static str, String)> {
    let image = format!("{ECR}/web:1");
    let containers = json!([{ "name": "web", "image": image,
        "secrets": [{ "name": "A", "valueFrom": "/web/a" }],
        "logConfiguration": { "logDriver": "awslogs",
            "options": { "awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1" } } }]);
    let definition = json!({ "family": "web", "executionRoleArn": "arn:aws:iam::123456789012:role/exec",
        "containerDefinitions": containers });
    let template = json!({ "Resources": { "Task": { "Type": "AWS::ECS::TaskDefinition", "Properties": {
        "Family": "web", "ExecutionRoleArn": "arn:aws:iam::123456789012:role/exec",
        "ContainerDefinitions": [{ "Name": "web", "Image": image,
            "Secrets": [{ "Name": "A", "ValueFrom": "/web/a" }],
            "LogConfiguration": { "LogDriver": "awslogs",
                "Options": { "awslogs-group": "/ecs/web", "awslogs-region": { "Ref": "AWS::Region" } } } }] } } } });
    let values = json!({ "family": "web", "execution_role_arn": "arn:aws:iam::123456789012:role/exec",
        "container_definitions": containers.to_string(), "volume": [] });
    let resource = json!({ "address": "module.a.aws_ecs_task_definition.web", "mode": "managed",
        "type": "aws_ecs_task_definition", "name": "web", "values": values });
    let plan = json!({ "format_version": "1.2", "terraform_version": "1.9.0", "planned_values": {
        "root_module": { "child_modules": [{ "address": "module.a", "resources": [resource] }] } } });
    let state = json!({ "format_version": "1.0", "terraform_version": "1.9.0", "values": {
        "root_module": { "resources": [resource] } } });
    let stored = json!({ "version": 4, "terraform_version": "1.9.0", "resources": [{ "mode": "managed",
        "type": "aws_ecs_task_definition", "name": "web", "instances": [{ "attributes": values }] }] });
    let yaml = |value: &Value| serde_saphyr::to_string(value).unwrap();
    vec![
        ("json", definition.to_string()),
        (
            "comments",
            format!(
                "// a\n{},\n}} # b",
                definition.to_string().trim_end_matches('}')
            ),
        ),
        ("yaml", yaml(&definition)),
        (
            "describe",
            json!({ "taskDefinition": definition, "tags": [] }).to_string(),
        ),
        ("containers", containers.to_string()),
        ("cloudformation", template.to_string()),
        ("cloudformation yaml", yaml(&template)),
        (
            "properties",
            template["Resources"]["Task"]["Properties"].to_string(),
        ),
        ("terraform plan", plan.to_string()),
        ("terraform state", state.to_string()),
        ("state file", stored.to_string()),
    ]
}

#[test]
fn every_form_of_a_task_definition_gives_the_same() {
    for (form, text) in forms() {
        let input = input(&text);
        assert_eq!(images(&input), [format!("{ECR}/web:1")], "{form}");
        assert_eq!(input.secrets[0].to_string(), "/web/a", "{form}");
        assert_eq!(input.logs[0].group, "/ecs/web", "{form}");
        assert_eq!(input.logs[0].region, Some(region()), "{form}");
        assert!(input.unchecked.is_empty(), "{form}: {:?}", input.unchecked);
        let account = (form != "containers").then_some("123456789012");
        assert_eq!(input.account.as_deref(), account, "{form}");
        let marked = format!("\u{feff}{text}");
        assert_eq!(
            super::TaskTemplate::parse(marked.as_bytes(), &[])
                .unwrap()
                .names()
                .count(),
            1
        );
        let wide: Vec<u8> = [0xFF, 0xFE]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        assert!(TaskTemplate::parse(&wide, &[]).is_ok(), "{form} in UTF-16");
    }
}

/// Placeholders of every style, with a name for `--set` where they have one.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("<IMAGE1_NAME>", "CodeDeploy"),
    ("<image>", "angle brackets"),
    ("${IMAGE}", "envsubst"),
    ("${ECR_REGISTRY}/app", "envsubst"),
    ("${var.image}", "Terraform"),
    ("$IMAGE", "shell"),
    ("{{ image }}", "Jinja"),
    ("{{ must_env `IMAGE` }}", "ecspresso"),
    ("{{ .Values.image }}", "Go template"),
    ("%IMAGE%", "percent"),
    ("__IMAGE__", "underscores"),
    ("${{ steps.x.outputs.image }}", "GitHub Actions"),
    ("$(Image)", "Azure"),
    ("#{Image}#", "Octopus"),
    ("{{resolve:ssm:/image}}", "CloudFormation"),
    ("PLACEHOLDER", "a placeholder"),
    (
        "YOUR_ACCOUNT_ID.dkr.ecr.YOUR_REGION.amazonaws.com/a",
        "a placeholder",
    ),
    ("", "empty"),
];

#[test]
fn an_image_that_is_a_placeholder_is_named_and_the_rest_is_planned() {
    for (placeholder, kind) in PLACEHOLDERS {
        let text = json!({ "containerDefinitions": [
            { "name": "web", "image": placeholder }, { "name": "side", "image": format!("{ECR}/side:1") }] });
        let input = input(&text.to_string());
        assert_eq!(images(&input), [format!("{ECR}/side:1")], "{placeholder}");
        let [unchecked] = input.unchecked.as_slice() else {
            panic!("{placeholder}: {:?}", input.unchecked)
        };
        let subject = if placeholder.is_empty() {
            "web"
        } else {
            placeholder
        };
        assert_eq!(unchecked.subject, *subject);
        for part in ["containerDefinitions[0].image", kind, "--image web=REF"] {
            assert!(
                unchecked.why.contains(part),
                "{placeholder}: {}",
                unchecked.why
            );
        }
        assert!(!unchecked.why.contains("did you mean"), "{}", unchecked.why);
    }
}

#[test]
fn a_tag_that_is_a_placeholder_hides_the_registry_only_from_checks() {
    for tag in [
        "${TAG}",
        "${{ github.sha }}",
        "<tag>",
        "{{ version }}",
        "IMAGE_TAG",
    ] {
        let text = json!({ "containerDefinitions": [{ "name": "web", "image": format!("{ECR}/web:{tag}") }] });
        let text = text.to_string();
        let printed = reading(&text, TemplatePurpose::Print).input;
        assert_eq!(images(&printed), [format!("{ECR}/web")], "{tag}");
        let checked = reading(&text, TemplatePurpose::Check).input;
        assert!(checked.images.is_empty(), "{tag}");
        for input in [printed, checked] {
            assert_eq!(input.unchecked[0].dependency, Dependency::EcrDkr, "{tag}");
            assert!(input.unchecked[0].subject.ends_with(tag), "{tag}");
        }
    }
}

#[test]
fn images_are_set_by_the_container_or_where_one_is_missing() {
    let text = json!({ "containerDefinitions": [
        { "name": "web", "image": "<IMAGE1_NAME>" }, { "name": "side", "image": "nginx" }, { "name": "last" }] });
    let template = TaskTemplate::parse(text.to_string().as_bytes(), &[]).unwrap();
    let set = |images: &[&str]| {
        let mut definition = template.definition(0, None, None).unwrap();
        let flags: Vec<_> = images.iter().map(|image| (*image).to_owned()).collect();
        let others = definition.set_images(&flags)?.join(" ");
        let input = definition
            .read(Some(&region()), TemplatePurpose::Check)
            .unwrap()
            .input;
        Ok::<_, String>((super::tests::images(&input), input.unchecked.len(), others))
    };
    let hub = |name: &str| format!("docker.io/library/{name}");
    let (found, open, others) = set(&["web=a:1", "last=b:2"]).unwrap();
    assert_eq!(
        (found, open, others.as_str()),
        (vec![hub("a:1"), hub("nginx"), hub("b:2")], 0, "")
    );
    let (found, open, others) = set(&["web=a:1", "c:3"]).unwrap();
    assert_eq!(
        (found, open, others.as_str()),
        (vec![hub("a:1"), hub("nginx"), hub("c:3")], 0, "")
    );
    // Two are missing, so it is not known which is meant.
    let (_, open, others) = set(&["c:3"]).unwrap();
    assert_eq!((open, others.as_str()), (2, "c:3"));
    let error = set(&["wbe=a:1"]).unwrap_err();
    assert!(error.contains("web, side, last"), "{error}");
}

#[test]
fn placeholders_in_arns_never_reach_a_policy() {
    for (value_from, is_read) in [
        ("arn:aws:ssm:eu-west-1:ACCOUNT_ID:parameter/a", true),
        ("arn:aws:ssm:${AWS_REGION}:${ACCOUNT}:parameter/a", true),
        (
            "arn:aws:secretsmanager:eu-west-1:<account-id>:secret:a",
            true,
        ),
        (
            "arn:${AWS::Partition}:secretsmanager:{{ region }}:xxxxxxxxxxxx:secret:a",
            true,
        ),
        (
            "arn:aws:ssm:eu-west-1:123456789012:parameter/${ENV}/a",
            false,
        ),
        (
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:YOUR_SECRET",
            false,
        ),
        ("arn:aws:ssm:%SOMEWHERE%:123456789012:parameter/a", false),
        ("${SECRET_ARN}", false),
        ("{{ secret }}", false),
        ("/app/${ENV}/a", false),
    ] {
        let text = json!({ "executionRoleArn": "arn:aws:iam::${ACCOUNT}:role/exec", "containerDefinitions": [
            { "name": "web", "image": "nginx", "secrets": [{ "name": "A", "valueFrom": value_from },
                { "name": "B", "valueFrom": "/b" }] }] });
        for purpose in [TemplatePurpose::Print, TemplatePurpose::Check] {
            let reading = reading(&text.to_string(), purpose);
            let is_read = is_read && purpose == TemplatePurpose::Print;
            assert_eq!(
                reading.input.secrets.len(),
                1 + usize::from(is_read),
                "{value_from}"
            );
            assert_eq!(reading.input.unchecked.is_empty(), is_read, "{value_from}");
            assert_eq!(reading.input.execution_role, None);
            assert!(
                reading
                    .notes
                    .iter()
                    .any(|note| note.starts_with("executionRoleArn (arn"))
            );
            let plan = Plan::new(reading.input, region()).unwrap();
            let policies = crate::plan::requirements::Requirements::of(&plan).policies;
            for resource in policies
                .statements()
                .flat_map(|statement| &statement.resource)
            {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "*:/-_.?".contains(c);
                assert!(resource.chars().all(is_plain), "{value_from}: {resource}");
                assert!(
                    !resource.contains("ACCOUNT") && !resource.contains("xxxx"),
                    "{resource}"
                );
            }
        }
    }
}

#[test]
fn the_host_of_a_service_is_known_where_only_the_name_is_open() {
    let text = json!({ "containerDefinitions": [{ "name": "web", "image": "nginx",
        "secrets": [{ "name": "A", "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:${NAME}" },
            { "name": "B", "valueFrom": "arn:aws:ssm:$AWS_REGION:123456789012:parameter/${NAME}" }],
        "environmentFiles": [{ "type": "s3", "value": "arn:aws:s3:::config/${ENV}.env" }],
        "logConfiguration": { "logDriver": "awslogs",
            "options": { "awslogs-group": "/ecs/${NAME}", "awslogs-region": "<region>" } } }] });
    let input = input(&text.to_string());
    let mut hosts: Vec<_> = input
        .connections
        .iter()
        .map(|check| check.host.as_str())
        .collect();
    hosts.sort_unstable();
    assert_eq!(
        hosts,
        [
            "config.s3.eu-west-1.amazonaws.com",
            "logs.eu-west-1.amazonaws.com",
            "secretsmanager.us-east-1.amazonaws.com",
            "ssm.eu-west-1.amazonaws.com",
        ]
    );
    assert_eq!(input.unchecked.len(), 4);
}

#[test]
fn shell_variables_in_commands_are_no_placeholders() {
    let text = json!({ "containerDefinitions": [{ "name": "web", "image": "nginx", "command": ["sh", "-c", "echo $HOME ${X}"],
        "environment": [{ "name": "A", "value": "<b>" }], "healthCheck": { "command": ["CMD", "$X"] } }] });
    let reading = reading(&text.to_string(), TemplatePurpose::Print);
    assert_eq!((reading.notes.len(), reading.input.unchecked.len()), (0, 0));
}

#[test]
fn placeholders_without_quotes_are_named() {
    let text = r#"{"family": "web", "cpu": ${cpu}, "volumes": ${volumes}, "requiresCompatibilities": ["${TYPE}"],
        "containerDefinitions": [{"name": "web", "image": <IMAGE>, "portMappings": [{"containerPort": ${port},}],
        "secrets": ${jsonencode(secrets)}, "environment": {{ env }} }]}"#;
    let reading = reading(text, TemplatePurpose::Print);
    let why: Vec<_> = reading
        .input
        .unchecked
        .iter()
        .map(|unchecked| unchecked.why.as_str())
        .collect();
    let all = [reading.notes.join("\n"), why.join("\n")].join("\n");
    for part in [
        "cpu",
        "volumes",
        "requiresCompatibilities",
        "image",
        "containerPort",
        "secrets",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
}

#[test]
fn containers_alone_lack_their_volumes() {
    let text =
        json!([{ "name": "web", "image": "nginx", "mountPoints": [{ "sourceVolume": "data" }] }]);
    let input = input(&text.to_string());
    assert_eq!(input.unchecked[0].dependency, Dependency::Efs);
    assert!(
        input.unchecked[0].why.contains("not in this file"),
        "{:?}",
        input.unchecked
    );
}

fn stack(more: &str, image: &str) -> String {
    format!(
        "{more}\nResources:\n  Repo:\n    Type: AWS::ECR::Repository\n    Properties: {{RepositoryName: team/web}}\n  \
         Task:\n    Type: AWS::ECS::TaskDefinition\n    Properties:\n      TaskRoleArn: \
         arn:aws:iam::123456789012:role/app\n      ContainerDefinitions:\n        - Name: web\n          Image: {image}\n"
    )
}

#[test]
fn intrinsic_functions_give_what_the_template_says() {
    let more = "Parameters:\n  Tag: {Type: String, Default: '2'}\n  Tags: {Type: CommaDelimitedList, Default: 'a, b'}\n  \
                Empty: {Type: String, Default: ''}\nMappings:\n  M: {eu-west-1: {tag: '7'}}\nConditions:\n  Yes: !Equals [!Ref \
                Tag, '2']\n  No: !Not [!Condition Yes]\n  Both: !And [!Condition Yes, !Not [!Condition No]]\n  Either: !Or \
                [!Condition No, !Equals [!Ref Empty, '']]\n";
    let ecr = format!("{ECR}/team/web");
    for (image, expected) in [
        ("!Sub 'acme/web:${Tag}'", "docker.io/acme/web:2"),
        (
            "!Sub ['acme/web:${T}', {T: !Ref Tag}]",
            "docker.io/acme/web:2",
        ),
        (
            "!Join ['', [acme/web, ':', !Ref Tag]]",
            "docker.io/acme/web:2",
        ),
        (
            "!Join [':', [acme/web, !Select [1, !Ref Tags]]]",
            "docker.io/acme/web:b",
        ),
        ("!Sub '${Repo.RepositoryUri}:${Tag}'", &format!("{ecr}:2")),
        (
            "!Sub '${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/${Repo}:1'",
            &format!("{ecr}:1"),
        ),
        ("!If [Yes, 'acme/a:1', 'acme/b:1']", "docker.io/acme/a:1"),
        ("!If [No, 'acme/a:1', 'acme/b:1']", "docker.io/acme/b:1"),
        ("!If [Both, 'acme/a:1', 'acme/b:1']", "docker.io/acme/a:1"),
        ("!If [Either, 'acme/a:1', 'acme/b:1']", "docker.io/acme/a:1"),
        (
            "!Sub\n            - 'acme/web:${T}'\n            - T: !FindInMap [M, !Ref 'AWS::Region', tag]",
            "docker.io/acme/web:7",
        ),
        (
            "!Select [0, !Split ['|', 'acme/a:1|x']]",
            "docker.io/acme/a:1",
        ),
        (
            "{'Fn::Join': [':', [acme/web, {Ref: Tag}]]}",
            "docker.io/acme/web:2",
        ),
    ] {
        let input = input(&stack(more, image));
        assert_eq!(images(&input), [expected], "{image}: {:?}", input.unchecked);
    }
}

#[test]
fn what_a_template_does_not_say_is_named() {
    let more = "Parameters:\n  Image: {Type: String}\n  Stored: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /image}\n\
                Conditions:\n  Open: !Equals [!Ref Image, x]\n";
    for (image, part) in [
        ("!Ref Image", "--set Image=VALUE"),
        ("!Ref Stored", "Parameter Store"),
        ("!ImportValue shared-image", "--set shared-image=VALUE"),
        ("!GetAtt Builder.Image", "not in the template"),
        (
            "!Sub 'acme/${AWS::StackName}:1'",
            "--set AWS::StackName=VALUE",
        ),
        ("!If [Open, 'acme/a', 'acme/b']", "condition Open"),
        ("!FindInMap [M, a, b]", "intrinsic function"),
        ("!Select [9, [a]]", "intrinsic function"),
        ("!Transform {Name: x}", "intrinsic function"),
    ] {
        let input = input(&stack(more, image));
        assert!(input.images.is_empty(), "{image}");
        assert!(
            input.unchecked[0].why.contains(part),
            "{image}: {:?}",
            input.unchecked
        );
    }
    let set = [("Image".to_owned(), "acme/web:3".to_owned())];
    let text = stack(more, "!If [Open, 'acme/a', !Ref Image]");
    let template = TaskTemplate::parse(text.as_bytes(), &set).unwrap();
    let definition = template.definition(0, Some(&region()), None).unwrap();
    let reading = definition
        .read(Some(&region()), TemplatePurpose::Print)
        .unwrap();
    assert_eq!(images(&reading.input), ["docker.io/acme/web:3"]);
    assert!(template.unused().is_empty());
}

#[test]
fn resources_that_refer_to_themselves_end() {
    let text = "Resources:\n  A: {Type: 'AWS::ECR::Repository', Properties: {RepositoryName: !Ref B}}\n  B: {Type: \
                'AWS::ECR::Repository', Properties: {RepositoryName: !Ref A}}\n  T:\n    Type: AWS::ECS::TaskDefinition\n    \
                Properties: {ContainerDefinitions: [{Name: w, Image: !Sub 'acme/${A}:1'}]}\n";
    assert!(input(text).unchecked[0].why.contains("itself"));
}

#[test]
fn terraform_names_what_is_known_after_apply() {
    let containers =
        json!([{ "name": "web", "image": "nginx", "mountPoints": [{ "sourceVolume": "data" }] }]);
    let plan = |values: Value, unknown: Value| {
        let address = "aws_ecs_task_definition.web";
        json!({ "format_version": "1.2", "planned_values": { "root_module": { "resources": [
                { "address": address, "mode": "managed", "type": "aws_ecs_task_definition", "name": "web", "values": values }] } },
            "resource_changes": [{ "address": address, "change": { "after_unknown": unknown } }],
            "configuration": { "root_module": { "resources": [{ "type": "aws_ecs_task_definition", "name": "web",
                "expressions": { "container_definitions": { "references": ["aws_ecr_repository.app.repository_url"] } } }] } } })
        .to_string()
    };
    let volumes = json!([{ "name": "data", "efs_volume_configuration": [{ "root_directory": "/",
        "transit_encryption": "ENABLED", "authorization_config": [{ "access_point_id": null, "iam": "ENABLED" }] }] }]);
    let values = json!({ "family": "web", "container_definitions": containers.to_string(), "volume": volumes,
        "requires_compatibilities": ["FARGATE"], "network_mode": "awsvpc", "cpu": "256", "memory": "512",
        "runtime_platform": [{ "cpu_architecture": "ARM64", "operating_system_family": "LINUX" }] });
    let unknown = json!({ "execution_role_arn": true, "volume": [{ "efs_volume_configuration": [{ "file_system_id": true }] }] });
    let reading = reading(&plan(values, unknown), TemplatePurpose::Print);
    assert_eq!(reading.input.platform.unwrap().to_string(), "linux/arm64");
    assert_eq!(reading.input.unchecked[0].dependency, Dependency::Efs);
    assert!(
        reading.input.unchecked[0].why.contains("after apply"),
        "{:?}",
        reading.input.unchecked
    );
    assert!(
        reading.notes[0].contains("executionRoleArn"),
        "{:?}",
        reading.notes
    );
    let error = error(&plan(
        json!({ "volume": [] }),
        json!({ "container_definitions": true }),
    ));
    for part in [
        "known only after apply",
        "aws_ecr_repository.app.repository_url",
        "terraform apply",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn several_task_definitions_are_found_by_name_address_and_family() {
    let task = |image: &str, family: &str| {
        json!({ "Type": "AWS::ECS::TaskDefinition", "Properties": { "Family": family,
            "ContainerDefinitions": [{ "Name": "c", "Image": image }] } })
    };
    let text = json!({ "Resources": { "Web": task("acme/web", "shop-web"), "Job": task("acme/job", "shop-job") } });
    let template = TaskTemplate::parse(text.to_string().as_bytes(), &[]).unwrap();
    assert_eq!(template.names().collect::<Vec<_>>(), ["Job", "Web"]);
    for (name, image) in [("Web", "web"), ("shop-job", "job")] {
        let [position] = template.positions(name)[..] else {
            panic!("{name}")
        };
        let definition = template.definition(position, None, None).unwrap();
        let input = definition
            .read(Some(&region()), TemplatePurpose::Print)
            .unwrap()
            .input;
        assert_eq!(images(&input), [format!("docker.io/acme/{image}")]);
    }
    assert!(template.positions("other").is_empty());
}

/// An array, an object with one, documents one after the other in JSON or YAML.
#[test]
fn several_task_definitions_of_the_api_are_all_read() {
    let one = |family: &str, image: &str| json!({ "family": family, "containerDefinitions": [{ "name": "c", "image": image }] });
    let (web, job) = (one("web", "acme/web"), one("job", "acme/job"));
    let yaml = |family: &str| {
        format!("family: {family}\ncontainerDefinitions:\n  - {{name: c, image: acme/{family}}}\n")
    };
    for text in [
        json!([web, job]).to_string(),
        json!([{ "taskDefinition": web }, { "taskDefinition": job, "tags": [] }]).to_string(),
        json!({ "taskDefinitions": [web, job], "failures": [] }).to_string(),
        format!("{web:#}\n{job:#}\n"),
        format!("{}---\n{}", yaml("web"), yaml("job")),
    ] {
        let template = TaskTemplate::parse(text.as_bytes(), &[]).unwrap();
        assert_eq!(
            template.names().collect::<Vec<_>>(),
            ["web", "job"],
            "{text}"
        );
        let [position] = template.positions("job")[..] else {
            panic!("{text}")
        };
        let definition = template.definition(position, None, None).unwrap();
        let reading = definition.read(Some(&region()), TemplatePurpose::Print);
        assert_eq!(images(&reading.unwrap().input), ["docker.io/acme/job"]);
    }
    let twice = json!([web, web, { "containerDefinitions": [] }]).to_string();
    let template = TaskTemplate::parse(twice.as_bytes(), &[]).unwrap();
    assert_eq!(
        template.names().collect::<Vec<_>>(),
        ["web[0]", "web[1]", "[2]"]
    );
}

#[test]
fn an_open_access_point_leaves_its_file_system_known() {
    let definition = json!({ "containerDefinitions": [{ "name": "c", "image": "nginx" }],
        "volumes": [{ "name": "v", "efsVolumeConfiguration": { "fileSystemId": "fs-0123456789abcdef0",
            "transitEncryption": "ENABLED", "authorizationConfig": { "accessPointId": "${access_point}", "iam": "ENABLED" } } }] });
    let input = input(&definition.to_string());
    assert_eq!(input.file_systems[0].id, "fs-0123456789abcdef0");
    assert!(input.file_systems[0].access_point.is_none());
    assert_eq!(input.unchecked[0].dependency, Dependency::Efs);
}

#[test]
fn the_region_of_terraforms_provider_may_be_a_variable() {
    let plan = json!({ "planned_values": { "root_module": { "resources": [{ "address": "aws_ecs_task_definition.web",
            "mode": "managed", "type": "aws_ecs_task_definition", "name": "web",
            "values": { "family": "web", "container_definitions": "[{\"name\": \"c\", \"image\": \"nginx\"}]" } }] } },
        "variables": { "region": { "value": "eu-central-1" } },
        "configuration": { "provider_config": { "aws": { "expressions": { "region": { "references": ["var.region"] } } } } } });
    let template = TaskTemplate::parse(plan.to_string().as_bytes(), &[]).unwrap();
    let facts = template.definition(0, None, None).unwrap().facts();
    assert_eq!(
        facts.region(None).unwrap().0.unwrap().as_str(),
        "eu-central-1"
    );
}

/// Secrets Manager is contacted, whatever the name of the secret.
#[test]
fn secrets_of_a_database_in_the_stack_are_known_as_secrets() {
    let stack = "Resources:\n  Db: {Type: 'AWS::RDS::DBInstance'}\n  Secret: {Type: 'AWS::SecretsManager::Secret'}\n  \
                 Attachment: {Type: 'AWS::SecretsManager::SecretTargetAttachment', Properties: {SecretId: !Ref Secret}}\n  \
                 T:\n    Type: AWS::ECS::TaskDefinition\n    Properties:\n      ExecutionRoleArn: exec\n      ContainerDefinitions:\n        - Name: w\n          \
                 Image: nginx\n          Secrets: [{Name: A, ValueFrom: SECRET}]\n";
    for secret in [
        "!Ref Attachment",
        "!Sub '${Attachment}:password::'",
        "!GetAtt Db.MasterUserSecret.SecretArn",
    ] {
        let input = input(&stack.replace("SECRET", secret));
        assert_eq!(input.unchecked[0].dependency, Dependency::SecretsManager);
        assert!(
            !input.unchecked[0].why.contains("Parameter Store"),
            "{:?}",
            input.unchecked
        );
        let host = &input.connections[0].host;
        assert_eq!(host, "secretsmanager.eu-west-1.amazonaws.com", "{secret}");
    }
}

/// The output of get-template, and resources without a template around them.
#[test]
fn a_template_is_found_in_what_is_around_it() {
    let task = json!({ "Type": "AWS::ECS::TaskDefinition", "Properties": { "Family": "web",
        "ContainerDefinitions": [{ "Name": "c", "Image": "acme/web", "Memory": 128 }] } });
    let template = json!({ "Resources": { "Task": task } });
    let yaml = "Resources:\n  Task:\n    Type: AWS::ECS::TaskDefinition\n    Properties:\n      Family: web\n      \
                ContainerDefinitions: [{Name: c, Image: !Sub 'acme/${AWS::Region}', Memory: 128}]\n";
    for (document, image) in [
        (task.clone(), "web"),
        (json!({ "Task": task }), "web"),
        (
            json!({ "TemplateBody": template, "StagesAvailable": ["Original"] }),
            "web",
        ),
        (json!({ "TemplateBody": yaml }), "eu-west-1"),
    ] {
        let input = input(&document.to_string());
        assert_eq!(
            images(&input),
            [format!("docker.io/acme/{image}")],
            "{document}"
        );
    }
}

/// What a macro makes is not in the template; `Properties` is then no object.
#[test]
fn a_template_with_macros_is_named_with_the_command_that_processes_it() {
    for text in [
        "Resources: {T: {Type: 'AWS::ECS::TaskDefinition', Properties: {'Fn::Transform': {Name: 'AWS::Include'}}}}",
        "Resources: {T: {Type: 'AWS::ECS::TaskDefinition', Properties: !If [A, {Family: a}, {Family: b}]}}",
        "Resources: {'Fn::ForEach::T': [N, [a], {'T${N}': {Type: 'AWS::ECS::TaskDefinition'}}]}",
    ] {
        let error = error(text);
        assert!(
            error.contains("--template-stage Processed"),
            "{text}: {error}"
        );
    }
    let open = "{\"containerDefinitions\": [${containers}], \"family\": \"a\"}";
    let template = TaskTemplate::parse(open.as_bytes(), &[]).unwrap();
    let mut definition = template.definition(0, None, None).unwrap();
    assert!(definition.set_images(&["=nginx".into()]).is_ok());
}

#[test]
fn a_daemon_runs_on_managed_instances() {
    let daemon = json!({ "daemonTaskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:daemon-task-definition/agent:1",
        "family": "agent", "containerDefinitions": [{ "name": "c", "image": "acme/agent" }] });
    for text in [daemon.clone(), json!({ "daemonTaskDefinition": daemon })] {
        let input = input(&text.to_string());
        assert_eq!(images(&input), ["docker.io/acme/agent"]);
        assert_eq!(
            input.host.launch_types,
            [crate::plan::LaunchType::ManagedInstances]
        );
        assert_eq!(input.account.as_deref(), Some("123456789012"));
    }
}

#[test]
fn a_secret_whose_suffix_is_a_placeholder_is_any_secret_of_that_name() {
    for (arn, known) in [
        (
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-XXXXXX",
            "123456789012:secret:db",
        ),
        (
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-<SUFFIX>:key::",
            "123456789012:secret:db:key::",
        ),
        (
            "arn:aws:secretsmanager:${AWS_REGION}:<ACCOUNT_ID>:secret:a/b-xxxxxx",
            "*:secret:a/b",
        ),
    ] {
        let definition = json!({ "containerDefinitions": [{ "name": "c", "image": "nginx",
            "secrets": [{ "name": "A", "valueFrom": arn }] }] });
        let reading = reading(&definition.to_string(), TemplatePurpose::Print);
        assert_eq!(
            reading.input.secrets[0].to_string(),
            format!("arn:aws:secretsmanager:eu-west-1:{known}")
        );
        assert!(
            reading
                .notes
                .iter()
                .any(|note| note.contains("six characters")),
            "{:?}",
            reading.notes
        );
        assert!(reading.input.unchecked.is_empty());
    }
}

/// Documents that are no task definition, and the command that gives one.
const FOREIGN: &[(&str, &str, &str)] = &[
    (
        "resource \"aws_ecs_task_definition\" \"a\" {\n}\n",
        "HCL",
        "terraform show -json",
    ),
    ("# x\nlocals {\n  a = 1\n}\n", "HCL", "terraform show -json"),
    (
        "{\"resource\": {\"aws_ecs_task_definition\": {}}}",
        "HCL",
        "terraform show -json",
    ),
    (
        "services:\n  web:\n    image: nginx\n",
        "Compose",
        "docker compose config",
    ),
    (
        "version: '3'\nservices:\n  web: {build: .}\n",
        "Compose",
        "docker compose config",
    ),
    (
        "name: api\ntype: Load Balanced Web Service\nimage: {build: Dockerfile}\n",
        "Copilot",
        "copilot svc package",
    ),
    (
        "local x = import 'a.libsonnet';\n{ family: x }\n",
        "Jsonnet",
        "jsonnet FILE",
    ),
    (
        "{\n  family: 'web',\n  containerDefinitions: [],\n}\n",
        "Jsonnet",
        "jsonnet FILE",
    ),
    (
        "{ containerDefinitions: [std.extVar('x')] }",
        "Jsonnet",
        "ecspresso render taskdef",
    ),
    (
        "version: 1\ntask_definition:\n  task_execution_role: x\nrun_params: {}\n",
        "ecs-params.yml",
        "ecs-cli",
    ),
    (
        "region: eu-west-1\ncluster: a\ntask_definition: taskdef.json\n",
        "ecspresso",
        "ecspresso render taskdef",
    ),
    (
        "{\"AWSEBDockerrunVersion\": 2, \"containerDefinitions\": null}",
        "Dockerrun",
        "describe-task-definition",
    ),
    (
        "{\"cluster\": \"a\", \"serviceName\": \"b\", \"taskDefinition\": \"web:1\"}",
        "service",
        "describe-task-definition",
    ),
    (
        "{\"services\": [{\"serviceArn\": \"a\"}]}",
        "services",
        "describe-task-definition",
    ),
    ("{\"tasks\": []}", "tasks", "describe-task-definition"),
    (
        "{\"taskDefinitionArns\": []}",
        "list of task definitions",
        "describe-task-definition",
    ),
    (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {}\n",
        "Kubernetes",
        "--image",
    ),
    (
        "version: 0.0\nResources:\n  - TargetService: {}\n",
        "AppSpec",
        "task definition",
    ),
    (
        "[{\"name\": \"web\", \"imageUri\": \"a\"}]",
        "image definitions",
        "--image",
    ),
    (
        "service: a\nprovider: {name: aws}\nfunctions: {}\n",
        "serverless",
        "serverless package",
    ),
    ("on: push\njobs: {}\n", "GitHub Actions", "--image"),
    ("FROM nginx\nRUN x\n", "Dockerfile", "pullprobe plan IMAGE"),
    (
        "import * as cdk from 'aws-cdk-lib';\n",
        "program",
        "cdk synth",
    ),
    (
        "{\"schema\": \"pullprobe/plan/v1\"}",
        "output of pullprobe",
        "probe --plan",
    ),
    (
        "{\"Resources\": {\"A\": {\"Type\": \"AWS::S3::Bucket\"}}}",
        "without an AWS::ECS::TaskDefinition",
        "nested",
    ),
    (
        "containerDefinitions:\n{% for c in all %}\n  - name: a\n{% endfor %}\n",
        "directives",
        "render",
    ),
    (
        "just words\n",
        "neither JSON nor YAML",
        "describe-task-definition",
    ),
    ("{\"jobDefinitionName\": \"a\"}", "Batch", "--image"),
    (
        "{\"serviceName\": \"a\", \"primaryContainer\": {\"image\": \"nginx\"}}",
        "Express Mode",
        "describe-express-gateway-service",
    ),
    (
        "Resources: {A: {Type: 'AWS::ECS::ExpressGatewayService'}}\n",
        "Express Mode",
        "describe-express-gateway-service",
    ),
    (
        "Resources: {A: {Type: 'AWS::Batch::JobDefinition'}}\n",
        "Batch",
        "--image",
    ),
    (
        "version: 0.2\nphases: {build: {commands: [x]}}\n",
        "buildspec",
        "--image NAME=REF",
    ),
    (
        "stages: [build]\ndeploy: {script: [x]}\n",
        "pipeline",
        "--image NAME=REF",
    ),
    (
        "- hosts: all\n  tasks:\n    - ecs_taskdefinition: {family: a}\n",
        "Ansible",
        "describe-task-definition",
    ),
    (
        "#!/bin/sh\ncat > a.json <<EOF\n{}\nEOF\n",
        "shell script",
        "register-task-definition",
    ),
    (
        "aws ecs register-task-definition --family a --container-definitions '[]'\n",
        "shell script",
        "file of its own",
    ),
    (
        "# Deploy\n\n```json\n{}\n```\n",
        "Markdown",
        "file of its own",
    ),
    (
        "name: a\nruntime: yaml\nresources: {td: {type: 'aws:ecs:TaskDefinition'}}\n",
        "Pulumi",
        "describe-task-definition",
    ),
    (
        "{\"version\": \"36.0.0\", \"artifacts\": {\"App\": {}}}",
        "CDK",
        "cdk.out",
    ),
    (
        "{\"StartAt\": \"Run\", \"States\": {\"Run\": {}}}",
        "state machine",
        "describe-task-definition",
    ),
];

#[test]
fn other_documents_are_named_with_the_command_that_renders_them() {
    for (text, what, next) in FOREIGN {
        let error = error(text);
        assert!(
            error.contains(what) && error.contains(next),
            "{text}: {error}"
        );
        assert!(
            error.starts_with("FILE") && error.lines().count() == 1,
            "{error}"
        );
    }
}

/// CloudFormation takes numbers for text and text for numbers.
#[test]
fn a_template_may_write_numbers_and_text_as_it_likes() {
    let read = input(
        "Resources:
  T:
    Type: AWS::ECS::TaskDefinition
    Properties:
      RequiresCompatibilities: [FARGATE]
      NetworkMode: awsvpc
      Cpu: 256
      Memory: 512
      ExecutionRoleArn: arn:aws:iam::123456789012:role/exec
      ContainerDefinitions:
        - Name: web
          Image: nginx
          Memory: '256'
          Essential: 'true'
          ReadonlyRootFilesystem: 'false'
          StopTimeout: '30'
          PortMappings: [{ContainerPort: '80'}]
          HealthCheck: {Command: [CMD, x], Interval: '30'}
          Environment: [{Name: A, Value: 1}, {Name: B, Value: true}]
          Ulimits: [{Name: nofile, SoftLimit: '1024', HardLimit: 2048}]
          LogConfiguration:
            LogDriver: awslogs
            Options:
              {awslogs-group: /web, awslogs-region: eu-west-1, awslogs-stream-prefix: 1, awslogs-create-group: true}
      EphemeralStorage: {SizeInGiB: '50'}
",
    );
    assert_eq!(images(&read), ["docker.io/library/nginx"]);
    // ECS's API converts nothing.
    let message =
        error("family: web\ncpu: 256\ncontainerDefinitions: [{name: a, image: b, memory: '64'}]\n");
    assert!(
        message.contains("cpu: expected a string, found a number"),
        "{message}"
    );
    assert!(
        message.contains("memory: expected a whole number, found a string"),
        "{message}"
    );
    // What is no number stays as it is, and is refused.
    let message = error(
        "Resources: {T: {Type: 'AWS::ECS::TaskDefinition', Properties: {Family: a, ContainerDefinitions: \
         [{Name: a, Image: b, Memory: much}]}}}",
    );
    assert!(
        message.contains("memory: expected a whole number"),
        "{message}"
    );
}

/// CDK's assets are in the account's own registry, which the template names by a pseudo parameter.
#[test]
fn an_image_of_an_unknown_account_still_needs_the_endpoints_of_ecr() {
    let image = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/assets:1";
    for image in [
        json!({ "Fn::Sub": image }),
        json!({ "Fn::GetAtt": ["Repo", "RepositoryUri"] }),
    ] {
        let template = json!({ "Resources": {
            "Repo": { "Type": "AWS::ECR::Repository" },
            "Secret": { "Type": "AWS::SecretsManager::Secret" },
            "T": { "Type": "AWS::ECS::TaskDefinition", "Properties": {
                "RequiresCompatibilities": ["FARGATE"], "NetworkMode": "awsvpc", "Cpu": "256", "Memory": "512",
                "ExecutionRoleArn": "exec",
                "ContainerDefinitions": [{ "Name": "web", "Image": image,
                    "Secrets": [{ "Name": "A", "ValueFrom": { "Ref": "Secret" } }] }] } } } });
        let plan = Plan::new(input(&template.to_string()), region()).unwrap();
        let required = crate::plan::requirements::Requirements::of(&plan);
        let endpoints: Vec<_> = required
            .endpoints
            .iter()
            .map(|endpoint| endpoint.short_name(&region()))
            .collect();
        for service in ["ecr.api", "ecr.dkr", "s3", "secretsmanager"] {
            assert!(endpoints.contains(&service), "{image}: {endpoints:?}");
        }
        assert!(
            required
                .endpoints
                .iter()
                .all(|endpoint| endpoint.policy.is_none()),
            "{image}"
        );
        let used: Vec<_> = required
            .security_group_rules
            .iter()
            .flat_map(|rule| &rule.used_for)
            .collect();
        assert!(used.iter().any(|service| *service == "ecr.dkr"), "{used:?}");
        assert!(
            plan.targets
                .iter()
                .all(|target| !target.host.contains("dkr")),
            "no made-up host is probed"
        );
    }
}

/// Terraform's templates often hold one container, and others join them.
#[test]
fn one_container_is_read_like_an_array_of_one() {
    let read = input(
        r#"{"name": "web", "image": "nginx:1", "memory": 64, "secrets": [{"name": "A", "valueFrom": "/a"}]}"#,
    );
    assert_eq!(images(&read), ["docker.io/library/nginx:1"]);
    assert_eq!(read.secrets.len(), 1);
}

#[test]
fn images_that_only_stand_for_one_are_placeholders() {
    for image in [
        "{image}",
        "[IMAGE]",
        "@IMAGE@",
        "...",
        "yourdockerhubusername/yourimage:latest",
        "your-image",
        "000000000000.dkr.ecr.eu-west-1.amazonaws.com/web:1",
        "REPLACE_WITH_IMAGE_URI",
        "#{IMAGE}#",
        "IMAGE_PLACEHOLDER",
        "TO_BE_REPLACED",
        "xxxxxxxxxxxx.dkr.ecr.eu-west-1.amazonaws.com/web:1",
        "$(IMAGE)",
        "<<IMAGE>>",
        "{{.Image}}",
        "ECR_IMAGE_URL:latest",
        "<ECR_REPO>:<TAG>",
        "${IMAGE:-nginx}",
        "123456789012.dkr.ecr.REGION.amazonaws.com/web:IMAGE_TAG",
        "{{ tfstate `aws_ecr_repository.app.url` }}:1",
    ] {
        let document = json!({"family": "a", "containerDefinitions": [{"name": "web", "image": image, "memory": 64}]});
        let read = input(&document.to_string());
        assert!(read.images.is_empty(), "{image}");
        let unchecked = &read.unchecked[0];
        assert!(
            unchecked.why.contains("placeholder") || unchecked.why.contains("variable"),
            "{image}: {unchecked:?}"
        );
        assert!(
            unchecked.why.contains("--image web=REF"),
            "{image}: {unchecked:?}"
        );
    }
    for image in [
        "yourls:1.9",
        "nginx",
        "acme/image-tools:1",
        "registry.example.com/region/app:1",
    ] {
        let document = json!({"family": "a", "containerDefinitions": [{"name": "web", "image": image, "memory": 64}]});
        assert_eq!(input(&document.to_string()).images.len(), 1, "{image}");
    }
}

#[test]
fn a_value_of_ecspresso_is_set_by_its_variable_and_quoted_for_a_shell() {
    let text = r#"{"family": "a", "taskRoleArn": "{{ tfstate `aws_iam_role.t.arn` }}",
        "containerDefinitions": [{"name": "web", "image": "{{ must_env `IMAGE` }}", "memory": 64}]}"#;
    let set = [("IMAGE".to_owned(), "nginx:1".to_owned())];
    let template = TaskTemplate::parse(text.as_bytes(), &set).unwrap();
    let definition = template.definition(0, Some(&region()), None).unwrap();
    let reading = definition
        .read(Some(&region()), TemplatePurpose::Print)
        .unwrap();
    assert_eq!(images(&reading.input), ["docker.io/library/nginx:1"]);
    let notes = reading.notes.join(" ");
    assert!(
        notes.contains("--set 'tfstate `aws_iam_role.t.arn`=VALUE'"),
        "{notes}"
    );
}

#[test]
fn directives_of_terraform_are_named_with_the_command_that_renders_them() {
    let message = error(
        "[\n  {\n    \"name\": \"a\",\n%{ if x ~}\n    \"image\": \"b\"\n%{ endif ~}\n  }\n]\n",
    );
    assert!(message.contains("terraform show -json PLAN"), "{message}");
}

#[test]
fn a_mistake_is_shown_with_its_line() {
    let error = error(
        "{\n  \"family\": \"web\",\n  \"containerDefinitions\": [\n    {\"name\": \"web\" \"image\": \"a\"}\n  ]\n}\n",
    );
    assert!(
        error.starts_with("FILE is not valid JSON: line 4, column 20: "),
        "{error}"
    );
    assert!(
        error.contains("\n  {\"name\": \"web\" \"image\": \"a\"}\n"),
        "{error}"
    );
}

/// Changes bytes at random, because a file may hold anything.
#[test]
fn damaged_files_are_read_or_rejected_in_short_words() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let alphabet: Vec<char> = "{}[]\":,!&*#%$<>\\/.- a\n\u{0}é".chars().collect();
    let (mut rejected, mut read) = (0, 0);
    for round in 0..4_000 {
        let (_, text) = &forms()[round % 11];
        let mut damaged: Vec<char> = text.chars().collect();
        for _ in 0..=random(4) {
            let (at, with) = (random(damaged.len()), alphabet[random(alphabet.len())]);
            match random(3) {
                0 => damaged[at] = with,
                1 => damaged.insert(at, with),
                _ => drop(damaged.remove(at)),
            }
        }
        let damaged: String = damaged.into_iter().collect();
        let result = TaskTemplate::parse(damaged.as_bytes(), &[])
            .and_then(|template| template.definition(0, Some(&region()), None))
            .and_then(|definition| definition.read(Some(&region()), TemplatePurpose::Check));
        match result {
            Ok(reading) => {
                read += 1;
                let texts = reading
                    .input
                    .unchecked
                    .iter()
                    .flat_map(|u| [&u.subject, &u.why]);
                for text in texts.chain(&reading.notes) {
                    assert!(!text.contains(char::is_control), "{text:?}");
                }
            }
            Err(error) => {
                rejected += 1;
                let error = error.with_label("FILE");
                assert!(error.chars().count() < 3_000, "{error}");
            }
        }
    }
    assert!(rejected > 500 && read > 100, "{rejected} {read}");
}

#[test]
fn a_registry_in_a_region_of_that_name_is_in_the_tasks_to_be_printed() {
    for mark in ["${AWS_REGION}", "<region>", "{{ aws_region }}", "$REGION"] {
        let image = format!("123456789012.dkr.ecr.{mark}.amazonaws.com/web:1");
        let text =
            json!({ "containerDefinitions": [{ "name": "web", "image": image }] }).to_string();
        let printed = reading(&text, TemplatePurpose::Print);
        assert_eq!(images(&printed.input), [format!("{ECR}/web:1")], "{mark}");
        assert!(
            printed.notes[0].contains("is assumed to be eu-west-1"),
            "{:?}",
            printed.notes
        );
        let checked = reading(&text, TemplatePurpose::Check);
        assert!(checked.input.images.is_empty() && checked.input.unchecked.len() == 1);
    }
}

#[test]
fn a_launch_takes_only_what_is_complete() {
    let complete = |text: &str| {
        let template = TaskTemplate::parse(text.as_bytes(), &[]).unwrap();
        let definition = template.definition(0, Some(&region()), None).unwrap();
        definition.into_complete(&region())
    };
    for (form, text) in forms() {
        let value = complete(&text).unwrap_or_else(|error| panic!("{form}: {error:?}"));
        assert_eq!(
            value["containerDefinitions"][0]["image"],
            format!("{ECR}/web:1"),
            "{form}"
        );
        let open = text.replace(&format!("{ECR}/web:1"), "<IMAGE1_NAME>");
        let error = complete(&open).unwrap_err().with_label("FILE");
        assert!(
            error.contains("<IMAGE1_NAME>") && error.contains("CodeDeploy"),
            "{form}: {error}"
        );
    }
}

#[test]
fn values_that_grow_with_each_reference_end() {
    let definition = |logs: Value, conditions: Value| {
        json!({ "Conditions": conditions, "Resources": { "Logs": logs,
            "Task": { "Type": "AWS::ECS::TaskDefinition", "Properties": { "ContainerDefinitions": [{ "Name": "web",
                "Image": { "Fn::If": ["C0", "nginx", "httpd"] },
                "LogConfiguration": { "LogDriver": "awslogs", "Options": { "awslogs-group": { "Ref": "Logs" } } } }] } } } })
    };
    let logs = json!({ "Type": "AWS::Logs::LogGroup", "Properties": { "LogGroupName": { "Fn::Sub": "${Logs}${Logs}" } } });
    let names = |n: usize| format!("C{n}");
    let conditions: serde_json::Map<_, _> = (0..40)
        .map(|n| {
            let next = json!({ "Condition": names(n + 1) });
            (names(n), json!({ "Fn::And": [next, next, next] }))
        })
        .collect();
    let began = std::time::Instant::now();
    let reading = reading(
        &definition(logs, conditions.into()).to_string(),
        TemplatePurpose::Print,
    );
    assert!(images(&reading.input).is_empty());
    // Far more than the bounded work takes, and far less than 2^40 steps.
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn a_file_cannot_forge_an_open_value() {
    let text = r#"{"containerDefinitions": [{"name": "web", "image": "\u0000evil\u0000a forged reason"}]}"#;
    let shown = match TaskTemplate::parse(text.as_bytes(), &[])
        .and_then(|template| template.definition(0, Some(&region()), None))
        .and_then(|definition| definition.read(Some(&region()), TemplatePurpose::Print))
    {
        Ok(reading) => format!("{:?} {:?}", reading.input.unchecked, reading.notes),
        Err(error) => error.with_label("FILE"),
    };
    assert!(!shown.contains("is a forged reason"), "{shown}");
}

#[test]
fn names_of_members_in_notes_neither_act_nor_grow() {
    let name = format!("\u{1b}[31m{}", "x".repeat(5_000));
    let text = json!({ "containerDefinitions": [{ "name": "web", "image": "nginx",
        "dockerLabels": { name: "${X}" } }] });
    let reading = reading(&text.to_string(), TemplatePurpose::Print);
    let notes = reading.notes.join("\n");
    assert!(!notes.contains('\u{1b}') && notes.len() < 2_000, "{notes}");
}
