//! Reasons that a text states and that no cause has a code for: the container's command, a device
//! of the instance, an option of the log driver, a health check.
//!
//! The wordings are those of runc, Docker, the container agent and the APIs of ECS, in public
//! reports.

use serde::{Deserialize, Serialize};

use super::ending::Ending;
use super::parsed::ParsedMessage;
use super::step::Step;

/// A reason that the text states, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatedReason {
    /// One sentence on what is wrong.
    pub summary: String,
    /// One sentence on what to change.
    pub remedy: String,
}

/// What more the reader can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The command and the image that the task definition names.
    Command,
    /// The options of its log driver.
    LogOptions,
    /// What a launch of the probe shows.
    Launch,
    /// Nothing in particular.
    Elsewhere,
}

/// A row: the phrases, any of which states the reason, in the form of
/// [`NormalizedText::dense`](super::normalize::NormalizedText).
struct Row {
    phrases: &'static [&'static str],
    summary: &'static str,
    remedy: &'static str,
    look: Look,
}

/// Every reason. The first that matches counts.
const ROWS: [Row; 33] = [
    Row {
        phrases: &["ociruntimeexecfailed"],
        summary: "A health check or ECS Exec could not start its program in a container that runs.",
        remedy: "Install the program in the image, or change the command of healthCheck.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["nousersfound", "unabletofinduser", "openatetc/passwd"],
        summary: "The user that the container runs as does not exist in the image.",
        remedy: "Correct user in the task definition or in the Dockerfile, or give a numeric user \
                 ID.",
        look: Look::Command,
    },
    Row {
        phrases: &["alreadyinusebycontainer"],
        summary: "The container instance still has a container of that name.",
        remedy: "Update the ECS agent, and remove that container or replace the instance.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["errormounting", "invalidmountconfig", "mountconfigfortype"],
        summary: "The runtime could not mount a volume into the container.",
        remedy: "Correct sourcePath and containerPath in the task definition: the source must \
                 exist, and a file cannot be mounted over a directory.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &[
            "executablefilenotfoundin$path",
            "executablefilenotfoundinpath",
        ],
        summary: "The image has no program with the name that the container's command begins with.",
        remedy: "Correct command or entryPoint in the task definition, or install the program in \
                 the image.",
        look: Look::Command,
    },
    Row {
        phrases: &["permissiondenied:unknown", "permissiondenied\":unknown"],
        summary: "The file that the container's command begins with may not be executed; this is \
                  not about IAM.",
        remedy: "Make the file executable in the image (chmod +x), or correct user, command or \
                 entryPoint in the task definition.",
        look: Look::Command,
    },
    Row {
        phrases: &["gatheringdeviceinformation"],
        summary: "The container instance does not have a device that the task definition names.",
        remedy: "Use an instance type with the device, or remove it from linuxParameters.devices.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &[
            "nosuchfileordirectory:unknown",
            "nosuchfileordirectory\":unknown",
            "execuserprocesscaused:nosuchfile",
        ],
        summary: "The file that the container's command begins with, or the interpreter in its \
                  first line, is not in the image.",
        remedy: "Correct command, entryPoint or workingDirectory; a script with Windows line ends \
                 fails like this, too.",
        look: Look::Command,
    },
    Row {
        phrases: &["memorylimittoolow", "minimummemorylimit"],
        summary: "The container's memory limit is too low to start it.",
        remedy: "Raise memory in the task definition.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &[
            "runningprestarthook",
            "nvidia-container",
            "couldnotselectdevicedriver",
        ],
        summary: "The GPU runtime of the container instance did not start the container.",
        remedy: "Use the GPU variant of the Amazon ECS-optimized AMI, whose driver supports the \
                 CUDA version of the image.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["::createprocess"],
        summary: "Windows could not start the container's process.",
        remedy: "Check that the program exists in the image, and that the image's Windows version \
                 is that of the host.",
        look: Look::Command,
    },
    Row {
        phrases: &["failedtochown"],
        summary: "The runtime may not change the owner of a mounted directory, as with an Amazon \
                  EFS access point.",
        remedy: "Mount the volume at a path that the image does not have, or give the access \
                 point the user that the container runs as.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["dependentcontainer", "containerorderingdependency"],
        summary: "A container that this one waits for (dependsOn) did not reach its condition.",
        remedy: "Read the exit code, the reason and the log of that container.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["addressalreadyinuse", "portisalreadyallocated"],
        summary: "The host port is already in use on the container instance.",
        remedy: "Let ECS choose the port (hostPort 0), or use the awsvpc network mode.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["couldnottransitionto"],
        summary: "The container runtime did not finish before the deadline of the ECS agent.",
        remedy: "Check CPU, memory and disk of the container instance and, with awslogs, its path \
                 to CloudWatch Logs, for which the start waits.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["devicemapper:"],
        summary: "Docker's storage driver failed on the container instance.",
        remedy: "Replace the container instance, with a current Amazon ECS-optimized AMI.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &[
            "failedtoregisterlayer",
            "failedtoextractlayer",
            "hcsshim::importlayer",
        ],
        summary: "An image layer arrived and could not be unpacked.",
        remedy: "Check the free disk space (ephemeralStorage on AWS Fargate); replace the \
                 container instance if only one is affected.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["runwithelevatedprivileges", "isthedockerdaemonrunning"],
        summary: "Docker does not respond on the container instance.",
        remedy: "Restart Docker and the ECS agent on the container instance, or replace it.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["fetchanonymoustoken"],
        summary: "The registry issued no token for a pull without a login.",
        remedy: "Log in with repositoryCredentials if the repository is private; otherwise check \
                 its name and the path to the registry.",
        look: Look::Launch,
    },
    Row {
        phrases: &["getawslogsdriverarguments", "unknownlogopt"],
        summary: "The options of the log driver are incomplete or wrong.",
        remedy: "Set awslogs-group, awslogs-region and awslogs-stream-prefix in \
                 logConfiguration.options, and remove what the driver does not know.",
        look: Look::LogOptions,
    },
    Row {
        phrases: &[
            "logstreamname'failedtosatisfy",
            "loggroupname'failedtosatisfy",
        ],
        summary: "CloudWatch Logs does not allow this name of a log stream or log group.",
        remedy: "Remove colons and asterisks from awslogs-stream-prefix and from the container's \
                 name, or correct awslogs-group.",
        look: Look::LogOptions,
    },
    Row {
        phrases: &["loggingdriver:dialunix"],
        summary: "The log collector does not listen at its socket.",
        remedy: "Start the log collector first: with FireLens, check why the log router stopped.",
        look: Look::LogOptions,
    },
    Row {
        phrases: &["taskdefinitiontohaveexecutionrole"],
        summary: "The task definition has no task execution role, which AWS Fargate needs for this.",
        remedy: "Set executionRoleArn in the task definition.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["executecommandoperation", "theexecutecommandfailed"],
        summary: "ECS Exec failed, which concerns a task that runs and not its start.",
        remedy: "Set enableExecuteCommand and start a new task; its task role needs ssmmessages, \
                 and its subnet a path to that service.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &[
            "misconfiguration:compute_environment",
            "misconfiguration:job_resource",
        ],
        summary: "No compute environment of the job queue can run a job of this size.",
        remedy: "Raise maxvCpus or allow larger instance types, or lower what the job requests.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["failedtoregistertargets"],
        summary: "ECS could not register the task with the load balancer.",
        remedy: "Check the service-linked role AWSServiceRoleForECS, and the target group: its \
                 type (ip with awsvpc) and its VPC.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["spottaskwasinterrupted"],
        summary: "AWS took the Fargate Spot capacity back; the task itself has no fault.",
        remedy: "Let the service replace it, and use regular Fargate for the tasks that must stay.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["performingmaintenance"],
        summary: "AWS replaced the infrastructure below the task, which itself has no fault.",
        remedy: "Let the service replace it; start a task of your own again.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["hostec2(instance"],
        summary: "The EC2 instance was terminated, as when Spot capacity is taken back.",
        remedy: "Let AWS Batch retry the job: a retryStrategy for the status reason `Host EC2*`.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["outofmemoryerror:container", "killedduetomemoryusage"],
        summary: "A container used more memory than its limit.",
        remedy: "Raise memory of the container or the task, or lower what the application uses.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &[
            "failedelbhealthchecks",
            "isunhealthyin(target",
            "isunhealthyintarget",
        ],
        summary: "The load balancer's health check failed.",
        remedy: "Check path, port and success codes of the health check, the security group from \
                 the load balancer to the tasks, and healthCheckGracePeriodSeconds.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["failedcontainerhealthchecks"],
        summary: "The health check of a container failed.",
        remedy: "Run the command of healthCheck in the container: its program must be in the \
                 image, and startPeriod must be long enough.",
        look: Look::Elsewhere,
    },
    Row {
        phrases: &["pullsecretsorregistryauth"],
        summary: "ECS could not retrieve the secrets or the authorization token of Amazon ECR; \
                  the text does not say which.",
        remedy: "Get the whole stoppedReason, which names the secret or Amazon ECR, and whether \
                 the service responded.",
        look: Look::Launch,
    },
];

