//! `logConfiguration`: where a container's output goes.

use super::Reader;
use super::container::secrets;
use super::firelens;
use super::node::{Mistake, Node, shorten};
use crate::endpoints::Region;
use crate::observation::Dependency;
use crate::plan::{LogGroupInput, ReachabilityCheck, Unchecked, valid_log_group};

/// What Fargate takes (ECS API reference, LogConfiguration).
const ON_FARGATE: [&str; 3] = ["awslogs", "splunk", "awsfirelens"];

/// What an EC2 instance takes besides.
const ON_INSTANCES: [&str; 6] = ["json-file", "syslog", "journald", "gelf", "fluentd", "none"];

impl Reader {
    pub(super) fn log(&mut self, container: &Node<'_>) -> Result<(), Mistake> {
        let Some(log) = container.member("logConfiguration")? else {
            return Ok(());
        };
        let driver = log.needed("logDriver")?;
        let known = if self.fargate {
            ON_FARGATE.to_vec()
        } else {
            [&ON_FARGATE[..], &ON_INSTANCES].concat()
        };
        let name = driver.text()?;
        if !known.contains(&name) {
            let text = format!(
                "{:?} is no log driver of the task's: {} are",
                shorten(name),
                known.join(", ")
            );
            return Err(driver.mistake(text));
        }
        let read = secrets(&log, "secretOptions")?;
        self.wanted.secrets.extend(read);
        match name {
            "awslogs" => self.awslogs(&log),
            "splunk" => self.splunk(&log),
            "awsfirelens" if !self.routes_logs => {
                Err(driver.mistake("awsfirelens needs one container with a firelensConfiguration"))
            }
            "awsfirelens" => firelens::read(&log, &mut self.wanted),
            "syslog" | "gelf" | "fluentd" => {
                let why = format!("what the log driver {name} writes to is not rehearsed");
                self.wanted.unchecked.push(Unchecked {
                    dependency: Dependency::LogRouter,
                    subject: name.to_owned(),
                    why,
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn awslogs(&mut self, log: &Node<'_>) -> Result<(), Mistake> {
        let options = log.needed("options")?;
        let group = options.needed("awslogs-group")?;
        valid_log_group(group.text()?).map_err(|error| group.mistake(error))?;
        let region = options.needed("awslogs-region")?;
        let in_region: Region = region
            .text()?
            .parse()
            .map_err(|error| region.mistake(error))?;
        let create_group = match options.member("awslogs-create-group")? {
            Some(switch) => switch.one_of(&["true", "false"])? == "true",
            None => false,
        };
        let stream_prefix = options.member("awslogs-stream-prefix")?;
        if let Some(prefix) = &stream_prefix
            && prefix.text()?.contains([':', '*'])
        {
            return Err(prefix.mistake("a log stream's name cannot have \":\" or \"*\""));
        }
        self.wanted.logs.push(LogGroupInput {
            group: group.text()?.to_owned(),
            region: Some(in_region),
            stream_prefix: stream_prefix
                .map(|prefix| prefix.text().map(str::to_owned))
                .transpose()?,
            create_group,
        });
        Ok(())
    }

    /// The driver asks the collector before the container starts, unless `splunk-verify-connection`
    /// is off.
    fn splunk(&mut self, log: &Node<'_>) -> Result<(), Mistake> {
        let secret = |name: &str| {
            let options = log.elements("secretOptions")?;
            let names = options
                .iter()
                .map(|option| option.text_of("name"))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(names.contains(&Some(name)))
        };
        let empty = log.member("options")?.is_none();
        let option = |name: &str| {
            if empty {
                Ok(None)
            } else {
                log.needed("options")?.member(name)
            }
        };
        if option("splunk-token")?.is_none() && !secret("splunk-token")? {
            return Err(log.mistake("splunk needs a splunk-token, in options or secretOptions"));
        }
        let Some(url) = option("splunk-url")? else {
            if !secret("splunk-url")? {
                return Err(log.mistake("splunk needs a splunk-url, in options or secretOptions"));
            }
            let why = "its URL is a secret".to_owned();
            self.wanted.unchecked.push(Unchecked {
                dependency: Dependency::Splunk,
                subject: "splunk-url".into(),
                why,
            });
            return Ok(());
        };
        let place = firelens::place_of(url.text()?).map_err(|error| url.mistake(error))?;
        // Roots of its own, or none: not those that this probe could check the certificate against.
        let own_roots = option("splunk-capath")?.is_some();
        let insecure = option("splunk-insecureskipverify")?
            .map(|switch| switch.text())
            .transpose()?
            == Some("true");
        self.wanted.connections.push(ReachabilityCheck {
            dependency: Dependency::Splunk,
            tcp_only: !place.tls || own_roots || insecure,
            host: place.host,
            port: place.port,
            subject: "log driver splunk".into(),
        });
        Ok(())
    }
}
