//! Decides who sent a response. A verified certificate does not show that: a proxy or a firewall
//! whose certificate authority is among the roots can answer under any name.
//!
//! A service is recognized by what it always sends: its request ID, its protocol's error format,
//! the members of the operation's response. An answer that lacks them and has another form (a web
//! page, plain text, other JSON) comes from an intermediary.

use hyper::header::{CONTENT_TYPE, HeaderMap, LOCATION, WWW_AUTHENTICATE};
use hyper::{StatusCode, Uri};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::aws::error_response;
use crate::endpoints::is_aws_host;
use crate::observation::{Dependency, Phase, Speaker};

/// Headers that AWS services add to their answers: the request ID of the JSON APIs, both IDs of S3,
/// and the name of an error.
const AWS_HEADERS: [&str; 4] = [
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-amz-id-2",
    "x-amzn-errortype",
];

/// Header of registries (distribution specification 1.1, "Legacy Docker support HTTP headers"). ECR
/// and Docker's registry send it with every answer.
const REGISTRY_HEADER: &str = "docker-distribution-api-version";

/// Query parameters that distinguish a registry's blob URL from a redirect to a portal: the
/// signatures of S3, CloudFront, Google Cloud Storage and Azure.
const SIGNED_QUERY: [&str; 4] = [
    "X-Amz-Signature=",
    "Signature=",
    "X-Goog-Signature=",
    "sig=",
];

/// What was requested, and from which host.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub dependency: Dependency,
    pub phase: Phase,
    pub host: &'a str,
}

/// An HTTP answer.
#[derive(Debug, Clone, Copy)]
pub struct HttpAnswer<'a> {
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    /// The part that was read.
    pub body: &'a [u8],
}

/// Returns who sent the answer.
pub fn speaker(question: Question<'_>, answer: HttpAnswer<'_>) -> Speaker {
    match (question.dependency, question.phase) {
        (
            Dependency::EcrApi | Dependency::Logs | Dependency::SecretsManager | Dependency::Ssm,
            _,
        ) => answer.of_json_api(question.dependency),
        (Dependency::S3 | Dependency::EnvironmentFile, _) if is_aws_host(question.host) => {
            answer.of_s3()
        }
        (Dependency::EcrDkr, _) => answer.of_ecr(question),
        (Dependency::Registry, Phase::Authorize) => answer.of_token_service(),
        (Dependency::Registry, Phase::Manifest | Phase::Blob) => answer.of_registry(question.phase),
        _ => answer.of_content_host(),
    }
}

