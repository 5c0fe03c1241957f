//! The log driver awsfirelens: what the router's output writes to, where its options say so.
//!
//! Options are those of Fluent Bit's output plugins (their manual, "Outputs") and of AWS's own
//! plugins for it; they are written in any case. Fluentd's `@type` names plugins of the same
//! services.

use std::collections::BTreeMap;

use super::node::{Mistake, Node, shorten};
use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::Dependency;
use crate::plan::{PlanInput, ReachabilityCheck, Unchecked};

/// The containers with a `firelensConfiguration`.
pub(super) fn routers<'a>(containers: &[Node<'a>]) -> Result<Vec<Node<'a>>, Mistake> {
    let found = containers
        .iter()
        .map(|container| container.member("firelensConfiguration"));
    found.filter_map(Result::transpose).collect()
}

/// One router a task, of a type that ECS knows.
pub(super) fn check_routers(containers: &[Node<'_>]) -> Result<(), Mistake> {
    let routers = routers(containers)?;
    for router in &routers {
        router.needed("type")?.one_of(&["fluentbit", "fluentd"])?;
    }
    match routers.get(1) {
        Some(second) => Err(second.mistake("a task has one log router at most")),
        None => Ok(()),
    }
}

/// Adds what the container's output writes to.
pub(super) fn read(log: &Node<'_>, wanted: &mut PlanInput) -> Result<(), Mistake> {
    let entries = log.entries("options")?;
    let option = |(name, value): &(&str, Node<'_>)| {
        Ok((name.to_ascii_lowercase(), value.text()?.to_owned()))
    };
    let options = Options(entries.iter().map(option).collect::<Result<_, _>>()?);
    let Some(plugin) = options.get("name").or_else(|| options.get("@type")) else {
        leave_out(
            wanted,
            "awsfirelens",
            "its options name no output, so it is in the router's own configuration",
        );
        return Ok(());
    };
    match options.places(plugin) {
        Ok(places) => {
            for place in places.into_iter().filter(|place| !is_here(&place.host)) {
                let connection = ReachabilityCheck {
                    dependency: Dependency::LogRouter,
                    host: place.host,
                    port: place.port,
                    tcp_only: !place.tls,
                    subject: format!("log router output {plugin}"),
                };
                if !wanted.connections.contains(&connection) {
                    wanted.connections.push(connection);
                }
            }
            Ok(())
        }
        Err(Unknown::Region(error)) => Err(log.mistake(format_args!("options.region: {error}"))),
        Err(Unknown::Host(why)) => {
            leave_out(wanted, plugin, &why);
            Ok(())
        }
    }
}

fn leave_out(wanted: &mut PlanInput, subject: &str, why: &str) {
    let left_out = Unchecked {
        dependency: Dependency::LogRouter,
        subject: shorten(subject),
        why: why.to_owned(),
    };
    if !wanted.unchecked.contains(&left_out) {
        wanted.unchecked.push(left_out);
    }
}

/// By lower-case name.
struct Options(BTreeMap<String, String>);

/// Why no host is known.
enum Unknown {
    Region(String),
    Host(String),
}

/// A host, its port, and whether TLS is spoken there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl Options {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn places(&self, plugin: &str) -> Result<Vec<Place>, Unknown> {
        let one = |place| Ok(vec![place]);
        match plugin.to_ascii_lowercase().as_str() {
            "cloudwatch_logs" | "cloudwatch" => one(self.aws(Service::Logs)?),
            "kinesis_streams" | "kinesis" => one(self.aws(Service::KinesisStreams)?),
            "kinesis_firehose" | "firehose" => one(self.aws(Service::Firehose)?),
            "s3" => one(self.bucket()?),
            "es" | "elasticsearch" | "opensearch" => one(self.host("127.0.0.1", 9200)?),
            "http" => one(self.host("127.0.0.1", 80)?),
            "splunk" | "splunk_hec" => one(self.host("127.0.0.1", 8088)?),
            "loki" => one(self.host("127.0.0.1", 3100)?),
            "forward" => one(self.host("127.0.0.1", 24224)?),
            "datadog" => one(self.host(
                "http-intake.logs.datadoghq.com",
                if self.tls() { 443 } else { 80 },
            )?),
            "nrlogs" => one(self.url("base_uri", "https://log-api.newrelic.com/log/v1")?),
            "newrelic" => one(self.url("endpoint", "https://log-api.newrelic.com/log/v1")?),
            "null" | "stdout" | "file" | "counter" => Ok(Vec::new()),
            _ => match self.get("host") {
                Some(_) if self.get("port").is_some() => one(self.host("", 0)?),
                _ => Err(Unknown::Host(
                    "what this output writes to is not known here".into(),
                )),
            },
        }
    }

    fn tls(&self) -> bool {
        self.get("tls").is_some_and(|switch| {
            ["on", "true", "yes"].contains(&switch.to_ascii_lowercase().as_str())
        })
    }

    fn host(&self, default: &str, port: u16) -> Result<Place, Unknown> {
        let host = self.get("host").unwrap_or(default).to_ascii_lowercase();
        let port = match self.get("port") {
            Some(port) => port
                .parse()
                .map_err(|_| Unknown::Host(format!("{:?} is no port", shorten(port))))?,
            None => port,
        };
        let verified = !self
            .get("tls.verify")
            .is_some_and(|switch| switch.eq_ignore_ascii_case("off"));
        let own_roots = self.get("tls.ca_file").is_some() || self.get("tls.ca_path").is_some();
        Ok(Place {
            host: host_name(&host).map_err(Unknown::Host)?,
            port,
            tls: self.tls() && verified && !own_roots,
        })
    }

    fn url(&self, name: &str, default: &str) -> Result<Place, Unknown> {
        place_of(self.get(name).unwrap_or(default)).map_err(Unknown::Host)
    }

    /// `endpoint` is a host or a URL.
    fn endpoint(&self) -> Option<Result<Place, Unknown>> {
        let given = self.get("endpoint")?;
        let url = if given.contains("://") {
            given.to_owned()
        } else {
            format!("https://{given}")
        };
        Some(place_of(&url).map_err(Unknown::Host))
    }

    fn region(&self) -> Result<Region, Unknown> {
        let named = self
            .get("region")
            .ok_or_else(|| Unknown::Host("its options name no region".into()))?;
        // Fluent Bit puts variables of its environment there.
        if named.starts_with("${") {
            return Err(Unknown::Host("its region is a variable".into()));
        }
        named.parse().map_err(Unknown::Region)
    }

    fn aws(&self, service: Service) -> Result<Place, Unknown> {
        if let Some(endpoint) = self.endpoint() {
            return endpoint;
        }
        let host = endpoints::api_host(service, &self.region()?, Variant::default());
        Ok(Place {
            host,
            port: 443,
            tls: true,
        })
    }

    fn bucket(&self) -> Result<Place, Unknown> {
        if let Some(endpoint) = self.endpoint() {
            return endpoint;
        }
        let bucket = self
            .get("bucket")
            .ok_or_else(|| Unknown::Host("its options name no bucket".into()))?;
        let bucket = host_name(&bucket.to_ascii_lowercase()).map_err(Unknown::Host)?;
        Ok(Place {
            host: endpoints::bucket_host(&bucket, &self.region()?),
            port: 443,
            tls: true,
        })
    }
}

