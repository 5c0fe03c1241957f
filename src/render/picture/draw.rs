//! Draws a picture in SVG: three columns, from the subnets over the routes to the services.

use maud::{Markup, PreEscaped, html};

use super::{HopState, PathHopKind, PictureSubnet, ServicePath, VpcPicture};
use crate::compare::summary::list_first;
use crate::render::style::status_mark;
use crate::render::svg::break_lines;
use crate::verdict::Status;

/// Maximum number of boxes of subnets. Those that fail come first; the matrix has all of them.
const MAX_BOXES: usize = 24;

/// Maximum number of failures listed in the box of a subnet.
const MAX_FAILURES: usize = 6;

/// Maximum number of objects listed in the box of a route.
const MAX_OBJECTS: usize = 6;

/// Maximum number of names of services listed together.
const MAX_SERVICES: usize = 12;

/// What a page and a file share.
pub(in crate::render) const STYLE: &str = include_str!("style.css");

/// The colors, which a standalone file needs. A page has its own style sheet with them.
const COLORS: &str = include_str!("colors.css");

/// Space between a box and its text.
const PADDING: u32 = 6;

/// Space between two boxes.
const GAP: u32 = 10;

/// A column of the drawing.
#[derive(Debug, Clone, Copy)]
struct Column {
    x: u32,
    width: u32,
}

impl Column {
    const fn right(self) -> u32 {
        self.x + self.width
    }
}

/// Positions and sizes. A page contains the picture in both layouts and shows the one that fits.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    class: &'static str,
    width: u32,
    subnets: Column,
    routes: Column,
    services: Column,
    /// Right side of the VPC.
    vpc_right: u32,
    /// Height of a line.
    line: u32,
    /// Width of ten characters. A character of a monospace font is 0.6 of the font size wide.
    ten_chars: u32,
    /// Radius of a mark on a line.
    radius: u32,
}

impl Layout {
    /// For a window of 760 pixels or more.
    pub const WIDE: Self = Self {
        class: "wide",
        width: 960,
        subnets: Column { x: 26, width: 322 },
        routes: Column { x: 452, width: 226 },
        services: Column { x: 744, width: 208 },
        vpc_right: 694,
        line: 18,
        ten_chars: 79,
        radius: 11,
    };

    /// For a phone.
    pub const NARROW: Self = Self {
        class: "narrow",
        width: 344,
        subnets: Column { x: 7, width: 104 },
        routes: Column { x: 140, width: 74 },
        services: Column { x: 232, width: 111 },
        vpc_right: 218,
        line: 14,
        ten_chars: 61,
        radius: 8,
    };

    fn chars(&self, column: Column) -> usize {
        ((column.width - 2 * PADDING) * 10 / self.ten_chars) as usize
    }
}

/// A line of text in a box.
struct Line {
    class: &'static str,
    text: String,
}

/// A box with its place.
struct Placed {
    top: u32,
    lines: Vec<Line>,
    height: u32,
}

impl Placed {
    /// Returns a box at the top of a column, with its lines broken.
    fn new(lines: Vec<Line>, column: Column, layout: &Layout) -> Self {
        let broken: Vec<Line> = lines
            .into_iter()
            .flat_map(|line| {
                let parts = break_lines(&line.text, layout.chars(column));
                let class = line.class;
                parts.into_iter().map(move |text| Line { class, text })
            })
            .collect();
        Self {
            top: 0,
            height: size(broken.len()) * layout.line + 2 * PADDING,
            lines: broken,
        }
    }

    fn middle(&self) -> u32 {
        self.top + self.height / 2
    }

    fn draw(&self, class: &str, column: Column, layout: &Layout) -> Markup {
        html! {
            g class=(class) {
                rect class="box" x=(column.x) y=(self.top) width=(column.width) height=(self.height) rx="5" {}
                @for (n, line) in self.lines.iter().enumerate() {
                    text class=(line.class) x=(column.x + PADDING)
                        y=(self.top + PADDING + layout.line * (size(n) + 1) - layout.line / 4) { (line.text) }
                }
            }
        }
    }
}

fn size(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX / 1024)
}

/// Subnets of one zone that are alike, and their box.
struct SubnetBox<'a> {
    like: &'a PictureSubnet,
    placed: Placed,
}

/// A route, the services behind it, and their boxes.
struct RouteBox<'a> {
    label: &'a str,
    services: Vec<(&'a str, HopState)>,
    placed: Placed,
    served: Placed,
}

/// A zone with the boxes of its subnets.
struct Zone<'a> {
    name: Option<&'a str>,
    subnets: Vec<SubnetBox<'a>>,
    top: u32,
    bottom: u32,
}