impl HttpAnswer<'_> {
    /// An AWS JSON API names each error in the body, labels each answer with a request ID, and has
    /// the protocol's content type. Two of these marks show the service; one alone proves nothing:
    /// Amazon API Gateway, on which proxies run, also sends a request ID, with the name of an error
    /// in a header only, and many servers send a `message`.
    fn of_json_api(self, dependency: Dependency) -> Speaker {
        if self.status.is_success() {
            return self.of_json_success(dependency);
        }
        let labelled = self.has_aws_header();
        let typed = self.json().is_some_and(|body| body["__type"].is_string());
        let named = typed || labelled && self.names_error_in_body();
        let of_protocol = self.content_type().starts_with("application/x-amz-json");
        match [labelled, named, of_protocol]
            .into_iter()
            .filter(|mark| *mark)
            .count()
        {
            2.. => Speaker::Service,
            _ if labelled || typed => Speaker::Unknown,
            _ => self.unmarked(),
        }
    }

    /// A response of CloudWatch Logs may be empty, so its request ID decides. Those of the others
    /// have members that no other server sends by accident.
    fn of_json_success(self, dependency: Dependency) -> Speaker {
        let members = match self.body {
            b"" => Some(Members::default()),
            body => serde_json::from_slice::<Members>(body).ok(),
        };
        let Some(members) = members else {
            return Speaker::Intermediary;
        };
        let is_response = match dependency {
            Dependency::EcrApi => members.authorization_data.is_some(),
            Dependency::SecretsManager => {
                members.arn.is_some()
                    || members.secret_string.is_some()
                    || members.secret_binary.is_some()
            }
            Dependency::Ssm => members.parameters.is_some() || members.invalid_parameters.is_some(),
            _ => self.has_aws_header(),
        };
        if is_response {
            Speaker::Service
        } else {
            Speaker::Intermediary
        }
    }

    /// S3 labels every answer in a header, and its errors are XML with a code and the request ID
    /// (S3 API reference, "Error responses"), never a web page or JSON. XML without an ID may be of
    /// any server that speaks S3's protocol.
    fn of_s3(self) -> Speaker {
        let is_error = self.is_xml() && self.has_error_code();
        let labelled = self.has_aws_header() || is_error && self.has_request_id();
        let is_strange = !self.status.is_success() && (self.is_page() || self.json().is_some());
        if labelled && !is_strange {
            Speaker::Service
        } else if labelled || is_error {
            Speaker::Unknown
        } else if self.status.is_success() {
            self.of_content_host()
        } else if self.redirects_to(is_aws_host) {
            Speaker::Unknown
        } else {
            self.unmarked()
        }
    }

    /// Amazon ECR sends no web pages, and asks for a login with Basic authentication (Amazon ECR
    /// user guide, "Private registry authentication"). Other registries send their clients to a
    /// token service.
    fn of_ecr(self, Question { phase, host, .. }: Question<'_>) -> Speaker {
        let challenge = self.header(WWW_AUTHENTICATE.as_str()).to_lowercase();
        let is_strange =
            !self.status.is_success() && !self.status.is_redirection() && self.is_page()
                || challenge.starts_with("bearer");
        match self.of_any_registry(phase) {
            Some(Speaker::Service) if is_strange => Speaker::Unknown,
            Some(speaker) => speaker,
            // A captive portal redirects to itself, so a redirect within this host may be ECR's.
            None if self.redirects_to(|other| other == host) => Speaker::Unknown,
            // A blob is verified by its digest, and a redirect by the host that it leads to.
            None if phase == Phase::Blob && self.is_usable_blob() => self.of_content_host(),
            None => self.unmarked(),
        }
    }

    /// A registry outside AWS may be any software behind any proxy of its owner: only a web page in
    /// place of a manifest is certainly not its answer.
    fn of_registry(self, phase: Phase) -> Speaker {
        match self.of_any_registry(phase) {
            Some(speaker) => speaker,
            None if self.headers.contains_key(WWW_AUTHENTICATE) => Speaker::Unknown,
            None => self.of_content_host(),
        }
    }

    /// Returns the speaker if a registry's protocol decides it.
    fn of_any_registry(self, phase: Phase) -> Option<Speaker> {
        let bearer = self
            .header(WWW_AUTHENTICATE.as_str())
            .to_lowercase()
            .starts_with("bearer realm=\"https://");
        let is_manifest = phase == Phase::Manifest && self.status.is_success() && {
            let members = serde_json::from_slice::<Members>(self.body);
            members.is_ok_and(|members| {
                members.schema_version.is_some()
                    || members.manifests.is_some()
                    || members.layers.is_some()
            })
        };
        let is_other = self.status.is_success() && phase == Phase::Manifest && !is_manifest;
        let signed_redirect = self.status.is_redirection() && {
            let location = self.header(LOCATION.as_str());
            SIGNED_QUERY.iter().any(|query| location.contains(query))
        };
        if is_other {
            Some(Speaker::Intermediary)
        } else if is_manifest
            || signed_redirect
            || self.headers.contains_key(REGISTRY_HEADER)
            || self.has_registry_error()
            || self.status == StatusCode::UNAUTHORIZED && bearer
        {
            Some(Speaker::Service)
        } else {
            None
        }
    }

    /// Whether the answer redirects to another path on the same host, or to an expected host.
    fn redirects_to(self, is_expected: impl Fn(&str) -> bool) -> bool {
        let location: Option<Uri> = self.header(LOCATION.as_str()).parse().ok();
        self.status.is_redirection()
            && location.is_some_and(|uri| uri.host().is_none_or(is_expected))
    }

    fn is_usable_blob(self) -> bool {
        self.status.is_success() || self.status.is_redirection()
    }

    /// Token services agree on the members of a successful response, but hardly on those of an
    /// error.
    fn of_token_service(self) -> Speaker {
        if self.status.is_success() {
            return match serde_json::from_slice::<Members>(self.body) {
                Ok(members) if members.token.is_some() || members.access_token.is_some() => {
                    Speaker::Service
                }
                _ => Speaker::Intermediary,
            };
        }
        let is_error = self.json().is_some_and(|body| {
            ["errors", "error", "details", "code"]
                .iter()
                .any(|member| body.get(*member).is_some())
        });
        if is_error || self.headers.contains_key(REGISTRY_HEADER) {
            Speaker::Service
        } else {
            self.of_content_host()
        }
    }

    /// Content may come from anywhere: S3, a CDN, a registry's own storage. A web page is not
    /// content; whether other bytes are genuine only their digest shows, which the check compares.
    fn of_content_host(self) -> Speaker {
        if self.has_aws_header() || self.is_xml() && self.has_error_code() {
            Speaker::Service
        } else if self.status.is_redirection() {
            // Go's HTTP server adds an HTML page to each redirect.
            Speaker::Unknown
        } else if self.is_page() && !self.headers.contains_key(WWW_AUTHENTICATE) {
            Speaker::Intermediary
        } else {
            Speaker::Unknown
        }
    }

    /// Classifies an error without anything that the service always sends. AWS's own load balancers
    /// also send a bare 5xx.
    fn unmarked(self) -> Speaker {
        // Only a portal requires network authentication (RFC 6585 section 6).
        let of_portal = self.status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED;
        if self.status.is_server_error() && !of_portal {
            Speaker::Unknown
        } else {
            Speaker::Intermediary
        }
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn content_type(self) -> String {
        self.header(CONTENT_TYPE.as_str()).to_lowercase()
    }

    fn has_aws_header(self) -> bool {
        AWS_HEADERS.iter().any(|name| !self.header(name).is_empty())
    }

    fn has_request_id(self) -> bool {
        let error = error_response::read(self.status.as_u16(), self.headers, self.body);
        !error.request_id.is_empty()
    }

    fn names_error_in_body(self) -> bool {
        let error = error_response::read(self.status.as_u16(), &HeaderMap::new(), self.body);
        !error.code.is_empty()
    }

    fn has_error_code(self) -> bool {
        let error = error_response::read(self.status.as_u16(), self.headers, self.body);
        !error.code.is_empty()
    }

    /// Whether the body is `{"errors": [{"code": "…"}]}` (distribution specification, "Error
    /// codes").
    fn has_registry_error(self) -> bool {
        self.json()
            .and_then(|body| Some(body.pointer("/errors/0/code")?.is_string()))
            .unwrap_or_default()
    }

    fn is_xml(self) -> bool {
        self.body.trim_ascii_start().starts_with(b"<") && !self.is_page()
    }

    fn is_page(self) -> bool {
        let head = &self.body[..self.body.len().min(MAX_PAGE_HEAD_BYTES)];
        error_response::is_html(&String::from_utf8_lossy(head))
            || self.content_type().starts_with("text/html")
    }

    /// Returns the body of an error if it is JSON. Successful bodies may be large, so they are not
    /// parsed.
    fn json(self) -> Option<Value> {
        let is_error = !self.status.is_success();
        serde_json::from_slice(self.body).ok().filter(|_| is_error)
    }
}