/// In the task itself.
fn is_here(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

/// Host, port and scheme of `http[s]://host[:port][/…]`.
pub(super) fn place_of(url: &str) -> Result<Place, String> {
    let wrong = || {
        format!(
            "{:?} is no URL such as https://collector.example.com:8088",
            shorten(url)
        )
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let (tls, usual) = match scheme.to_ascii_lowercase().as_str() {
        "https" => (true, 443),
        "http" => (false, 80),
        _ => return Err(wrong()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (authority, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Place {
        host: host_name(&host.to_ascii_lowercase()).map_err(|_| wrong())?,
        port,
        tls,
    })
}

/// A name or an address. Names with underscores exist, below the rules for hosts.
fn host_name(name: &str) -> Result<String, String> {
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let plain = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    if is_address || (name.len() <= 253 && name.trim_end_matches('.').split('.').all(plain)) {
        return Ok(name.to_owned());
    }
    Err(format!("{:?} is no host name", shorten(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_a_port_and_tls_or_not() {
        let place = |host: &str, port, tls| {
            Ok(Place {
                host: host.into(),
                port,
                tls,
            })
        };
        assert_eq!(
            place_of("https://Splunk.example.com:8088"),
            place("splunk.example.com", 8088, true)
        );
        assert_eq!(
            place_of("http://10.0.0.7/services/collector"),
            place("10.0.0.7", 80, false)
        );
        assert_eq!(
            place_of("https://[fd00::7]:8088/"),
            place("fd00::7", 8088, true)
        );
        for wrong in [
            "splunk.example.com",
            "tcp://x",
            "https://",
            "https://a b",
            "https://h:0x1",
            "https://u@h",
        ] {
            assert!(place_of(wrong).is_err(), "{wrong}");
        }
    }
}
