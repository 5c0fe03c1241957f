//! A picture of a plan in SVG: what starts the task, its subnet, and through which endpoint or
//! route it reaches each host. One column, so that it can be read on a phone; no script, font or
//! image.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::replace_control_characters;
use super::svg::break_lines;
use crate::endpoints::vpc_endpoint_service;
use crate::network_location::IpFamily;
use crate::observation::{Dependency, TargetKey};
use crate::plan::requirements::{
    EndpointType, IamRole, OtherHost, OutsideVpc, Requirements, VpcEndpoint, opens_from_task,
};
use crate::plan::{Plan, Target};

/// Units of the drawing; one is a pixel on a phone.
const WIDTH: u32 = 400;
/// Position of the line from the subnet to the routes.
const SPINE_X: u32 = 18;
/// Left side of the boxes of routes.
const ROUTE_X: u32 = 40;
/// Space between a box and its text.
const PADDING: u32 = 10;
/// Height of a line of text.
const LINE: u32 = 17;
/// Space between two boxes.
const GAP: u32 = 14;
/// Characters of a line in a box: its width divided by that of a monospace character.
const LINE_CHARS: usize = 44;
/// Width of the drawing in pixels, where there is room.
const SHOWN_WIDTH: u32 = 640;

const STYLE: &str = include_str!("plan_picture.css");

/// A box with a title and lines.
struct DrawnBox {
    class: &'static str,
    title: String,
    entries: Vec<Entry>,
}

/// A host, or a remark, in a box.
struct Entry {
    /// The dependency or the purpose.
    label: String,
    /// The host and port, or the remark.
    text: String,
    /// Whether the probe checks the host.
    is_checked: bool,
}

/// Returns the picture.
pub fn render(plan: &Plan, requirements: &Requirements) -> String {
    let start = DrawnBox {
        class: "start",
        title: title_of_start(plan),
        entries: start_entries(plan, requirements),
    };
    let subnet = DrawnBox {
        class: "subnet",
        title: match plan.ip_family {
            IpFamily::Ipv4 => "Subnet (IPv4)".into(),
            IpFamily::DualStack => "Dual-stack subnet".into(),
            IpFamily::Ipv6 => "IPv6-only subnet".into(),
        },
        entries: Vec::new(),
    };
    let routes = routes(plan, requirements);
    let mut drawing = Vec::new();
    let mut y = 4;
    y = draw_box(&mut drawing, &start, y, 4);
    drawing.push(arrow((SPINE_X, y), (SPINE_X, y + GAP)));
    y = draw_box(&mut drawing, &subnet, y + GAP, 4);
    let spine_start = y;
    let mut spine_end = y;
    for route in &routes {
        y += GAP;
        spine_end = y + PADDING + LINE / 2;
        drawing.push(arrow((SPINE_X, spine_end), (ROUTE_X, spine_end)));
        y = draw_box(&mut drawing, route, y, ROUTE_X);
    }
    let height = y + 4;
    let description = description(&start, &routes);
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="plan-title plan-description"
            viewBox=(format!("0 0 {WIDTH} {height}")) width=(SHOWN_WIDTH)
            height=(height * SHOWN_WIDTH / WIDTH) {
            title id="plan-title" { (format!("What an ECS task in {} contacts to start", plan.region)) }
            desc id="plan-description" { (description) }
            style { (PreEscaped(STYLE)) }
            defs {
                marker id="plan-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
                    orient="auto" { path d="M0 0L8 4L0 8z" class="head" {} }
            }
            rect class="page" width=(WIDTH) height=(height) {}
            path class="line" d=(format!("M{SPINE_X} {spine_start}V{spine_end}")) {}
            @for part in &drawing { (part) }
        }
    };
    let mut text = replace_control_characters(&picture.into_string());
    text.push('\n');
    text
}

fn title_of_start(plan: &Plan) -> String {
    if plan.host.is_instance() {
        format!("Container instance ({})", plan.host.launch_type_names())
    } else if plan.host.is_unknown() {
        "Task (launch type unknown, drawn for Fargate)".into()
    } else {
        "Task on Fargate".into()
    }
}

fn start_entries(plan: &Plan, requirements: &Requirements) -> Vec<Entry> {
    let remark = |label: &str, text: String| Entry {
        label: label.to_owned(),
        text,
        is_checked: true,
    };
    let platform = &plan.platform;
    let platform = if plan.host.has_unknown_platform {
        format!("unknown, {platform} assumed")
    } else {
        platform.to_string()
    };
    let role = requirements.role(IamRole::Execution);
    vec![
        remark("Region", plan.region.to_string()),
        remark("Platform", platform),
        remark("Pulls and logs with", format!("the {role}")),
    ]
}

