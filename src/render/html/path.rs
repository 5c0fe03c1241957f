//! The network path to one dependency as a drawing: task → DNS → route → service, with the hop that
//! fails marked.

use maud::{Markup, html};

use crate::compare::fact::FactValue;
use crate::render::comparison::Cell;

/// The network path from a vantage to a dependency.
pub(super) struct PathDiagram<'a> {
    /// Name of the dependency.
    pub dependency: &'a str,
    /// Host name of the dependency; empty if no observation has it.
    pub host: &'a str,
    /// Phases in order, each with its value.
    pub phases: Vec<(&'a str, &'a str)>,
    /// Number of dialed addresses.
    pub addresses: usize,
    /// IP address of the task.
    pub task: &'a str,
    /// IP address of the DNS resolver.
    pub resolver: &'a str,
}

/// Result of the phases between two nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hop {
    Works,
    PartlyFails,
    Fails,
    NotReached,
    Unknown,
}

impl Hop {
    fn class(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::PartlyFails => "partly",
            Self::Fails => "broken",
            Self::NotReached => "not-reached",
            Self::Unknown => "unknown",
        }
    }

    fn mark(self) -> Option<&'static str> {
        match self {
            Self::Works | Self::NotReached => None,
            Self::PartlyFails => Some("!"),
            Self::Fails => Some("✗"),
            Self::Unknown => Some("?"),
        }
    }
}

/// What a person reads below the drawing.
struct PathResult {
    cell: Cell,
    words: String,
}

impl PathDiagram<'_> {
    /// Returns the label of the node between DNS and service, in two lines. It is based on the
    /// scope of the addresses, which is all that a task can see: the addresses of S3 are public
    /// through a gateway endpoint as well, and a private address may be that of an interface VPC
    /// endpoint or of any other host.
    fn route(&self) -> [&'static str; 2] {
        let mut phases = self.phases.iter();
        let resolve = phases.find(|(phase, _)| *phase == "resolve");
        let scope = match resolve.map(|(_, value)| FactValue::parse(value)) {
            Some(FactValue::Passed(scope)) => scope.unwrap_or_default(),
            _ => "",
        };
        match scope {
            "private" => ["private", "address"],
            "public" if self.dependency == "s3" => ["gateway", "or NAT"],
            "public" => ["NAT or", "internet gw"],
            "private and public" => ["private", "and public"],
            _ => ["route", "unknown"],
        }
    }

    fn hop(&self, phases: impl Fn(&str) -> bool) -> Hop {
        let values = self.phases.iter().filter(|(phase, _)| phases(phase));
        match values.map(|(_, value)| FactValue::parse(value)).max() {
            Some(FactValue::Failed(_)) => Hop::Fails,
            Some(FactValue::Partly(_)) => Hop::PartlyFails,
            Some(FactValue::NotReached) => Hop::NotReached,
            Some(FactValue::Passed(_)) => Hop::Works,
            Some(FactValue::NotChecked) | None => Hop::Unknown,
        }
    }

    fn result(&self, hops: &[Hop]) -> PathResult {
        let mut phases = self.phases.iter();
        let failing = phases.find(|(_, value)| FactValue::parse(value).has_failures());
        let (value, words) = if let Some((phase, value)) = failing {
            (*value, format!("fails at {phase}: {value}"))
        } else if hops.contains(&Hop::NotReached) {
            ("not-reached", "not reached: an earlier step failed".into())
        } else if hops.contains(&Hop::Unknown) {
            ("not-checked", "not fully checked".into())
        } else {
            ("passed", "works".into())
        };
        let cell = Cell::new(Some(value));
        PathResult { cell, words }
    }

    /// Draws the path.
    pub(super) fn draw(&self) -> Markup {
        let hops = [
            self.hop(|phase| phase == "resolve"),
            self.hop(|phase| phase == "connect"),
            self.hop(|phase| !["resolve", "connect"].contains(&phase)),
        ];
        let route = self.route();
        let count = format!("{} addresses", self.addresses);
        let second_line = if self.addresses > 1 && route == ["private", "address"] {
            count.as_str()
        } else {
            route[1]
        };
        let labels = [
            ["task", self.task],
            ["DNS", self.resolver],
            [route[0], second_line],
            ["service", self.dependency],
        ];
        let PathResult { cell, words } = self.result(&hops);
        let description = format!(
            "{}: task, DNS, {}, service; {words}",
            self.dependency,
            route.join(" ")
        );
        let stops = |hop: &Hop| matches!(hop, Hop::Fails | Hop::NotReached);
        let reachable = hops.iter().position(stops).unwrap_or(hops.len());
        html! {
            figure.lane {
                figcaption { b { (self.dependency) } " " span.host { (self.host) } }
                svg viewBox="0 0 344 48" role="img" aria-label=(description) {
                    @for (n, label) in labels.into_iter().enumerate() {
                        @if let Some(hop) = hops.get(n) { (edge(n, *hop)) }
                        (node(n, label, n <= reachable))
                    }
                }
                p.result.(cell.class) { b { (cell.mark) } " " (words) }
            }
        }
    }
}

/// Left edge and width of each node. Gaps of 22 leave room for a mark; the last node has room for the
/// longest dependency, `secretsmanager`.
const NODES: [(i32, i32); 4] = [(1, 60), (83, 60), (165, 70), (257, 86)];

const HEIGHT: i32 = 40;
const TOP: i32 = 4;

/// Width of a character of a node's second line, at its font size of 10.5.
const CHAR_WIDTH: i32 = 6;

/// Draws the line from node `n` to the next.
fn edge(n: usize, hop: Hop) -> Markup {
    let (from, to) = (NODES[n].0 + NODES[n].1, NODES[n + 1].0);
    let (y, middle) = (TOP + HEIGHT / 2, i32::midpoint(from, to));
    let class = hop.class();
    html! {
        path.edge.(class) d={ "M" (from) " " (y) "H" (to) } {}
        @if hop == Hop::Works {
            path.head d={ "M" (to - 6) " " (y - 4) "l6 4-6 4z" } {}
        }
        @if let Some(mark) = hop.mark() {
            circle.mark.(class) cx=(middle) cy=(y) r="9" {}
            text.on.(class) x=(middle) y=(y + 4) { (mark) }
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
