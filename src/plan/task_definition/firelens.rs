//! The log driver awsfirelens: the destination of the log router's output, if its options name
//! one.
//!
//! Options are those of Fluent Bit's output plugins (Fluent Bit manual, "Outputs") and of AWS's own
//! plugins for it; their names are case-insensitive. Fluentd's `@type` names plugins of the same
//! services.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::error::TaskDefinitionError;
use super::node::Node;
use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::Dependency;
use crate::plan::{PlanInput, ReachabilityCheck, S3Object, Unchecked, shorten};

/// Returns the `firelensConfiguration` of each container that has one.
pub(super) fn log_routers<'a>(
    containers: &[Node<'a>],
) -> Result<Vec<Node<'a>>, TaskDefinitionError> {
    containers
        .iter()
        .map(|container| container.member("firelensConfiguration"))
        .filter_map(Result::transpose)
        .collect()
}

/// Checks that the task has at most one log router, of a type that ECS supports, and adds its
/// configuration, if that is in Amazon S3: the container agent downloads it with the task execution
/// role before the router starts (amazon-ecs-agent, `taskresource/firelens`).
pub(super) fn read_log_routers(
    containers: &[Node<'_>],
    names_fargate: bool,
    input: &mut PlanInput,
) -> Result<(), TaskDefinitionError> {
    let routers = log_routers(containers)?;
    for router in &routers {
        router.required("type")?.one_of(&["fluentbit", "fluentd"])?;
        let Some(options) = router.member("options")? else {
            continue;
        };
        let Some(place) = options.member("config-file-type")? else {
            continue;
        };
        let is_in_s3 = place.one_of(&["s3", "file"])? == "s3";
        let value = options.required("config-file-value")?;
        if is_in_s3 && names_fargate {
            return Err(place.error(
                "Fargate supports only \"file\": copy the configuration into the router's image",
            ));
        }
        if is_in_s3 {
            let arn = value.text()?;
            arn.parse::<S3Object>()
                .map_err(|error| value.error(error))?;
            input.environment_files.push(arn.to_owned());
        }
    }
    match routers.get(1) {
        Some(second) => Err(second.error("a task has at most one log router")),
        None => Ok(()),
    }
}

/// Adds the destination of the container's output.
pub(super) fn read(log: &Node<'_>, input: &mut PlanInput) -> Result<(), TaskDefinitionError> {
    let options = log.entries("options")?;
    let option = |(name, value): &(&str, Node<'_>)| {
        Ok((name.to_ascii_lowercase(), value.text()?.to_owned()))
    };
    let options = FirelensOptions(options.iter().map(option).collect::<Result<_, _>>()?);
    let Some(plugin) = options.get("name").or_else(|| options.get("@type")) else {
        let why = "its options do not name an output; the log router's own configuration does";
        add_unchecked(input, "awsfirelens", why);
        return Ok(());
    };
    let secrets = log.elements("secretOptions")?;
    let secrets = secrets.iter().map(|secret| secret.text_of("name"));
    let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
    let is_destination =
        |name: &str| DESTINATION_OPTIONS.contains(&name.to_ascii_lowercase().as_str());
    let secret = secrets
        .into_iter()
        .flatten()
        .find(|name| is_destination(name));
    if let Some(name) = secret {
        let why = format!("its host is a secret ({name} in secretOptions)");
        add_unchecked(input, plugin, &why);
        return Ok(());
    }
    if options.get("cloud_id").is_some() {
        let why = "its host is a secret (in Cloud_ID, which Elastic Cloud encodes)";
        add_unchecked(input, plugin, why);
        return Ok(());
    }
    match options.collector(plugin) {
        Ok(collector) => {
            if let Some(collector) = collector.filter(|collector| !is_loopback(&collector.host)) {
                let check = ReachabilityCheck {
                    dependency: Dependency::LogRouter,
                    host: collector.host,
                    port: collector.port,
                    tcp_only: !collector.tls,
                    subject: format!("log router output {plugin}"),
                };
                if !input.connections.contains(&check) {
                    input.connections.push(check);
                }
            }
            Ok(())
        }
        Err(UnknownCollector::InvalidRegion(error)) => {
            Err(log.error(format_args!("options.region: {error}")))
        }
        Err(UnknownCollector::NotInOptions(why)) => {
            add_unchecked(input, plugin, &why);
            Ok(())
        }
    }
}

/// Options of outputs that name the destination, or a part of it.
const DESTINATION_OPTIONS: [&str; 9] = [
    "host", "port", "endpoint", "base_uri", "url", "cloud_id", "region", "bucket", "domain",
];

fn add_unchecked(input: &mut PlanInput, subject: &str, why: &str) {
    let unchecked = Unchecked {
        dependency: Dependency::LogRouter,
        subject: shorten(subject),
        why: why.to_owned(),
    };
    if !input.unchecked.contains(&unchecked) {
        input.unchecked.push(unchecked);
    }
}

/// Options of `awsfirelens`, by lowercase name.
struct FirelensOptions(BTreeMap<String, String>);

/// Why the host of a log collector is unknown.
enum UnknownCollector {
    /// ECS would reject the Region.
    InvalidRegion(endpoints::InvalidRegion),
    /// The options do not name it; the reason, for the report.
    NotInOptions(String),
}

impl UnknownCollector {
    fn not_in_options(why: impl Into<String>) -> Self {
        Self::NotInOptions(why.into())
    }
}

/// The host that a log driver or log router writes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogCollector {
    pub host: String,
    pub port: u16,
    /// Whether it uses TLS with a certificate that the probe can verify.
    pub tls: bool,
}

