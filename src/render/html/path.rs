//! The way of each dependency as a drawing: task → DNS → the way out → service, with the broken hop
//! marked.

use std::fmt::Write as _;

use super::{escape, look};
use crate::compare::fact::{Kind, kind};

/// A dependency's ladder at one vantage: phase and value.
pub(super) struct Lane<'a> {
    /// The dependency.
    pub dependency: &'a str,
    /// The name that was asked for.
    pub host: &'a str,
    /// Its phases in order.
    pub phases: Vec<(&'a str, &'a str)>,
    /// Addresses that were dialled.
    pub addresses: usize,
}

/// What is between two nodes came to this.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Works,
    Partly,
    Broken,
    OutsideVpc,
    Unknown,
}

impl Lane<'_> {
    fn value(&self, phase: &str) -> Option<&str> {
        self.phases
            .iter()
            .find(|(name, _)| *name == phase)
            .map(|(_, value)| *value)
    }

    /// Where the addresses lie. That is all that a task sees of the way: S3's addresses are public
    /// through a gateway endpoint as well, and a private address may be an interface endpoint's or
    /// anybody's.
    fn way(&self) -> [&'static str; 2] {
        let place = self
            .value("resolve")
            .and_then(|value| value.strip_prefix("passed ("))
            .unwrap_or_default();
        match place.trim_end_matches(')') {
            "private" => ["private", "address"],
            "public" if self.dependency == "s3" => ["gateway", "or NAT"],
            "public" => ["NAT or", "internet gw"],
            "private and public" => ["private", "and public"],
            _ => ["way", "unknown"],
        }
    }

    fn edge(&self, phases: impl Fn(&str) -> bool) -> Edge {
        let values: Vec<Kind> = self
            .phases
            .iter()
            .filter(|(phase, _)| phases(phase))
            .map(|(_, value)| kind(value))
            .collect();
        match values.iter().max() {
            Some(Kind::Failed) => Edge::Broken,
            Some(Kind::Partly) => Edge::Partly,
            Some(Kind::NotReached) => Edge::OutsideVpc,
            Some(Kind::Passed) => Edge::Works,
            Some(Kind::NotChecked) | None => Edge::Unknown,
        }
    }

    /// The first step that does not work, in words.
    fn breaks(&self) -> Option<(&str, &str)> {
        self.phases
            .iter()
            .find(|(_, value)| matches!(kind(value), Kind::Failed | Kind::Partly))
            .copied()
    }
}

/// Boxes: left edge and width. Gaps of 26 leave room for a mark.
const BOXES: [(i32, i32); 4] = [(1, 60), (87, 60), (173, 84), (283, 60)];

const HEIGHT: i32 = 40;
const TOP: i32 = 4;

/// The drawing of one dependency.
pub(super) fn draw(page: &mut String, lane: &Lane<'_>, task: &str, resolver: &str) {
    let common = ["resolve", "connect"];
    let edges = [
        lane.edge(|phase| phase == "resolve"),
        lane.edge(|phase| phase == "connect"),
        lane.edge(|phase| !common.contains(&phase)),
    ];
    let count = if lane.addresses > 1 {
        format!("{} addresses", lane.addresses)
    } else {
        String::new()
    };
    let [way, more] = lane.way();
    let third = if lane.addresses > 1 && way == "private" && more == "address" {
        count.as_str()
    } else {
        more
    };
    let nodes = [
        ["task", task],
        ["DNS", resolver],
        [way, third],
        ["service", lane.dependency],
    ];
    let said = match lane.breaks() {
        Some((phase, value)) => format!("breaks at {phase}: {value}"),
        None if edges.contains(&Edge::OutsideVpc) => {
            "not reached: something else failed before".into()
        }
        None if edges.contains(&Edge::Unknown) => "not all of it was checked".into(),
        None => "works".into(),
    };
    let _ = write!(
        page,
        "<figure class=\"lane\"><figcaption><b>{}</b> <span class=\"host\">{}</span></figcaption>\
         <svg viewBox=\"0 0 344 48\" role=\"img\" aria-label=\"{}\">",
        escape(lane.dependency),
        escape(lane.host),
        escape(&format!(
            "{}: task, DNS, {way} {more}, service; {said}",
            lane.dependency
        ))
    );
    let mut reached = true;
    for (n, edge) in edges.iter().enumerate() {
        line(page, n, *edge);
        node(page, n, nodes[n], reached);
        reached &= !matches!(edge, Edge::Broken | Edge::OutsideVpc);
    }
    node(page, 3, nodes[3], reached);
    let (class, mark, _) = look(lane.breaks().map(|(_, value)| value).or(Some(
        if edges.contains(&Edge::OutsideVpc) {
            "not-reached"
        } else if edges.contains(&Edge::Unknown) {
            "not-checked"
        } else {
            "passed"
        },
    )));
    let _ = writeln!(
        page,
        "</svg><p class=\"said {class}\"><b>{mark}</b> {}</p></figure>",
        escape(&said)
    );
}

fn line(page: &mut String, n: usize, edge: Edge) {
    let (from, to) = (BOXES[n].0 + BOXES[n].1, BOXES[n + 1].0);
    let (y, middle) = (TOP + HEIGHT / 2, i32::midpoint(from, to));
    let (class, mark) = match edge {
        Edge::Works => ("works", ""),
        Edge::Partly => ("half", "!"),
        Edge::Broken => ("broken", "✗"),
        Edge::OutsideVpc => ("beyond", ""),
        Edge::Unknown => ("unknown", "?"),
    };
    let _ = write!(
        page,
        "<path class=\"edge {class}\" d=\"M{from} {y}H{to}\"/>"
    );
    if edge == Edge::Works {
        let _ = write!(
            page,
            "<path class=\"head\" d=\"M{} {}l6 4-6 4z\"/>",
            to - 6,
            y - 4
        );
    }
    if !mark.is_empty() {
        let _ = write!(
            page,
            "<circle class=\"mark {class}\" cx=\"{middle}\" cy=\"{y}\" r=\"9\"/><text class=\"on {class}\" x=\"{middle}\" y=\"{}\">{mark}</text>",
            y + 4
        );
    }
}

fn node(page: &mut String, n: usize, [first, second]: [&str; 2], reached: bool) {
    let (x, width) = BOXES[n];
    let middle = x + width / 2;
    let class = if reached { "node" } else { "node dim" };
    let _ = write!(
        page,
        "<g class=\"{class}\"><rect x=\"{x}\" y=\"{TOP}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"6\"/>\
         <text class=\"t\" x=\"{middle}\" y=\"{}\">{}</text>",
        TOP + 17,
        escape(first)
    );
    // A longer address is squeezed: cutting it would make another one of it.
    let wide = i32::try_from(second.chars().count()).unwrap_or(i32::MAX) > width / 6;
    let fit = if wide {
        format!(
            " textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"",
            width - 6
        )
    } else {
        String::new()
    };
    let _ = write!(
        page,
        "<text class=\"s\" x=\"{middle}\" y=\"{}\"{fit}>{}</text></g>",
        TOP + 32,
        escape(second)
    );
}
