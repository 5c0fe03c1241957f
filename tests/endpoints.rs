//! Host names against the data that AWS publishes with its SDKs (`data/endpoints.tsv`, made by
//! `data/endpoints.py`).

use std::collections::BTreeSet;

use pullprobe::endpoints::{Partition, Region, Service, Variant, api_host};

const HOSTS: &str = include_str!("data/endpoints.tsv");

/// Where we follow one of AWS's two sources against the other: source, service, variant, partition,
/// and why.
const DEVIATIONS: [(&str, &str, &str, &str, &str); 15] = [
    (
        "rule set",
        "api.ecr",
        "fips",
        "aws",
        "the AWS General Reference documents ecr-fips only",
    ),
    (
        "rule set",
        "api.ecr",
        "fips",
        "aws-us-gov",
        "the AWS General Reference documents ecr-fips only",
    ),
    (
        "endpoints.json",
        "api.ecr",
        "dual",
        "aws",
        "newest regions not listed there, so its default pattern speaks",
    ),
    (
        "endpoints.json",
        "api.ecr",
        "dual",
        "aws-eusc",
        "not listed there, so its default pattern speaks",
    ),
    (
        "endpoints.json",
        "api.ecr",
        "fips+dual",
        "aws",
        "FIPS regions listed only, so its default pattern speaks",
    ),
    (
        "endpoints.json",
        "api.ecr",
        "fips+dual",
        "aws-cn",
        "not listed there, so its default pattern speaks",
    ),
    (
        "endpoints.json",
        "api.ecr",
        "fips+dual",
        "aws-eusc",
        "not listed there, so its default pattern speaks",
    ),
    (
        "endpoints.json",
        "s3",
        "dual",
        "aws-eusc",
        "not listed there; S3 says dualstack in every partition",
    ),
    (
        "endpoints.json",
        "s3",
        "fips+dual",
        "aws-eusc",
        "not listed there; S3 says dualstack in every partition",
    ),
    (
        "endpoints.json",
        "s3",
        "fips+dual",
        "aws-cn",
        "the rule set knows no FIPS in China: nobody will ask",
    ),
    (
        "endpoints.json",
        "secretsmanager",
        "dual",
        "aws",
        "SDKs use the ordinary name, which has IPv6 addresses",
    ),
    (
        "endpoints.json",
        "secretsmanager",
        "dual",
        "aws-cn",
        "SDKs use the ordinary name, which has IPv6 addresses",
    ),
    (
        "endpoints.json",
        "secretsmanager",
        "dual",
        "aws-us-gov",
        "SDKs use the ordinary name, which has IPv6 addresses",
    ),
    (
        "endpoints.json",
        "secretsmanager",
        "fips+dual",
        "aws",
        "SDKs use the FIPS name, which has IPv6 addresses",
    ),
    (
        "endpoints.json",
        "secretsmanager",
        "fips+dual",
        "aws-us-gov",
        "SDKs use the FIPS name, which has IPv6 addresses",
    ),
];

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    HOSTS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
}

fn partitions() -> Vec<(Partition, Vec<&'static str>)> {
    let published =
        |partition: Partition| rows().find(|row| row[..2] == ["partition", partition.name()]);
    Partition::ALL
        .into_iter()
        .filter_map(|partition| Some((partition, published(partition)?)))
        .collect()
}

fn service(name: &str) -> Service {
    use Service::{
        Ec2, EcrApi, Ecs, Firehose, KinesisStreams, Kms, Logs, S3, Scheduler, SecretsManager, Ssm,
        SsmMessages, Sts,
    };
    let known = [
        S3,
        Logs,
        SecretsManager,
        Ssm,
        SsmMessages,
        Kms,
        Sts,
        Ecs,
        Ec2,
        Scheduler,
    ];
    known
        .into_iter()
        .find(|service| service.name() == name)
        .unwrap_or_else(|| match name {
            "kinesis" => KinesisStreams,
            "firehose" => Firehose,
            _ => {
                assert_eq!(name, "api.ecr");
                EcrApi
            }
        })
}

#[test]
fn partitions_are_as_published() {
    let published = partitions();
    assert_eq!(
        published.len(),
        rows().filter(|row| row[0] == "partition").count()
    );
    assert_eq!(published.len(), Partition::ALL.len());
    for (partition, row) in published {
        assert_eq!(
            (partition.dns_suffix(), partition.dual_stack_suffix()),
            (row[2], row[3]),
            "{partition:?}"
        );
        for region in row[4].split(' ') {
            assert_eq!(
                region.parse::<Region>().map(|region| region.partition()),
                Ok(partition),
                "{region}"
            );
        }
    }
}

#[test]
fn hosts_are_as_published() {
    let partitions = partitions();
    let mut compared = 0;
    let mut deviating = BTreeSet::new();
    for row in rows().filter(|row| row[0] != "partition") {
        let [name, variant, partition, endpoints, rule_set, regions] = row[..] else {
            panic!("{row:?}")
        };
        let (_, everywhere) = partitions
            .iter()
            .find(|(p, _)| p.name() == partition)
            .unwrap();
        let flags = Variant {
            fips: variant.starts_with("fips"),
            dual_stack: variant.ends_with("dual"),
        };
        for region in if regions == "*" {
            everywhere[4]
        } else {
            regions
        }
        .split(' ')
        {
            let ours = api_host(service(name), &region.parse().unwrap(), flags);
            for (source, theirs) in [("endpoints.json", endpoints), ("rule set", rule_set)] {
                compared += usize::from(theirs != "-");
                if theirs != "-" && theirs.replace("{region}", region) != ours {
                    deviating.insert((source, name, variant, partition));
                }
            }
        }
    }
    let named =
        DEVIATIONS.map(|(source, name, variant, partition, _)| (source, name, variant, partition));
    assert_eq!(
        deviating,
        BTreeSet::from(named),
        "each deviation needs a reason above, and each reason a deviation"
    );
    assert!(compared > 3_500, "only {compared} names compared");
}
