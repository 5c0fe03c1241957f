//! What the Terraform and CloudFormation output share: names, descriptions, rule numbers.

use ipnet::IpNet;

use crate::plan::requirements::{
    Direction, NetworkAclRule, NetworkTier, Requirements, RulePeer, SecurityGroupRule,
};

/// Number of the first rule in a network ACL. Most network ACLs begin at 100, and AWS's own deny
/// rule comes last.
pub const FIRST_RULE_NUMBER: u32 = 50;

/// Maximum number of characters of a security group rule's description (EC2 API reference,
/// IpRange).
const MAX_DESCRIPTION: usize = 255;

/// Returns the comment at the beginning of a file. `usage` explains how to apply it.
pub fn header_comment(requirements: &Requirements, usage: &str) -> String {
    let region = &requirements.region;
    let mut lines = vec![
        format!("Requirements of an ECS task in {region}, written by pullprobe plan."),
        usage.to_owned(),
    ];
    if !requirements.outside_vpc.is_empty() {
        lines.push(
            "\nNo VPC endpoint serves these hosts; the task cannot start without a route to them:"
                .to_owned(),
        );
        for (reason, hosts) in requirements.outside_vpc_by_reason() {
            let hosts = hosts.into_iter();
            lines.extend(hosts.map(|host| format!("  {}:{}", host.host, host.port)));
            lines.push(format!("because {reason}"));
        }
    }
    lines.join("\n")
}

/// Returns the description of a security group rule, in the characters that EC2 accepts (EC2 API
/// reference, IpRange).
pub fn rule_description(rule: &SecurityGroupRule) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    let text: String = rule
        .used_for
        .join(", ")
        .chars()
        .map(|c| if allowed(c) { c } else { ' ' })
        .collect();
    if text.len() <= MAX_DESCRIPTION {
        return text;
    }
    let end = text[..MAX_DESCRIPTION - " ...".len()]
        .rfind(',')
        .unwrap_or(0);
    format!("{} ...", &text[..end])
}

/// Returns the tier's part of a resource's name.
pub const fn tier_name(tier: NetworkTier) -> &'static str {
    match tier {
        NetworkTier::Tasks => "task",
        NetworkTier::Instances => "instance",
        NetworkTier::Endpoints => "endpoint",
        NetworkTier::FileSystems => "file-system",
        NetworkTier::Nat => "nat",
    }
}

/// Returns the rule's name in kebab-case, unique in a file.
pub fn security_group_rule_name(rule: &SecurityGroupRule) -> String {
    let preposition = match rule.direction {
        Direction::Inbound => "from",
        Direction::Outbound => "to",
    };
    let peer = match &rule.peer {
        RulePeer::SecurityGroup(tier) => tier_name(*tier).to_owned(),
        RulePeer::Vpc => format!("vpc-port-{}", rule.port),
        RulePeer::PrefixList(_) => "s3".to_owned(),
        peer => format!("{}-port-{}", address_range_name(peer), rule.port),
    };
    format!("{}-{preposition}-{peer}", tier_name(rule.tier))
}

/// Returns the rule's name in kebab-case, unique in a file.
pub fn network_acl_rule_name(rule: &NetworkAclRule) -> String {
    let direction = match rule.direction {
        Direction::Inbound => "in-from",
        Direction::Outbound => "out-to",
    };
    let ports = if rule.is_response {
        "answers".to_owned()
    } else {
        format!("port-{}", rule.to_port)
    };
    let (tier, range) = (tier_name(rule.tier), address_range_name(&rule.peer));
    format!("{tier}-acl-{direction}-{range}-{ports}")
}

fn address_range_name(peer: &RulePeer) -> String {
    match peer {
        RulePeer::Cidr(IpNet::V6(cidr)) if cidr.prefix_len() == 0 => "anywhere-ipv6".to_owned(),
        RulePeer::Cidr(cidr) if cidr.prefix_len() == 0 => "anywhere".to_owned(),
        RulePeer::Cidr(cidr) => cidr.addr().to_string().replace(['.', ':'], "-"),
        _ => "vpc".to_owned(),
    }
}