/// Draws the picture; `is_document` adds what a standalone file needs.
pub(super) fn picture(picture: &VpcPicture, layout: &Layout, is_document: bool) -> Markup {
    let header = layout.line + 8;
    let (mut zones, omitted) = zones(picture, layout);
    let mut routes = routes(picture, layout);
    let left_height = place_zones(&mut zones, header, layout);
    let right_height = place_routes(&mut routes, header);
    // The shorter column is centered.
    let shift = left_height.abs_diff(right_height) / 2;
    if left_height > right_height {
        for route in &mut routes {
            route.placed.top += shift;
            route.served.top += shift;
        }
    } else {
        for zone in &mut zones {
            zone.top += shift;
            zone.bottom += shift;
            for subnet in &mut zone.subnets {
                subnet.placed.top += shift;
            }
        }
    }
    let bottom = left_height.max(right_height);
    let note = (omitted > 0).then(|| format!("and {omitted} more subnets, which are not drawn"));
    let height = bottom + 12 + note.as_ref().map_or(0, |_| layout.line + 4);
    let title = match &picture.region {
        Some(region) => format!("VPC in {region}"),
        None => "VPC".to_owned(),
    };
    let description = picture.description();
    let label = format!("{title}: {description}");
    html! {
        svg.vpc.(layout.class) xmlns=[is_document.then_some("http://www.w3.org/2000/svg")]
            role="img" aria-label=(label) viewBox=(format!("0 0 {} {height}", layout.width))
            width=[is_document.then_some(layout.width)] height=[is_document.then_some(height)] {
            @if is_document {
                title { (title) }
                desc { (description) }
                style { (PreEscaped(COLORS)) (PreEscaped(STYLE)) }
                rect.page width=(layout.width) height=(height) {}
            }
            rect.vpc-frame x="1" y="1" width=(layout.vpc_right) height=(bottom + 8) rx="8" {}
            text.title x=(layout.subnets.x) y=(layout.line) { (title) }
            text.title x=(layout.services.x) y=(layout.line) { "Services" }
            @for zone in zones.iter().filter(|zone| zone.name.is_some()) {
                rect.zone x=(layout.subnets.x - 5) y=(zone.top) width=(layout.subnets.width + 10)
                    height=(zone.bottom - zone.top) rx="6" {}
                text.label x=(layout.subnets.x) y=(zone.top + layout.line - 2) { (zone.name.unwrap_or_default()) }
            }
            (edges(&zones, &routes, layout))
            @for subnet in zones.iter().flat_map(|zone| &zone.subnets) {
                (subnet.placed.draw(status_class(subnet.like.status), layout.subnets, layout))
            }
            @for route in &routes {
                (route.placed.draw("route", layout.routes, layout))
                (route.served.draw("service", layout.services, layout))
            }
            @if let Some(note) = note {
                text.label x=(layout.subnets.x) y=(bottom + layout.line + 6) { (note) }
            }
        }
    }
}

const fn status_class(status: Status) -> &'static str {
    match status {
        Status::Pass => "subnet",
        Status::Warn | Status::Inconclusive => "subnet odd",
        Status::Fail => "subnet bad",
    }
}

/// Returns the zones by name, each with its subnets, and how many subnets are not drawn.
fn zones<'a>(picture: &'a VpcPicture, layout: &Layout) -> (Vec<Zone<'a>>, usize) {
    let mut groups: Vec<(&PictureSubnet, usize)> = Vec::new();
    for subnet in &picture.subnets {
        let mut known = groups.iter_mut();
        match known.find(|(like, _)| is_alike(like, subnet)) {
            Some((_, others)) => *others += 1,
            None => groups.push((subnet, 0)),
        }
    }
    let left_out = groups.iter().skip(MAX_BOXES).map(|(_, others)| 1 + others);
    let omitted = picture.omitted + left_out.sum::<usize>();
    let mut zones: Vec<Zone<'_>> = Vec::new();
    for (like, others) in groups.into_iter().take(MAX_BOXES) {
        let subnet = SubnetBox {
            like,
            placed: Placed::new(subnet_lines(like, others), layout.subnets, layout),
        };
        let name = like.zone.as_deref();
        match zones.iter_mut().find(|zone| zone.name == name) {
            Some(zone) => zone.subnets.push(subnet),
            None => zones.push(Zone {
                name,
                subnets: vec![subnet],
                top: 0,
                bottom: 0,
            }),
        }
    }
    // A subnet of an unknown zone comes last.
    zones.sort_by_key(|zone| (zone.name.is_none(), zone.name));
    (zones, omitted)
}

fn is_alike(one: &PictureSubnet, other: &PictureSubnet) -> bool {
    one.zone == other.zone && one.status == other.status && one.paths == other.paths
}

