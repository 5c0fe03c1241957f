//! `logConfiguration`: where a container's output goes.

use super::TaskDefinitionReader;
use super::error::TaskDefinitionError;
use super::firelens;
use super::node::Node;
use crate::endpoints::Region;
use crate::observation::Dependency;
use crate::plan::{LogGroupInput, ReachabilityCheck, Unchecked, check_log_group_name, shorten};

/// Log drivers on Fargate (ECS API reference, LogConfiguration).
const FARGATE_LOG_DRIVERS: [&str; 3] = ["awslogs", "splunk", "awsfirelens"];

/// Additional log drivers on EC2 instances (same source).
const EC2_LOG_DRIVERS: [&str; 6] = ["json-file", "syslog", "journald", "gelf", "fluentd", "none"];

impl TaskDefinitionReader {
    pub(super) fn read_log_configuration(
        &mut self,
        container: &Node<'_>,
    ) -> Result<(), TaskDefinitionError> {
        let Some(log) = container.member("logConfiguration")? else {
            return Ok(());
        };
        let driver = log.required("logDriver")?;
        let (drivers, launch_type) = if self.fargate {
            (FARGATE_LOG_DRIVERS.to_vec(), "Fargate")
        } else {
            let drivers = [&FARGATE_LOG_DRIVERS[..], &EC2_LOG_DRIVERS].concat();
            (drivers, "EC2")
        };
        let name = driver.text()?;
        if !drivers.contains(&name) {
            return Err(driver.error(format_args!(
                "log driver {:?} is not supported on {launch_type}; use one of {}",
                shorten(name),
                drivers.join(", ")
            )));
        }
        self.read_secrets_of(&log, "secretOptions")?;
        match name {
            "awslogs" => self.read_awslogs(&log),
            "splunk" => self.read_splunk(&log),
            "awsfirelens" if !self.has_log_router => {
                Err(driver.error("awsfirelens needs one container with a firelensConfiguration"))
            }
            "awsfirelens" => firelens::read(&log, &mut self.input),
            "syslog" | "gelf" | "fluentd" => {
                self.input.unchecked.push(Unchecked {
                    dependency: Dependency::LogRouter,
                    subject: name.to_owned(),
                    why: format!("the destination of the log driver {name} is not checked"),
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_awslogs(&mut self, log: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let options = log.required("options")?;
        let group = options.required("awslogs-group")?;
        check_log_group_name(group.text()?).map_err(|error| group.error(error))?;
        let region_node = options.required("awslogs-region")?;
        let region: Region = region_node
            .text()?
            .parse()
            .map_err(|error| region_node.error(error))?;
        let create_group = match options.member("awslogs-create-group")? {
            // "should only be set to 'true', else omit option" (tflint-ruleset-aws#348); AWS's own
            // examples have "True", as Docker's driver reads it with Go's ParseBool.
            Some(switch) if switch.text()?.eq_ignore_ascii_case("true") => true,
            Some(switch) => {
                return Err(switch.error("ECS accepts only \"true\"; otherwise leave it out"));
            }
            None => false,
        };
        let stream_prefix = options.member("awslogs-stream-prefix")?;
        if let Some(prefix) = &stream_prefix
            && prefix.text()?.contains([':', '*'])
        {
            return Err(prefix.error("a log stream name cannot contain \":\" or \"*\""));
        }
        self.input.logs.push(LogGroupInput {
            group: group.text()?.to_owned(),
            region: Some(region),
            stream_prefix: stream_prefix
                .map(|prefix| prefix.text().map(str::to_owned))
                .transpose()?,
            create_group,
        });
        Ok(())
    }

    /// Reads the collector, which the driver connects to before the container starts, unless
    /// `splunk-verify-connection` is off.
    fn read_splunk(&mut self, log: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let options = log.member("options")?;
        let option = |name: &str| match &options {
            Some(options) => options.member(name),
            None => Ok(None),
        };
        if option("splunk-token")?.is_none() && !has_secret_option(log, "splunk-token")? {
            return Err(log.error("splunk needs a splunk-token, in options or secretOptions"));
        }
        let Some(url) = option("splunk-url")? else {
            if !has_secret_option(log, "splunk-url")? {
                return Err(log.error("splunk needs a splunk-url, in options or secretOptions"));
            }
            self.input.unchecked.push(Unchecked {
                dependency: Dependency::Splunk,
                subject: "splunk-url".into(),
                why: "its URL is a secret".into(),
            });
            return Ok(());
        };
        let collector = firelens::parse_url(url.text()?).map_err(|error| url.error(error))?;
        // The probe cannot verify a certificate against roots that it does not have.
        let has_custom_roots = option("splunk-capath")?.is_some();
        let skips_verification = option("splunk-insecureskipverify")?
            .map(|switch| switch.text())
            .transpose()?
            == Some("true");
        self.input.connections.push(ReachabilityCheck {
            dependency: Dependency::Splunk,
            tcp_only: !collector.tls || has_custom_roots || skips_verification,
            host: collector.host,
            port: collector.port,
            subject: "log driver splunk".into(),
        });
        Ok(())
    }
}

fn has_secret_option(log: &Node<'_>, name: &str) -> Result<bool, TaskDefinitionError> {
    let options = log.elements("secretOptions")?;
    let names = options.iter().map(|option| option.text_of("name"));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    Ok(names.contains(&Some(name)))
}
