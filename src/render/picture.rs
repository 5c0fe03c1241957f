//! The VPC as a picture: subnets by Availability Zone, the route out of each, the services behind
//! it, and the hop that fails.
//!
//! A picture is drawn from what a probe saw, so it names no object of the VPC. A caller that has
//! read the configuration fills in [`PathHop::object`] and [`PathHop::note`] with
//! [`VpcPicture::hops_mut`].

mod draw;

use maud::Markup;

use super::comparison::FactsOfDependency;
use super::replace_control_characters;
use crate::cause::Family;
use crate::compare::ComparisonOutput;
use crate::compare::comparison::VantageSummary;
use crate::compare::fact::FactValue;
use crate::compare::report_view::ReportView;
use crate::explain::Explanation;
use crate::network_location::is_public;
use crate::observation::Dependency;
use crate::redact::shorten;
use crate::verdict::Status;

pub use draw::Layout;
pub(super) use draw::STYLE;

/// Maximum number of subnets in a picture. More cannot be distinguished on a screen; the matrix has
/// all of them.
const MAX_SUBNETS: usize = 200;

/// Maximum number of characters of a text in a picture: more than the longest ID and host name that
/// are drawn.
const MAX_TEXT_CHARS: usize = 200;

/// The subnets of a VPC, and what is reached from each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VpcPicture {
    /// The Region, if all subnets are in one.
    pub region: Option<String>,
    /// The subnets, the worst first.
    pub subnets: Vec<PictureSubnet>,
    /// Subnets that were left out.
    pub omitted: usize,
}

/// One subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureSubnet {
    /// Name of the vantage in the comparison, which is unique.
    pub name: String,
    /// Availability Zone.
    pub zone: Option<String>,
    /// CIDR block.
    pub cidr: Option<String>,
    /// Status of the latest report.
    pub status: Status,
    /// What the task contacts, in the order in which it starts.
    pub paths: Vec<ServicePath>,
}

/// The path from a subnet to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePath {
    /// Name of the dependency, such as `ecr.api`.
    pub service: String,
    /// Host name; empty if it is not known.
    pub host: String,
    /// The hops in order. There is at least one of each kind; several of one kind are drawn as one,
    /// with the worst state of them.
    pub hops: Vec<PathHop>,
}

/// A hop on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathHop {
    /// Where it is drawn.
    pub kind: PathHopKind,
    /// What it is, such as `DNS`, `NAT or internet gateway`, `security group`.
    pub label: String,
    /// ID of the object that decides, such as `sg-…` or `vpce-…`, if the configuration was read.
    pub object: Option<String>,
    /// Whether the hop lets the task through.
    pub state: HopState,
    /// What happened, or the object's rule; may be empty.
    pub note: String,
}

/// Where a hop is drawn, in the order in which a task passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathHopKind {
    /// In the subnet: DNS.
    Name,
    /// Between subnet and service: route, filters and endpoint.
    Network,
    /// At the service: TLS, policies, and the image, secret or log group itself.
    Service,
}

/// Whether a hop lets the task through, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HopState {
    /// It works.
    Works,
    /// Its state is unknown.
    Unknown,
    /// An earlier hop failed.
    NotReached,
    /// Some addresses fail.
    PartlyFails,
    /// It fails here.
    Fails,
}

impl HopState {
    /// Returns the CSS class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Unknown => "unknown",
            Self::NotReached => "not-reached",
            Self::PartlyFails => "partly",
            Self::Fails => "broken",
        }
    }

    /// Returns the mark, which says the same without color.
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Works => "✓",
            Self::Unknown => "?",
            Self::NotReached => "–",
            Self::PartlyFails => "!",
            Self::Fails => "✗",
        }
    }

    /// Whether the hop fails for at least some addresses.
    pub const fn has_failures(self) -> bool {
        matches!(self, Self::PartlyFails | Self::Fails)
    }

    fn of<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        match values.map(FactValue::parse).max() {
            Some(FactValue::Failed(_)) => Self::Fails,
            Some(FactValue::Partly(_)) => Self::PartlyFails,
            Some(FactValue::NotReached) => Self::NotReached,
            Some(FactValue::Passed(_)) => Self::Works,
            Some(FactValue::NotChecked) | None => Self::Unknown,
        }
    }
}