impl LogCollector {
    fn https(host: String) -> Self {
        Self {
            host,
            port: 443,
            tls: true,
        }
    }
}

impl FirelensOptions {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the host that the output plugin writes to; `None` if it stays in the container.
    fn collector(&self, plugin: &str) -> Result<Option<LogCollector>, UnknownCollector> {
        const LOOPBACK: &str = "127.0.0.1";
        let collector = match plugin.to_ascii_lowercase().as_str() {
            "cloudwatch_logs" | "cloudwatch" => self.aws_service(Service::Logs),
            "kinesis_streams" | "kinesis" => self.aws_service(Service::KinesisStreams),
            "kinesis_firehose" | "firehose" => self.aws_service(Service::Firehose),
            "s3" => self.bucket(),
            "es" | "elasticsearch" | "opensearch" => self.host_or(LOOPBACK, 9200),
            "http" => self.host_or(LOOPBACK, 80),
            "splunk" | "splunk_hec" => self.host_or(LOOPBACK, 8088),
            "loki" => self.host_or(LOOPBACK, 3100),
            "forward" => self.host_or(LOOPBACK, 24224),
            "datadog" => {
                let port = if self.uses_tls() { 443 } else { 80 };
                self.host_or("http-intake.logs.datadoghq.com", port)
            }
            "nrlogs" => self.url_or("base_uri", "https://log-api.newrelic.com/log/v1"),
            "newrelic" => self.url_or("endpoint", "https://log-api.newrelic.com/log/v1"),
            "null" | "stdout" | "file" | "counter" => return Ok(None),
            _ if self.get("host").is_some() && self.get("port").is_some() => self.host_or("", 0),
            _ => Err(UnknownCollector::not_in_options(
                "the destination of this output is unknown to pullprobe",
            )),
        };
        collector.map(Some)
    }

    fn uses_tls(&self) -> bool {
        self.get("tls").is_some_and(|switch| {
            ["on", "true", "yes"].contains(&switch.to_ascii_lowercase().as_str())
        })
    }

    /// Returns the collector of `host` and `port`, with these defaults.
    fn host_or(
        &self,
        default_host: &str,
        default_port: u16,
    ) -> Result<LogCollector, UnknownCollector> {
        let host = self
            .get("host")
            .unwrap_or(default_host)
            .to_ascii_lowercase();
        let port = match self.get("port") {
            Some(port) => port.parse().map_err(|_| {
                UnknownCollector::not_in_options(format!("{:?} is not a port", shorten(port)))
            })?,
            None => default_port,
        };
        let skips_verification = self
            .get("tls.verify")
            .is_some_and(|switch| switch.eq_ignore_ascii_case("off"));
        let has_custom_roots =
            self.get("tls.ca_file").is_some() || self.get("tls.ca_path").is_some();
        Ok(LogCollector {
            host: check_host_name(host).map_err(UnknownCollector::NotInOptions)?,
            port,
            tls: self.uses_tls() && !skips_verification && !has_custom_roots,
        })
    }