/// What is known of a deployment: that it failed.
const DEPLOYMENT: Row = Row {
    phrases: &[],
    summary: "A deployment failed; why, the stopped tasks of the service say.",
    remedy: "Read the reasons of those tasks with the first command.",
    look: Look::Elsewhere,
};

/// Returns the reason that a message states; `None` if a sign says what failed, so that there are
/// causes, and for a message without a known reason.
pub fn stated(message: &ParsedMessage, ending: Option<Ending>) -> Option<(StatedReason, Look)> {
    if message.sign.is_some() {
        return None;
    }
    let dense = message.text.dense.as_str();
    // This wraps every failure of two steps, and says more only where the step is not known.
    let is_wrapper =
        |phrase: &str| phrase == "pullsecretsorregistryauth" && message.step != Step::Unknown;
    let row = ROWS
        .iter()
        .find(|row| {
            row.phrases
                .iter()
                .any(|phrase| dense.contains(phrase) && !is_wrapper(phrase))
        })
        .or((ending == Some(Ending::Deployment)).then_some(&DEPLOYMENT))?;
    let reason = StatedReason {
        summary: row.summary.to_owned(),
        remedy: row.remedy.to_owned(),
    };
    Some((reason, row.look))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_dense_and_sentences_whole() {
        for row in &ROWS {
            for phrase in row.phrases {
                assert_eq!(*phrase, phrase.replace(' ', "").to_lowercase());
            }
            for sentence in [row.summary, row.remedy] {
                assert!(
                    sentence.ends_with('.') && !sentence.contains("  "),
                    "{sentence}"
                );
            }
        }
    }
}