/// Maximum number of bytes of a body that are searched for the root element of a web page.
const MAX_PAGE_HEAD_BYTES: usize = 1_024;

/// The members by which a successful response is recognized. Values are skipped, so that a body of
/// any size takes no memory.
#[derive(Default, Deserialize)]
struct Members {
    #[serde(rename = "authorizationData")]
    authorization_data: Option<IgnoredAny>,
    #[serde(rename = "ARN")]
    arn: Option<IgnoredAny>,
    #[serde(rename = "SecretString")]
    secret_string: Option<IgnoredAny>,
    #[serde(rename = "SecretBinary")]
    secret_binary: Option<IgnoredAny>,
    #[serde(rename = "Parameters")]
    parameters: Option<IgnoredAny>,
    #[serde(rename = "InvalidParameters")]
    invalid_parameters: Option<IgnoredAny>,
    #[serde(rename = "schemaVersion")]
    schema_version: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    token: Option<IgnoredAny>,
    access_token: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use Dependency::{EcrApi, EcrDkr, EnvironmentFile, Logs, Registry, S3, SecretsManager, Ssm};
    use Phase::{Authorize, Blob, Fetch, Manifest, Read, Write};
    use Speaker::{Intermediary, Service, Unknown};

    use super::*;

    const ID: &str = "x-amzn-requestid: 1";
    const AMZ_JSON: &str = "content-type: application/x-amz-json-1.1";
    const TEXT: &str = "content-type: text/plain";
    const REGISTRY: &str = "docker-distribution-api-version: registry/2.0";
    const PAGE: &str = "<!DOCTYPE html><html><title>Blocked</title></html>";
    const FORBIDDEN: &str = r#"{"message":"Forbidden"}"#;
    const DENIED: &str = r#"{"__type":"AccessDeniedException","message":"no"}"#;

