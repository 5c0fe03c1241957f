//! The probe as an IPv6-only task: a resolver that has A records for every name and AAAA records for
//! some, and servers on `::1`.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

#[path = "support/hostile/run.rs"]
mod run;

use std::net::{Ipv6Addr, SocketAddr};

use hickory_resolver::proto::op::{Message, OpCode};
use hickory_resolver::proto::rr::rdata::AAAA;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use pullprobe::cause::Cause;
use pullprobe::demo::names;
use pullprobe::diagnose::Confidence;
use pullprobe::network_location::IpFamily;
use pullprobe::observation::{Dependency, Failure, Observation, Outcome, Phase};
use pullprobe::report::Report;
use pullprobe::verdict::Status;
use run::{ProbeRun, runtime};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Answers AAAA queries with `::1`, those for `without` negatively, and forwards all others.
async fn serve_dns(socket: UdpSocket, healthy: SocketAddr, without: Option<String>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let entry = query.queries[0].clone();
        let answer = if entry.query_type() == RecordType::AAAA {
            let mut response = Message::response(query.metadata.id, OpCode::Query);
            let name = entry.name().clone();
            let host = name.to_ascii().trim_end_matches('.').to_lowercase();
            response.add_query(entry);
            if without.as_ref() != Some(&host) {
                let address = RData::AAAA(AAAA(Ipv6Addr::LOCALHOST));
                response.add_answer(Record::from_rdata(name, 60, address));
            }
            response.to_vec().unwrap()
        } else {
            let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            upstream.send_to(&buffer[..length], healthy).await.unwrap();
            let mut answer = vec![0; 4096];
            let length = upstream.recv(&mut answer).await.unwrap();
            answer[..length].to_vec()
        };
        let _ = socket.send_to(&answer, peer).await;
    }
}

/// Passes connections to this port of `[::1]`, or to a free one, on to a server of the demo. Returns the
/// port.
async fn forward(port: u16, to: SocketAddr) -> u16 {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, port))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(to).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    port
}

/// Runs the probe in an IPv6-only subnet in which the host of `without` has no IPv6 address.
async fn report(without: Option<Dependency>) -> Report {
    let mut probe = ProbeRun::new();
    probe.plan.ip_family = IpFamily::Ipv6;
    // `[::1]` is one address for all services, so each has its own port; S3 has the one that the
    // registry's redirects name.
    for target in &mut probe.plan.targets {
        let server = SocketAddr::from((names::healthy_address(target.dependency), probe.aws.port));
        let port = match target.dependency {
            Dependency::S3 => probe.aws.port,
            _ => 0,
        };
        target.port = forward(port, server).await;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = socket.local_addr().unwrap();
    let without = without.map(names::host_name);
    tokio::spawn(serve_dns(socket, probe.resolver, without));
    probe.resolver = resolver;
    probe.observe().await.unwrap()
}

fn of_phase(report: &Report, phase: Phase) -> impl Iterator<Item = &Observation> {
    report
        .observations
        .iter()
        .filter(move |seen| seen.phase == phase)
}

#[test]
fn an_ipv6_only_task_passes_and_sends_nothing_over_ipv4() {
    let report = runtime().block_on(report(None));
    assert_eq!(
        report.verdict.status,
        Status::Pass,
        "{:#?}",
        report.findings
    );
    let (v4, v6): (Vec<_>, Vec<_>) = of_phase(&report, Phase::Connect)
        .filter(|seen| seen.peer.is_some())
        .partition(|seen| seen.peer.is_some_and(|peer| peer.is_ipv4()));
    assert!(
        v6.len() > 4 && v6.iter().all(|seen| seen.passed()),
        "{v6:#?}"
    );
    let is_skipped = |seen: &&Observation| match &seen.outcome {
        Outcome::NotChecked { why } => why.contains("no IPv4 address"),
        _ => false,
    };
    assert!(v4.len() > 4 && v4.iter().all(is_skipped), "{v4:#?}");
}

#[test]
fn a_host_without_ipv6_is_the_cause() {
    let report = runtime().block_on(report(Some(Dependency::EcrDkr)));
    assert_eq!(report.verdict.status, Status::Fail);
    assert_eq!(report.verdict.exit_code, 11);
    let causes: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.cause, finding.confidence))
        .collect();
    assert_eq!(causes, [(Cause::HostWithoutIpv6, Confidence::Certain)]);
    let failed: Vec<_> = report
        .observations
        .iter()
        .filter(|seen| seen.failure().is_some())
        .collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0].failure(), Some(Failure::NoAddress));
    assert_eq!(failed[0].dependency, Dependency::EcrDkr);
}