impl ServicePath {
    /// Returns the path of a vantage to a dependency, from the values of the dependency's phases;
    /// `None` for what has no path through the subnet, such as the clock.
    pub fn new(service: &str, phases: &[(&str, &str)], report: &ReportView<'_>) -> Option<Self> {
        let in_network = ["resolve", "connect"];
        phases
            .iter()
            .find(|(phase, _)| in_network.contains(phase))?;
        let values = |wanted: &dyn Fn(&str) -> bool| {
            let wanted = phases.iter().filter(|(phase, _)| wanted(phase));
            wanted.copied().collect::<Vec<_>>()
        };
        let hop = |kind, label: String, phases: &[(&str, &str)]| {
            let failed = phases
                .iter()
                .find(|(_, value)| FactValue::parse(value).has_failures());
            PathHop {
                kind,
                label,
                object: None,
                state: HopState::of(phases.iter().map(|(_, value)| *value)),
                note: failed.map_or_else(String::new, |(phase, value)| match kind {
                    PathHopKind::Service => text(&format!("{phase}: {value}")),
                    _ => text(value),
                }),
            }
        };
        let observations = || report.observations.iter();
        let mut hosts = observations()
            .filter(|o| &*o.dependency == service)
            .map(|o| &*o.host);
        let resolve = phases.iter().find(|(phase, _)| *phase == "resolve");
        let scope = match resolve.map(|(_, value)| FactValue::parse(value)) {
            Some(FactValue::Passed(scope)) => scope.unwrap_or_default(),
            _ => "",
        };
        let resolver = report.vantage.resolvers.first();
        let resolver = resolver.map(|resolver| format!("DNS {}", &**resolver));
        Some(Self {
            service: text(service),
            host: text(hosts.find(|host| !host.is_empty()).unwrap_or_default()),
            hops: vec![
                hop(
                    PathHopKind::Name,
                    text(&resolver.unwrap_or_else(|| "DNS".into())),
                    &values(&|phase| phase == "resolve"),
                ),
                hop(
                    PathHopKind::Network,
                    route_label(service, scope).into(),
                    &values(&|phase| phase == "connect"),
                ),
                hop(
                    PathHopKind::Service,
                    text(service),
                    &values(&|phase| !in_network.contains(&phase)),
                ),
            ],
        })
    }

    /// Returns the hops of a kind.
    pub fn hops_of(&self, kind: PathHopKind) -> impl Iterator<Item = &PathHop> {
        self.hops.iter().filter(move |hop| hop.kind == kind)
    }

    /// Returns the worst state of the hops of a kind.
    pub fn state(&self, kind: PathHopKind) -> HopState {
        let states = self.hops_of(kind).map(|hop| hop.state);
        states.max().unwrap_or(HopState::Unknown)
    }

    /// Returns the first hop that fails: for all addresses, if there is one.
    pub fn first_failure(&self) -> Option<&PathHop> {
        let mut hops = self.hops.iter();
        let whole = hops.find(|hop| hop.state == HopState::Fails);
        whole.or_else(|| self.hops.iter().find(|hop| hop.state.has_failures()))
    }
}

/// Returns the route that addresses of this scope suggest. A task cannot see more: Amazon S3 has
/// public addresses behind a gateway endpoint too, and a private address may be that of an
/// interface VPC endpoint or of any other host.
const fn route_label(service: &str, scope: &str) -> &'static str {
    match scope.as_bytes() {
        b"private" => "interface endpoint or other private address",
        b"public" if matches!(service.as_bytes(), b"s3" | b"environment-file") => {
            "S3 gateway endpoint, NAT or internet gateway"
        }
        b"public" => "NAT or internet gateway",
        b"private and public" => "private and public addresses",
        _ => "route unknown",
    }
}

/// Returns what fails, as far as the family of a message shows it.
const fn failure_of(family: Family) -> &'static str {
    match family {
        Family::Resolve => "the name does not resolve",
        Family::Network => "the connection fails",
        Family::Tls => "TLS fails",
        Family::Permission => "denied",
        Family::Image => "the image is not available",
        Family::Secret => "the secret is not available",
        Family::Logs => "the log group is missing",
        Family::Limit => "rate limited",
        Family::Credentials | Family::Storage | Family::Placement | Family::Unknown => "fails",
    }
}

fn text(text: &str) -> String {
    shorten(text, MAX_TEXT_CHARS).to_owned()
}

impl PictureSubnet {
    /// Returns a vantage as a subnet.
    pub(super) fn new(
        vantage: &VantageSummary,
        dependencies: &[FactsOfDependency<'_>],
        report: &ReportView<'_>,
    ) -> Self {
        let paths = dependencies.iter().filter_map(|dependency| {
            let phases = dependency.values_at(&vantage.name);
            ServicePath::new(dependency.name, &phases, report)
        });
        Self {
            name: text(&vantage.name),
            zone: vantage.availability_zone.as_deref().map(text),
            cidr: vantage.subnet_cidr.as_deref().map(text),
            status: vantage.status,
            paths: paths.collect(),
        }
    }
}

impl VpcPicture {
    /// Returns the picture of a comparison's latest reports.
    pub fn of(output: &ComparisonOutput) -> Self {
        let comparison = &output.comparison;
        let dependencies = FactsOfDependency::all(comparison);
        let mut regions: Vec<String> = Vec::new();
        let mut subnets = Vec::new();
        for (n, vantage) in comparison.vantages.iter().enumerate().take(MAX_SUBNETS) {
            let Some(report) = output.latest_report(n) else {
                continue;
            };
            subnets.push(PictureSubnet::new(vantage, &dependencies, &report));
            let region = report.vantage.region.as_deref().map(text);
            regions.extend(region.filter(|region| !regions.contains(region)));
        }
        // A vantage whose probe did not start has nothing to draw.
        subnets.retain(|subnet| !subnet.paths.is_empty());
        Self {
            region: regions.pop().filter(|_| regions.is_empty()),
            subnets,
            omitted: comparison.vantages.len().saturating_sub(MAX_SUBNETS),
        }
    }