fn subnet_lines(subnet: &PictureSubnet, others: usize) -> Vec<Line> {
    let line = |class, text: String| Line { class, text };
    let cidr = subnet.cidr.as_deref();
    // A subnet without a label is named by its CIDR block and zone, and the zone is drawn.
    let is_named_by_cidr = cidr.is_some_and(|cidr| subnet.name.starts_with(cidr));
    let name = cidr.filter(|_| is_named_by_cidr).unwrap_or(&subnet.name);
    let mut lines = vec![line(
        "title",
        format!("{} {name}", status_mark(subnet.status)),
    )];
    if let Some(cidr) = cidr.filter(|_| !is_named_by_cidr) {
        lines.push(line("label", cidr.to_owned()));
    }
    if others > 0 {
        lines.push(line("label", format!("and {others} more like it")));
    }
    let failures = failures(subnet);
    let more = failures.len().saturating_sub(MAX_FAILURES);
    lines.extend(failures.into_iter().take(MAX_FAILURES));
    if more > 0 {
        lines.push(line("failed", format!("and {more} more failures")));
    }
    lines
}

/// Returns what fails from a subnet, each failure once with the services that have it.
fn failures(subnet: &PictureSubnet) -> Vec<Line> {
    let mut found: Vec<(String, &'static str, Vec<&str>)> = Vec::new();
    for path in &subnet.paths {
        let Some(hop) = path.first_failure() else {
            continue;
        };
        let place = match hop.kind {
            PathHopKind::Name => format!("{}: ", hop.label),
            PathHopKind::Network | PathHopKind::Service => String::new(),
        };
        let object = hop.object.as_deref().map(|object| format!(" at {object}"));
        let what = format!("{place}{}{}", hop.note, object.unwrap_or_default());
        let mark = hop.state.mark();
        match found
            .iter_mut()
            .find(|(text, with, _)| *text == what && *with == mark)
        {
            Some((.., services)) => services.push(&path.service),
            None => found.push((what, mark, vec![&path.service])),
        }
    }
    found
        .into_iter()
        .map(|(what, mark, services)| Line {
            class: "failed",
            text: format!("{mark} {}: {what}", list_first(&services, MAX_SERVICES)),
        })
        .collect()
}

fn route_label(path: &ServicePath) -> &str {
    let mut hops = path.hops_of(PathHopKind::Network);
    hops.next().map_or("route unknown", |hop| &hop.label)
}

/// A route, as several subnets have it.
struct SharedRoute<'a> {
    label: &'a str,
    services: Vec<(&'a str, HopState)>,
    objects: Vec<&'a str>,
}

/// Returns the routes, each with its services.
fn routes<'a>(picture: &'a VpcPicture, layout: &Layout) -> Vec<RouteBox<'a>> {
    let mut found: Vec<SharedRoute<'_>> = Vec::new();
    for path in picture.subnets.iter().flat_map(|subnet| &subnet.paths) {
        let label = route_label(path);
        let index = found.iter().position(|known| known.label == label);
        let index = index.unwrap_or_else(|| {
            found.push(SharedRoute {
                label,
                services: Vec::new(),
                objects: Vec::new(),
            });
            found.len() - 1
        });
        let route = &mut found[index];
        let state = path.state(PathHopKind::Service);
        let mut known = route.services.iter_mut();
        match known.find(|(name, _)| *name == path.service) {
            Some((_, known)) => *known = of_several(*known, state),
            None => route.services.push((&path.service, state)),
        }
        let named = path.hops_of(PathHopKind::Network);
        for object in named.filter_map(|hop| hop.object.as_deref()) {
            if !route.objects.contains(&object) {
                route.objects.push(object);
            }
        }
    }
    found
        .into_iter()
        .map(|route| route_box(route, layout))
        .collect()
}

fn route_box<'a>(route: SharedRoute<'a>, layout: &Layout) -> RouteBox<'a> {
    let line = |class, text: String| Line { class, text };
    let mut lines = vec![line("title", route.label.to_owned())];
    let named = route.objects.iter().take(MAX_OBJECTS);
    lines.extend(named.map(|object| line("label", (*object).to_owned())));
    if let Some(more @ 1..) = route.objects.len().checked_sub(MAX_OBJECTS) {
        lines.push(line("label", format!("and {more} more")));
    }
    let served = route.services.iter().map(|(name, state)| {
        let class = if state.has_failures() { "failed" } else { "" };
        line(class, format!("{} {name}", state.mark()))
    });
    RouteBox {
        label: route.label,
        placed: Placed::new(lines, layout.routes, layout),
        served: Placed::new(served.collect(), layout.services, layout),
        services: route.services,
    }
}

/// Returns the state of a service that several subnets contact. A subnet whose route fails before
/// it says nothing about it.
fn of_several(one: HopState, other: HopState) -> HopState {
    match (one, other) {
        (HopState::NotReached, state) | (state, HopState::NotReached) => state,
        (one, other) => one.max(other),
    }
}