/// Returns the endpoints and routes, with the hosts behind each.
fn routes(plan: &Plan, requirements: &Requirements) -> Vec<DrawnBox> {
    let checked = |target: &Target| checked(plan, target);
    let target = |key: &TargetKey| plan.targets.iter().find(|target| target.key == *key);
    let mut routes: Vec<DrawnBox> = requirements
        .endpoints
        .iter()
        .map(|endpoint| {
            let served = endpoint.targets.iter().filter_map(target).map(checked);
            let others = requirements.other_hosts.iter();
            let others = others.filter(|other| is_served(plan, endpoint, other));
            DrawnBox {
                class: "endpoint",
                title: match endpoint.endpoint_type {
                    EndpointType::Interface => format!("Interface endpoint {}", endpoint.service),
                    EndpointType::Gateway => format!("Gateway endpoint {}", endpoint.service),
                },
                entries: served.chain(others.map(unchecked)).collect(),
            }
        })
        .collect();
    let mounts = plan.targets.iter();
    let mounts = mounts.filter(|target| target.dependency == Dependency::Efs);
    let windows = plan.windows_file_systems.iter().map(|file_system| Entry {
        label: "FSx".into(),
        text: format!("{file_system} TCP 445"),
        is_checked: false,
    });
    let (own, internet): (Vec<_>, Vec<_>) = requirements
        .outside_vpc
        .iter()
        .partition(|host| host.is_private_address());
    let outside = |hosts: Vec<&OutsideVpc>| -> Vec<Entry> {
        let entries = |host: &OutsideVpc| {
            let behind = requirements.hosts_behind(&host.target).map(unchecked);
            target(&host.target)
                .map(checked)
                .into_iter()
                .chain(behind)
                .collect::<Vec<_>>()
        };
        hosts.into_iter().flat_map(entries).collect()
    };
    let foreign = requirements.hosts_of_foreign_layers().map(unchecked);
    let remarks = plan.unchecked.iter().map(|one| Entry {
        label: format!("{} {}", one.dependency, one.subject),
        text: one.why.clone(),
        is_checked: false,
    });
    for (class, title, entries) in [
        (
            "inside",
            "File systems in the VPC",
            mounts.map(checked).chain(windows).collect(),
        ),
        (
            "internet",
            "NAT gateway or internet gateway",
            outside(internet).into_iter().chain(foreign).collect(),
        ),
        ("inside", "A route in your own network", outside(own)),
        ("unchecked", "Not checked", remarks.collect::<Vec<_>>()),
    ] {
        if !entries.is_empty() {
            routes.push(DrawnBox {
                class,
                title: title.to_owned(),
                entries,
            });
        }
    }
    routes
}

fn is_served(plan: &Plan, endpoint: &VpcEndpoint, other: &OtherHost) -> bool {
    other
        .service
        .is_some_and(|service| vpc_endpoint_service(service, &plan.region) == endpoint.service)
}

fn checked(plan: &Plan, target: &Target) -> Entry {
    let origin = if opens_from_task(plan, target) {
        ", from the task's own interface"
    } else {
        ""
    };
    Entry {
        label: format!("{}{origin}", target.dependency),
        text: target.to_string(),
        is_checked: true,
    }
}

fn unchecked(other: &OtherHost) -> Entry {
    Entry {
        label: format!("{}, not checked", other.purpose),
        text: format!("{}:{}", other.host, other.port),
        is_checked: false,
    }
}

/// Returns the picture as text, for screen readers.
fn description(start: &DrawnBox, routes: &[DrawnBox]) -> String {
    let mut text = format!("{}, through its subnet, contacts:", start.title);
    for route in routes {
        let hosts: Vec<_> = route
            .entries
            .iter()
            .map(|entry| format!("{} ({})", entry.text, entry.label))
            .collect();
        let _ = write!(text, " {}: {}.", route.title, hosts.join(", "));
    }
    text
}

/// Draws the box at this place, and returns where it ends.
fn draw_box(drawing: &mut Vec<Markup>, drawn: &DrawnBox, top: u32, left: u32) -> u32 {
    let mut y = top + PADDING;
    let mut texts = Vec::new();
    let mut add = |class: &str, text: &str| {
        let lines = break_lines(text, LINE_CHARS);
        y += LINE;
        let baseline = y - 4;
        y += LINE * u32::try_from(lines.len().saturating_sub(1)).unwrap_or(0);
        let x = left + PADDING;
        texts.push(html! {
            text class=(class) x=(x) y=(baseline) {
                @for (n, line) in lines.iter().enumerate() {
                    tspan x=(x) dy=(if n == 0 { 0 } else { LINE }) { (line) }
                }
            }
        });
    };
    add("title", &drawn.title);
    let mut last_label = "";
    for entry in &drawn.entries {
        if entry.label != last_label {
            add("label", &entry.label);
        }
        last_label = &entry.label;
        add(
            if entry.is_checked {
                "host"
            } else {
                "host other"
            },
            &entry.text,
        );
    }
    let bottom = y + PADDING;
    drawing.push(html! {
        g class=(drawn.class) {
            rect class="box" x=(left) y=(top) width=(WIDTH - left - 4) height=(bottom - top) rx="6" {}
            @for text in &texts { (text) }
        }
    });
    bottom
}

fn arrow(from: (u32, u32), to: (u32, u32)) -> Markup {
    let ((x1, y1), (x2, y2)) = (from, to);
    html! { path class="line arrow" d=(format!("M{x1} {y1}L{x2} {y2}")) {} }
}
