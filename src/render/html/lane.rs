//! The network path to one dependency as a drawing: task → DNS → route → service, with the hop that
//! fails marked.

use maud::{Markup, html};

use crate::render::picture::{HopState, PathHop, PathHopKind, ServicePath};

/// Left edge and width of each node. Gaps of 22 leave room for a mark; the last node has room for
/// the longest dependency, `secretsmanager`.
const NODES: [(i32, i32); 4] = [(1, 60), (83, 60), (165, 70), (257, 86)];

const HEIGHT: i32 = 40;
const TOP: i32 = 4;

/// Width of a character of a node's second line, at its font size of 10.5.
const CHAR_WIDTH: i32 = 6;

const KINDS: [PathHopKind; 3] = [
    PathHopKind::Name,
    PathHopKind::Network,
    PathHopKind::Service,
];

/// Draws the path of a task with this address.
pub(super) fn draw(path: &ServicePath, task: &str, addresses: usize) -> Markup {
    let states = KINDS.map(|kind| path.state(kind));
    let labels = KINDS.map(|kind| path.hops_of(kind).next().map_or("", |hop| &hop.label));
    let [name, route, _] = labels;
    let count = format!("{addresses} addresses");
    let route_lines = if addresses > 1 && route.starts_with("interface") {
        ["private", count.as_str()]
    } else {
        short_route(route, &path.service)
    };
    let labels = [
        ["task", task],
        ["DNS", name.strip_prefix("DNS ").unwrap_or("resolver")],
        route_lines,
        ["service", &path.service],
    ];
    let (state, words) = result(path, states);
    let description = format!("{}: task, DNS, {route}, service; {words}", path.service);
    let stops = |state: &HopState| matches!(state, HopState::Fails | HopState::NotReached);
    let reachable = states.iter().position(stops).unwrap_or(states.len());
    let objects = path.hops.iter().filter(|hop| hop.object.is_some());
    html! {
        figure.lane {
            figcaption { b { (path.service) } " " span.host { (path.host) } }
            svg viewBox="0 0 344 48" role="img" aria-label=(description) {
                @for (n, label) in labels.into_iter().enumerate() {
                    @if let Some(state) = states.get(n) { (edge(n, *state)) }
                    (node(n, label, n <= reachable))
                }
            }
            p.result.(result_class(state)) { b { (state.mark()) } " " (words) }
            ul.objects { @for hop in objects { (object(hop)) } }
        }
    }
}

/// Returns the route as the two lines of a node.
fn short_route(route: &str, service: &str) -> [&'static str; 2] {
    match route {
        route if route.starts_with("interface") => ["private", "address"],
        route if route.starts_with("S3 gateway") || service == "s3" && route.starts_with("NAT") => {
            ["gateway", "or NAT"]
        }
        route if route.starts_with("NAT") => ["NAT or", "internet gw"],
        route if route.starts_with("private and") => ["private", "and public"],
        _ => ["route", "unknown"],
    }
}

fn result_class(state: HopState) -> &'static str {
    match state {
        HopState::Fails => "failed",
        HopState::PartlyFails => "partly",
        HopState::Works | HopState::NotReached | HopState::Unknown => "",
    }
}

/// Returns the state and the text below the drawing.
fn result(path: &ServicePath, states: [HopState; 3]) -> (HopState, String) {
    if let Some(hop) = path.first_failure() {
        let place = match hop.kind {
            PathHopKind::Name => "fails at resolve: ",
            PathHopKind::Network => "fails at connect: ",
            PathHopKind::Service => "fails at ",
        };
        return (hop.state, format!("{place}{}", hop.note));
    }
    if states.contains(&HopState::NotReached) {
        let words = "not reached: an earlier step failed";
        (HopState::NotReached, words.into())
    } else if states.contains(&HopState::Unknown) {
        (HopState::Unknown, "not fully checked".into())
    } else {
        (HopState::Works, "works".into())
    }
}

fn object(hop: &PathHop) -> Markup {
    html! {
        li {
            b { (hop.state.mark()) } " " (hop.label) " "
            code { (hop.object.as_deref().unwrap_or_default()) }
            @if !hop.note.is_empty() { " " (hop.note) }
        }
    }
}

/// Draws the line from node `n` to the next.
fn edge(n: usize, state: HopState) -> Markup {
    let (from, to) = (NODES[n].0 + NODES[n].1, NODES[n + 1].0);
    let (y, middle) = (TOP + HEIGHT / 2, i32::midpoint(from, to));
    let class = state.class();
    let has_mark = !matches!(state, HopState::Works | HopState::NotReached);
    html! {
        path.edge.(class) d={ "M" (from) " " (y) "H" (to) } {}
        @if state == HopState::Works {
            path.head d={ "M" (to - 6) " " (y - 4) "l6 4-6 4z" } {}
        }
        @if has_mark {
            circle.mark.(class) cx=(middle) cy=(y) r="9" {}
            text.on.(class) x=(middle) y=(y + 4) { (state.mark()) }
        }
    }
}

/// Draws node `n` with two lines of text.
fn node(n: usize, [first, second]: [&str; 2], reachable: bool) -> Markup {
    let (x, width) = NODES[n];
    let middle = x + width / 2;
    // A long address is squeezed: cut, it would be another address.
    let chars = i32::try_from(second.chars().count()).unwrap_or(i32::MAX);
    let squeezed = (chars.saturating_mul(CHAR_WIDTH) > width - 6).then_some(width - 6);
    html! {
        g.node.dim[!reachable] {
            rect x=(x) y=(TOP) width=(width) height=(HEIGHT) rx="6" {}
            text.t x=(middle) y=(TOP + 17) { (first) }
            text.s x=(middle) y=(TOP + 32) textLength=[squeezed]
                lengthAdjust=[squeezed.map(|_| "spacingAndGlyphs")] { (second) }
        }
    }
}