    /// Returns what the message of a stopped task shows; `None` if it names no service, or failed
    /// outside of the network.
    pub fn of_explanation(explanation: &Explanation) -> Option<Self> {
        use HopState::{Fails, NotReached, Unknown, Works};
        let dependency = explanation
            .dependency
            .filter(|_| !explanation.had_started)?;
        if matches!(
            dependency,
            Dependency::Credentials | Dependency::Metadata | Dependency::Clock
        ) {
            return None;
        }
        let resolved = if explanation.peer.is_some() {
            Works
        } else {
            Unknown
        };
        // An answer, even a denial, came over a path that works.
        let [name_state, network_state, service_state] = match explanation.family {
            Family::Resolve => [Fails, NotReached, NotReached],
            Family::Network => [resolved, Fails, NotReached],
            Family::Tls
            | Family::Permission
            | Family::Image
            | Family::Secret
            | Family::Logs
            | Family::Limit => [Works, Works, Fails],
            Family::Credentials | Family::Storage | Family::Placement | Family::Unknown => {
                return None;
            }
        };
        let scope = match (explanation.peer, &explanation.owner) {
            (Some(_), Some(_)) => "public",
            (Some(peer), None) if is_public(peer) => "public",
            (Some(_), None) => "private",
            (None, _) => "",
        };
        let service = dependency.name();
        let hop = |kind, label: &str, state| PathHop {
            kind,
            label: label.into(),
            object: None,
            state,
            note: if state == Fails {
                failure_of(explanation.family).into()
            } else {
                String::new()
            },
        };
        let path = ServicePath {
            service: service.into(),
            host: explanation.host.as_deref().map(text).unwrap_or_default(),
            hops: vec![
                hop(PathHopKind::Name, "DNS", name_state),
                hop(
                    PathHopKind::Network,
                    route_label(service, scope),
                    network_state,
                ),
                hop(PathHopKind::Service, service, service_state),
            ],
        };
        Some(Self {
            region: None,
            subnets: vec![PictureSubnet {
                name: "the task's subnet".into(),
                zone: None,
                cidr: None,
                status: Status::Fail,
                paths: vec![path],
            }],
            omitted: 0,
        })
    }

    /// Returns the subnet of a vantage.
    pub fn subnet(&self, vantage: &str) -> Option<&PictureSubnet> {
        let name = text(vantage);
        self.subnets.iter().find(|subnet| subnet.name == name)
    }

    /// Returns the hops of a vantage's path to a dependency, to add hops or to name their objects;
    /// `None` if the picture does not have the path.
    pub fn hops_mut(&mut self, vantage: &str, dependency: &str) -> Option<&mut Vec<PathHop>> {
        let name = text(vantage);
        let mut subnets = self.subnets.iter_mut();
        let subnet = subnets.find(|subnet| subnet.name == name)?;
        let mut paths = subnet.paths.iter_mut();
        let path = paths.find(|path| path.service == dependency)?;
        Some(&mut path.hops)
    }

    /// Draws the picture for a page.
    pub(super) fn drawn(&self, layout: &Layout) -> Markup {
        draw::picture(self, layout, false)
    }

    /// Returns the picture as an SVG document.
    pub fn svg(&self) -> String {
        let markup = draw::picture(self, &Layout::WIDE, true);
        let mut text = replace_control_characters(&markup.into_string());
        text.push('\n');
        text
    }

    /// Describes the picture in words, for screen readers.
    pub(super) fn description(&self) -> String {
        let failing: Vec<String> = self
            .subnets
            .iter()
            .flat_map(|subnet| {
                subnet.paths.iter().filter_map(|path| {
                    let hop = path.first_failure()?;
                    let place = match hop.kind {
                        PathHopKind::Name => "at DNS",
                        PathHopKind::Network => "in the network",
                        PathHopKind::Service => "at the service",
                    };
                    let (name, service, note) = (&subnet.name, &path.service, &hop.note);
                    Some(format!("from {name}, {service} fails {place} ({note})"))
                })
            })
            .take(MAX_DESCRIBED)
            .collect();
        let count = self.subnets.len() + self.omitted;
        let subnets = if count == 1 { "subnet" } else { "subnets" };
        if failing.is_empty() {
            format!("{count} {subnets}; no path fails.")
        } else {
            format!("{count} {subnets}; {}.", failing.join("; "))
        }
    }
}

/// Maximum number of failing paths in a description.
const MAX_DESCRIBED: usize = 12;

/// Renders the picture of a comparison as an SVG document.
pub fn render(output: &ComparisonOutput) -> String {
    VpcPicture::of(output).svg()
}