    fn speaker_of(
        dependency: Dependency,
        phase: Phase,
        status: u16,
        headers: &[&str],
        body: &str,
    ) -> Speaker {
        let mut map = HeaderMap::new();
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            map.append(
                hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        let host = match dependency {
            Registry => "registry.example.com",
            _ => "x.us-east-1.amazonaws.com",
        };
        let question = Question {
            dependency,
            phase,
            host,
        };
        let answer = HttpAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &map,
            body: body.as_bytes(),
        };
        speaker(question, answer)
    }

    #[test]
    fn json_api_is_recognized_by_request_id_and_error_code() {
        for (dependency, phase) in [
            (EcrApi, Authorize),
            (Logs, Write),
            (SecretsManager, Read),
            (Ssm, Read),
        ] {
            let error = |status, headers: &[&str], body| {
                speaker_of(dependency, phase, status, headers, body)
            };
            assert_eq!(error(400, &[ID], DENIED), Service);
            assert_eq!(error(400, &[AMZ_JSON], DENIED), Service);
            let named = [ID, "x-amzn-errortype: AccessDenied", AMZ_JSON];
            assert_eq!(error(403, &named, ""), Service);
            assert_eq!(error(403, &named[..2], FORBIDDEN), Unknown);
            assert_eq!(error(403, &[], DENIED), Unknown);
            assert_eq!(error(403, &[ID], FORBIDDEN), Unknown);
            for status in [301, 401, 403, 404, 429] {
                for body in [PAGE, FORBIDDEN, "Blocked", "", r#"{"code":"FORBIDDEN"}"#] {
                    assert_eq!(
                        error(status, &[TEXT], body),
                        Intermediary,
                        "{status} {body}"
                    );
                }
            }
            assert_eq!(error(503, &[TEXT], "Service Unavailable"), Unknown);
        }
    }

