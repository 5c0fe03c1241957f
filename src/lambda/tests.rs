use serde_json::json;

use super::*;

#[test]
fn invocation_round_trips_and_rejects_unknown_members() {
    let invocation = Invocation {
        arguments: vec!["--deadline=30s".into()],
        subnet: FunctionSubnet {
            availability_zone: Some("us-east-1a".into()),
            cidr: Some("10.0.1.0/24".parse().unwrap()),
            ip_family: Some(IpFamily::Ipv4),
            cluster: Some("prod".into()),
        },
        task: RehearsedTask {
            execution_role: Some("arn:aws:iam::123456789012:role/exec".into()),
            function_role: Some("arn:aws:iam::123456789012:role/pullprobe-lambda".into()),
            assigns_public_ip: true,
            ip_family: Some(IpFamily::Ipv4),
        },
    };
    let text = serde_json::to_string(&invocation).unwrap();
    assert_eq!(
        serde_json::from_str::<Invocation>(&text).unwrap(),
        invocation
    );
    // The sample event of Lambda's console.
    assert!(serde_json::from_value::<Invocation>(json!({ "key1": "value1" })).is_err());
    assert_eq!(
        serde_json::from_str::<Invocation>("{}").unwrap(),
        Invocation::default()
    );
}

#[test]
fn link_local_address_of_a_function_is_not_reported() {
    let mut vantage = Vantage {
        address: Some("169.254.76.1".parse().unwrap()),
        ..Vantage::default()
    };
    FunctionSubnet::default().complete(&mut vantage);
    assert_eq!(vantage.address, None);
    vantage.address = Some("10.0.1.10".parse().unwrap());
    FunctionSubnet::default().complete(&mut vantage);
    assert!(vantage.address.is_some());
}