    fn url_or(&self, name: &str, default: &str) -> Result<LogCollector, UnknownCollector> {
        parse_url(self.get(name).unwrap_or(default)).map_err(UnknownCollector::NotInOptions)
    }

    /// Returns the collector of `endpoint`, which is a host or a URL.
    fn endpoint(&self) -> Option<Result<LogCollector, UnknownCollector>> {
        let endpoint = self.get("endpoint")?;
        let collector = if endpoint.contains("://") {
            parse_url(endpoint)
        } else {
            parse_url(&format!("https://{endpoint}"))
        };
        Some(collector.map_err(UnknownCollector::NotInOptions))
    }

    fn region(&self) -> Result<Region, UnknownCollector> {
        let region = self
            .get("region")
            .ok_or_else(|| UnknownCollector::not_in_options("its options do not set a Region"))?;
        // Fluent Bit substitutes an environment variable for it.
        if region.starts_with("${") {
            return Err(UnknownCollector::not_in_options("its Region is a variable"));
        }
        region.parse().map_err(UnknownCollector::InvalidRegion)
    }

    fn aws_service(&self, service: Service) -> Result<LogCollector, UnknownCollector> {
        if let Some(endpoint) = self.endpoint() {
            return endpoint;
        }
        // The plugins choose this name whatever the IP versions of the task.
        let host = endpoints::api_host(service, &self.region()?, Variant::default());
        Ok(LogCollector::https(host))
    }

    fn bucket(&self) -> Result<LogCollector, UnknownCollector> {
        if let Some(endpoint) = self.endpoint() {
            return endpoint;
        }
        let bucket = self
            .get("bucket")
            .ok_or_else(|| UnknownCollector::not_in_options("its options do not set a bucket"))?;
        let bucket =
            check_host_name(bucket.to_ascii_lowercase()).map_err(UnknownCollector::NotInOptions)?;
        Ok(LogCollector::https(endpoints::bucket_host(
            &bucket,
            &self.region()?,
            Variant::default(),
        )))
    }
}

/// Whether the host is the task itself.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

/// Parses `http[s]://host[:port][/…]`.
pub(super) fn parse_url(url: &str) -> Result<LogCollector, String> {
    let invalid = || {
        format!(
            "{:?} is not a URL like https://collector.example.com:8088",
            shorten(url)
        )
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let (tls, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "https" => (true, 443),
        "http" => (false, 80),
        _ => return Err(invalid()),
    };
    let authority = rest
        .find(['/', '?', '#'])
        .map_or(rest, |path_start| &rest[..path_start]);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| invalid())?),
        _ => (authority, default_port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(LogCollector {
        host: check_host_name(host.to_ascii_lowercase()).map_err(|_| invalid())?,
        port,
        tls,
    })
}

/// Returns `name` if it is a host name or an IP address. Underscores are accepted: such names exist
/// in DNS, although host names must not have them.
fn check_host_name(name: String) -> Result<String, String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let is_name = name.len() <= 253 && name.trim_end_matches('.').split('.').all(is_label);
    if is_name || name.parse::<IpAddr>().is_ok() {
        Ok(name)
    } else {
        Err(format!("{:?} is not a host name", shorten(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_host_port_and_scheme_of_a_url() {
        let collector = |host: &str, port, tls| {
            Ok(LogCollector {
                host: host.into(),
                port,
                tls,
            })
        };
        assert_eq!(
            parse_url("https://Splunk.example.com:8088"),
            collector("splunk.example.com", 8088, true)
        );
        assert_eq!(
            parse_url("http://10.0.0.7/services/collector"),
            collector("10.0.0.7", 80, false)
        );
        assert_eq!(
            parse_url("https://[fd00::7]:8088/"),
            collector("fd00::7", 8088, true)
        );
        for wrong in [
            "splunk.example.com",
            "tcp://x",
            "https://",
            "https://a b",
            "https://h:0x1",
            "https://u@h",
        ] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