    #[test]
    fn success_of_a_json_api_has_its_members() {
        let token = r#"{"authorizationData":[{"authorizationToken":"QVdTOng="}]}"#;
        assert_eq!(speaker_of(EcrApi, Authorize, 200, &[], token), Service);
        assert_eq!(
            speaker_of(
                SecretsManager,
                Read,
                200,
                &[],
                r#"{"ARN":"a","SecretString":"x"}"#
            ),
            Service
        );
        assert_eq!(
            speaker_of(Ssm, Read, 200, &[], r#"{"Parameters":[]}"#),
            Service
        );
        assert_eq!(
            speaker_of(Logs, Write, 200, &[ID, "content-type: text/html"], ""),
            Service
        );
        for (dependency, phase) in [
            (EcrApi, Authorize),
            (Logs, Write),
            (SecretsManager, Read),
            (Ssm, Read),
        ] {
            for body in ["", "{}", PAGE, "OK", r#"{"status":"ok"}"#] {
                assert_eq!(
                    speaker_of(dependency, phase, 200, &[], body),
                    Intermediary,
                    "{dependency} {body}"
                );
            }
        }
    }

    #[test]
    fn s3_is_recognized_by_its_ids_and_its_xml() {
        let error =
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>x</Message></Error>";
        for (dependency, phase) in [(S3, Fetch), (EnvironmentFile, Fetch)] {
            let of = |status, headers: &[&str], body| {
                speaker_of(dependency, phase, status, headers, body)
            };
            let labelled = error.replace("<Message>", "<RequestId>1A</RequestId><Message>");
            assert_eq!(of(403, &[], &labelled), Service);
            assert_eq!(of(403, &[], error), Unknown);
            assert_eq!(of(404, &["x-amz-request-id: 1"], ""), Service);
            assert_eq!(of(403, &["x-amz-request-id: 1"], PAGE), Unknown);
            assert_eq!(of(403, &[ID], FORBIDDEN), Unknown);
            assert_eq!(of(206, &["x-amz-id-2: 1"], "bytes"), Service);
            assert_eq!(of(206, &[], "bytes"), Unknown);
            assert_eq!(of(200, &[], PAGE), Intermediary);
            for status in [302, 401, 403, 404, 429] {
                for body in [PAGE, FORBIDDEN, "Blocked", ""] {
                    assert_eq!(of(status, &[TEXT], body), Intermediary, "{status} {body}");
                }
            }
        }
    }

    #[test]
    fn registry_is_recognized_by_its_header_its_error_and_its_manifest() {
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;
        let manifest = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        for dependency in [EcrDkr, Registry] {
            let of = |status, headers: &[&str], body| {
                speaker_of(dependency, Manifest, status, headers, body)
            };
            assert_eq!(of(404, &[], unknown), Service);
            assert_eq!(of(401, &[REGISTRY, TEXT], "Not Authorized"), Service);
            let own = "www-authenticate: Basic realm=\"https://1.dkr.ecr.us-east-1.amazonaws.com/\",service=\"ecr.amazonaws.com\"";
            assert_eq!(of(401, &[REGISTRY, own], unknown), Service);
            assert_eq!(of(200, &[], manifest), Service);
            assert_eq!(of(200, &[REGISTRY], PAGE), Intermediary);
            assert_eq!(of(200, &[], "{}"), Intermediary);
            assert_eq!(of(403, &[], PAGE), Intermediary);
        }
        let challenge = "www-authenticate: Bearer realm=\"https://auth.example.com/token\"";
        assert_eq!(
            speaker_of(Registry, Manifest, 401, &[challenge], ""),
            Service
        );
        // Another registry, or a page, in the place of Amazon ECR.
        for (status, headers, body) in [
            (401, [REGISTRY, challenge].as_slice(), unknown),
            (403, &[REGISTRY], PAGE),
        ] {
            assert_eq!(speaker_of(EcrDkr, Manifest, status, headers, body), Unknown);
        }
        let basic = "www-authenticate: Basic realm=\"Corporate proxy\"";
        assert_eq!(
            speaker_of(EcrDkr, Manifest, 401, &[basic], ""),
            Intermediary
        );
        assert_eq!(speaker_of(Registry, Manifest, 401, &[basic], PAGE), Unknown);
        for status in [401, 403, 404, 429] {
            assert_eq!(
                speaker_of(EcrDkr, Manifest, status, &[TEXT], "no"),
                Intermediary
            );
            assert_eq!(
                speaker_of(Registry, Manifest, status, &[TEXT], "no"),
                Unknown
            );
        }
    }

    #[test]
    fn redirect_to_a_blob_is_signed() {
        let signed = "location: https://bucket.example.com/blob?X-Amz-Signature=1";
        let portal = "location: https://portal.example.com/login";
        assert_eq!(speaker_of(EcrDkr, Blob, 307, &[signed], ""), Service);
        assert_eq!(
            speaker_of(
                EcrDkr,
                Blob,
                302,
                &[portal, "content-type: text/html"],
                PAGE
            ),
            Unknown
        );
        assert_eq!(speaker_of(EcrDkr, Blob, 403, &[], PAGE), Intermediary);
        assert_eq!(
            speaker_of(EcrDkr, Manifest, 302, &[portal], ""),
            Intermediary
        );
    }

    #[test]
    fn token_service_sends_a_token_or_an_error() {
        let of = |status, body| speaker_of(Registry, Authorize, status, &[], body);
        assert_eq!(of(200, r#"{"token":"x"}"#), Service);
        assert_eq!(of(200, r#"{"access_token":"x"}"#), Service);
        assert_eq!(
            of(401, r#"{"details":"incorrect username or password"}"#),
            Service
        );
        assert_eq!(of(200, "{}"), Intermediary);
        assert_eq!(of(200, PAGE), Intermediary);
        assert_eq!(of(403, PAGE), Intermediary);
        assert_eq!(of(403, FORBIDDEN), Unknown);
    }
}
