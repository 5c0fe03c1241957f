//! What the files for Terraform and CloudFormation have in common: names, descriptions, numbers.

use crate::plan::requirements::{AclRule, Flow, GroupRule, Peer, Requirements, SecurityGroup};

/// Number of the first rule in a network ACL. People begin at 100, and AWS's own deny comes last.
pub const FIRST_RULE: u32 = 50;

/// Most characters of a security group rule's description (EC2 API reference, IpRange).
const LONGEST_DESCRIPTION: usize = 255;

/// The comment that a file begins with.
pub fn preamble(needs: &Requirements, how: &str) -> String {
    let region = &needs.region;
    let mut lines = vec![
        format!("What a task in {region} needs to start, by pullprobe plan."),
        how.to_owned(),
    ];
    if !needs.beyond.is_empty() {
        lines.push("\nNo VPC endpoint leads to these hosts; without a way to them the task does not start:".to_owned());
        for (why, hosts) in needs.beyond_by_reason() {
            lines.extend(
                hosts
                    .into_iter()
                    .map(|one| format!("  {}:{}", one.host, one.port)),
            );
            lines.push(format!("because {why}"));
        }
    }
    lines.join("\n")
}

/// What a rule of a security group is for, in the characters that EC2 takes.
pub fn describe(rule: &GroupRule) -> String {
    let text = rule.used_for.join(", ");
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    let text: String = text
        .chars()
        .map(|c| if allowed(c) { c } else { ' ' })
        .collect();
    if text.len() <= LONGEST_DESCRIPTION {
        return text;
    }
    let whole = text[..LONGEST_DESCRIPTION - " ...".len()]
        .rfind(',')
        .unwrap_or(0);
    format!("{} ...", &text[..whole])
}

/// One word for whose it is.
pub const fn name_of(group: SecurityGroup) -> &'static str {
    match group {
        SecurityGroup::Tasks => "task",
        SecurityGroup::Endpoints => "endpoint",
        SecurityGroup::FileSystems => "file-system",
        SecurityGroup::Nat => "nat",
    }
}

/// Words between hyphens, no two rules the same.
pub fn name_of_group_rule(rule: &GroupRule) -> String {
    let way = if rule.flow == Flow::Inbound {
        "from"
    } else {
        "to"
    };
    let other = match &rule.peer {
        Peer::SecurityGroup(other) => name_of(*other).to_owned(),
        Peer::PrefixList(_) => "s3".to_owned(),
        peer => format!("{}-port-{}", place(peer), rule.port),
    };
    format!("{}-{way}-{other}", name_of(rule.group))
}

/// Words between hyphens, no two rules the same.
pub fn name_of_acl_rule(rule: &AclRule) -> String {
    let way = if rule.flow == Flow::Inbound {
        "in-from"
    } else {
        "out-to"
    };
    let ports = if rule.answers {
        "answers".to_owned()
    } else {
        format!("port-{}", rule.to_port)
    };
    format!(
        "{}-acl-{way}-{}-{ports}",
        name_of(rule.subnets),
        place(&rule.peer)
    )
}

fn place(peer: &Peer) -> String {
    match peer {
        Peer::Cidr(cidr) if cidr.prefix_len() == 0 => "anywhere".to_owned(),
        Peer::Cidr(cidr) => cidr.addr().to_string().replace(['.', ':'], "-"),
        _ => "vpc".to_owned(),
    }
}