/// Places the zones below each other and returns where they end.
fn place_zones(zones: &mut [Zone<'_>], top: u32, layout: &Layout) -> u32 {
    let mut y = top;
    for zone in zones {
        zone.top = y;
        if zone.name.is_some() {
            y += layout.line + 4;
        }
        for subnet in &mut zone.subnets {
            subnet.placed.top = y;
            y += subnet.placed.height + 6;
        }
        zone.bottom = y;
        y += GAP;
    }
    y
}

/// Places the routes below each other and returns where they end.
fn place_routes(routes: &mut [RouteBox<'_>], top: u32) -> u32 {
    let mut y = top;
    for route in routes {
        let height = route.placed.height.max(route.served.height);
        route.placed.top = y + (height - route.placed.height) / 2;
        route.served.top = y + (height - route.served.height) / 2;
        y += height + GAP;
    }
    y
}

/// A line between two boxes.
struct Edge {
    state: HopState,
    /// The worst state of the services that the line stands for.
    worst: HopState,
    from: (u32, u32),
    to: (u32, u32),
}

fn edges(zones: &[Zone<'_>], routes: &[RouteBox<'_>], layout: &Layout) -> Markup {
    let subnets: Vec<&SubnetBox<'_>> = zones.iter().flat_map(|zone| &zone.subnets).collect();
    let mut edges: Vec<Edge> = Vec::new();
    for (column, subnet) in subnets.iter().enumerate() {
        for (row, route) in routes.iter().enumerate() {
            let states = states_of_route(subnet.like, route.label);
            let Some((state, worst)) = together(&states) else {
                continue;
            };
            edges.push(Edge {
                state,
                worst,
                from: (
                    layout.subnets.right(),
                    port(&subnet.placed, row, routes.len()),
                ),
                to: (layout.routes.x, port(&route.placed, column, subnets.len())),
            });
        }
    }
    for route in routes {
        let states: Vec<HopState> = route.services.iter().map(|(_, state)| *state).collect();
        let Some((state, worst)) = together(&states) else {
            continue;
        };
        let y = route.placed.middle();
        edges.push(Edge {
            state,
            worst,
            from: (layout.routes.right(), y),
            to: (layout.services.x, route.served.middle()),
        });
    }
    // What fails is drawn over what works.
    edges.sort_by_key(|edge| edge.state);
    html! { @for edge in &edges { (draw_edge(edge, layout)) } }
}

/// Returns where a line ends at a box with several lines.
fn port(placed: &Placed, n: usize, of: usize) -> u32 {
    placed.top + placed.height * (size(n) + 1) / (size(of) + 1)
}

/// Returns whether each of a subnet's services on this route is reached.
fn states_of_route(subnet: &PictureSubnet, label: &str) -> Vec<HopState> {
    let paths = subnet.paths.iter();
    paths
        .filter(|path| route_label(path) == label)
        .map(|path| match path.state(PathHopKind::Name) {
            HopState::Fails => HopState::Fails,
            name => name.max(path.state(PathHopKind::Network)),
        })
        .collect()
}

/// Returns the state of a line that stands for several services, and the worst of them. The boxes
/// say which fails.
fn together(states: &[HopState]) -> Option<(HopState, HopState)> {
    let reached: Vec<HopState> = states
        .iter()
        .copied()
        .filter(|state| *state != HopState::NotReached)
        .collect();
    let Some(worst) = reached.iter().copied().max() else {
        return states.first().map(|state| (*state, *state));
    };
    let all_fail = reached.iter().all(|state| *state == HopState::Fails);
    if worst == HopState::Fails && !all_fail {
        return Some((HopState::PartlyFails, worst));
    }
    Some((worst, worst))
}

fn draw_edge(edge: &Edge, layout: &Layout) -> Markup {
    let ((x1, y1), (x2, y2)) = (edge.from, edge.to);
    let middle = u32::midpoint(x1, x2);
    let (class, marked) = (edge.state.class(), edge.worst.class());
    // The point of the curve (cubic, with both controls in the middle) at 0.4 of its length.
    let mark_x = (216 * x1 + 720 * middle + 64 * x2) / 1_000;
    let mark_y = (648 * y1 + 352 * y2) / 1_000;
    let has_mark = edge.state != HopState::Works && edge.state != HopState::NotReached;
    let tip = x2 - 5;
    html! {
        path.edge.(class) d=(format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")) {}
        @if edge.state == HopState::Works {
            path.head d=(format!("M{tip} {}l5 4-5 4z", y2 - 4)) {}
        }
        @if has_mark {
            circle.mark.(marked) cx=(mark_x) cy=(mark_y) r=(layout.radius) {}
            text.on.(marked) x=(mark_x) y=(mark_y + layout.radius / 2) { (edge.worst.mark()) }
        }
    }
}
