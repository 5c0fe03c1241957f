//! A client of the OCI distribution protocol, for one repository of Amazon ECR.
//!
//! These are plain requests, of six kinds, which the HTTP client of [`crate::operator::aws`] sends.
//! The crate `oci-client` 0.18 was tried instead: it can push an index as well, and its push of one
//! image is 24 lines. It is not used, for these reasons:
//!
//! - it needs 45 more crates, 31 of them new here (29 with `rustls-tls-no-provider`; `rustls-tls`
//!   brings aws-lc, which `deny.toml` bans), for what the present client already does;
//! - it does not resume an upload, where this continues at the byte that the registry names;
//! - it does not check what the registry has stored, on which ECS relies;
//! - denials and throttles must become what every other AWS call says: the statement that grants
//!   the action, and when to try again.
//!
//! Every request is bounded in time, size and attempts. The registry's token is sent to the
//! registry's own origin only.

use std::time::Duration;

use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RANGE, RETRY_AFTER,
};
use hyper::{Method, StatusCode};
use reqwest::Url;

use super::event::{InstallEvent, ShowEvent};
use super::image::{OciContent, digest_of};
use super::repository::{EcrRepository, RegistryToken, TAG};
use crate::aws::error_response::{self, ErrorResponse};
use crate::observation::{Denial, Failure};
use crate::operator::aws::{Api, CallError, read_body};
use crate::operator::dry_run::AwsCalls;
use crate::operator::error::OperatorError;
use crate::safe_text::visible;

/// Characters that are shown of an address or a digest that a server sent.
const MAX_SHOWN_CHARS: usize = 100;

/// Limit for a request without a layer, with its response. ECR answers within a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Limit for the upload of one chunk: the layer has less than 3 MB, so this is 20 KB a second.
const CHUNK_TIMEOUT: Duration = Duration::from_mins(2);

/// Attempts of one request.
const MAX_ATTEMPTS: u32 = 4;

/// Pause before the second attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause that `Retry-After` can demand.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// Tokens that one installation gets: one may have expired in a cache on the path.
const MAX_LOGINS: u32 = 2;

/// Largest manifest (OCI distribution specification: registries should accept 4 MiB).
const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

/// Bytes of an error response that are read.
const MAX_ERROR_SIZE: usize = 64 * 1024;

/// Failed attempts to advance one upload, all together.
const MAX_UPLOAD_FAILURES: u32 = 5;

/// Largest part of an upload in one request. Amazon ECR announces parts of 10 MiB
/// (`InitiateLayerUpload`), and accepts at most 20 MiB.
const MAX_CHUNK: usize = 10 * 1024 * 1024;

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const CONTENT_RANGE: HeaderName = HeaderName::from_static("content-range");

/// The client.
pub struct RegistryClient<'a> {
    calls: &'a AwsCalls,
    show: &'a mut ShowEvent<'a>,
    repository: &'a EcrRepository,
    /// `…/v2/NAME/`.
    base: Url,
    authorization: HeaderValue,
    logins: u32,
}

/// A request to the registry.
struct RegistryRequest<'a> {
    /// IAM action that permits it.
    action: &'static str,
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: &'a [u8],
    timeout: Duration,
    max_response: usize,
}

impl RegistryRequest<'_> {
    fn new(action: &'static str, method: Method, url: Url) -> Self {
        Self {
            action,
            method,
            url,
            headers: Vec::new(),
            body: &[],
            timeout: REQUEST_TIMEOUT,
            max_response: MAX_ERROR_SIZE,
        }
    }
}

/// A response of the registry, whatever its status.
struct RegistryResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Where an upload is.
struct UploadSession {
    location: Url,
    offset: usize,
}

/// Why an upload did not advance.
enum UploadFailure {
    /// The session continues at the offset that the registry has just returned.
    Continue(OperatorError),
    /// The session continues where the registry says.
    Resume(OperatorError),
    /// The registry does not know the session any more, or its content is wrong.
    Restart(OperatorError),
    /// Another attempt would fail, too.
    Final(OperatorError),
}

/// What an upload does after a failure.
enum Next {
    Continue,
    /// Asks the registry how much it has.
    Ask,
    Restart,
}

impl<'a> RegistryClient<'a> {
    /// Logs in.
    pub async fn log_in(
        calls: &'a AwsCalls,
        repository: &'a EcrRepository,
        show: &'a mut ShowEvent<'a>,
    ) -> Result<Self, OperatorError> {
        let login = RegistryToken::get(calls).await?;
        let base = base_url(calls, repository, &login)?;
        Ok(Self {
            calls,
            show,
            repository,
            base,
            authorization: authorization(&login)?,
            logins: 1,
        })
    }

    /// Shows an event to the caller.
    pub fn show(&mut self, event: &InstallEvent<'_>) {
        (self.show)(event);
    }

    /// Reads a manifest or index by tag or digest, and checks it against the digest that the
    /// registry names. Returns its digest, `None` if there is none.
    pub async fn manifest_digest(
        &mut self,
        reference: &str,
        media_types: &[&str],
    ) -> Result<Option<String>, OperatorError> {
        let mut request = self.request(
            "ecr:BatchGetImage",
            Method::GET,
            &format!("manifests/{reference}"),
        )?;
        // One header: not every server in between keeps several of a name.
        request
            .headers
            .push((ACCEPT, header(&media_types.join(", "))?));
        request.max_response = MAX_MANIFEST_SIZE;
        let response = self.send(&request).await?;
        if response.status == StatusCode::NOT_FOUND && response.is_of_a_registry() {
            return Ok(None);
        }
        if response.status != StatusCode::OK {
            return Err(self.refused(&request, &response));
        }
        let actual = digest_of(&response.body);
        self.check_digest(&request, &response, &actual)?;
        if reference.starts_with("sha256:") && reference != actual {
            return Err(self.digest_mismatch(&request, reference, &actual));
        }
        Ok(Some(actual))
    }

    /// Writes a manifest or index under a tag or its digest, and reads it back.
    pub async fn put_manifest(
        &mut self,
        reference: &str,
        content: &OciContent,
    ) -> Result<(), OperatorError> {
        let mut request = self.request(
            "ecr:PutImage",
            Method::PUT,
            &format!("manifests/{reference}"),
        )?;
        request
            .headers
            .push((CONTENT_TYPE, header(content.media_type)?));
        request.body = &content.bytes;
        let response = self.send(&request).await?;
        if !response.status.is_success() {
            // An earlier attempt of this request may have arrived, or another process did the same.
            let is_conflict = [StatusCode::BAD_REQUEST, StatusCode::CONFLICT];
            if is_conflict.contains(&response.status)
                && self
                    .manifest_digest(reference, &[content.media_type])
                    .await?
                    == Some(content.digest.clone())
            {
                return Ok(());
            }
            return Err(self.refused(&request, &response));
        }
        self.check_digest(&request, &response, &content.digest)?;
        match self
            .manifest_digest(reference, &[content.media_type])
            .await?
        {
            Some(stored) if stored == content.digest => Ok(()),
            Some(stored) => Err(self.digest_mismatch(&request, &content.digest, &stored)),
            None => Err(OperatorError::Failed(format!(
                "{}: {} accepted the manifest {} and then does not have it; run the command again, and if that does not \
                 help, check the proxy in HTTPS_PROXY and AWS_ENDPOINT_URL",
                request.action,
                self.host(),
                content.digest
            ))),
        }
    }

    /// Whether the registry has a blob, with the right size and digest.
    pub async fn has_blob(&mut self, blob: &OciContent) -> Result<bool, OperatorError> {
        let request = self.request(
            "ecr:BatchCheckLayerAvailability",
            Method::HEAD,
            &format!("blobs/{}", blob.digest),
        )?;
        let response = self.send(&request).await?;
        // A registry may redirect to its storage, which it does for a blob that it has.
        if response.status.is_redirection() {
            return Ok(true);
        }
        if response.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        if !response.status.is_success() {
            return Err(self.refused(&request, &response));
        }
        self.check_digest(&request, &response, &blob.digest)?;
        let size = response.header(&CONTENT_LENGTH);
        match size.map(str::parse::<usize>) {
            Some(Ok(size)) if size != blob.bytes.len() => Err(OperatorError::Failed(format!(
                "{}: {} has a blob {} of {size} bytes, but it must have {}: this registry does not store what its digests \
                 say; check the proxy in HTTPS_PROXY and AWS_ENDPOINT_URL, or use another --repository",
                request.action,
                self.host(),
                blob.digest,
                blob.bytes.len()
            ))),
            _ => Ok(true),
        }
    }

    /// Uploads a blob, in chunks. An upload that breaks off continues where the registry says, or
    /// begins again.
    pub async fn upload(&mut self, blob: &OciContent) -> Result<(), OperatorError> {
        let mut session = None;
        let mut failures = 0;
        loop {
            let failure = match self.advance_upload(blob, &mut session).await {
                Ok(true) => break,
                Ok(false) => continue,
                Err(failure) => failure,
            };
            failures += 1;
            let (error, next) = match failure {
                UploadFailure::Final(error) => return Err(error),
                UploadFailure::Continue(error) => (error, Next::Continue),
                UploadFailure::Resume(error) => (error, Next::Ask),
                UploadFailure::Restart(error) => (error, Next::Restart),
            };
            if failures >= MAX_UPLOAD_FAILURES {
                return Err(OperatorError::Failed(format!(
                    "the upload of {} failed {failures} times, the last time with: {error}. The tag was not written; run the \
                     command again, which continues with what is missing",
                    blob.digest
                )));
            }
            self.pause(failures, None, &error.to_string()).await;
            // The response may have been lost, and not the request.
            if self.has_blob(blob).await? {
                return Ok(());
            }
            session = match (next, session.take()) {
                (Next::Continue, current) => current,
                (Next::Ask, Some(current)) => self.upload_status(current, blob).await,
                _ => None,
            };
        }
        if self.has_blob(blob).await? {
            return Ok(());
        }
        Err(OperatorError::Failed(format!(
            "ecr:CompleteLayerUpload: {} accepted the blob {} and then does not have it; run the command again, and if that \
             does not help, check the proxy in HTTPS_PROXY and AWS_ENDPOINT_URL",
            self.host(),
            blob.digest
        )))
    }

    /// Sends the next request of an upload. Returns whether it is complete.
    async fn advance_upload(
        &mut self,
        blob: &OciContent,
        session: &mut Option<UploadSession>,
    ) -> Result<bool, UploadFailure> {
        let Some(current) = session else {
            *session = Some(self.start_upload().await?);
            return Ok(false);
        };
        if current.offset < blob.bytes.len() {
            self.upload_chunk(blob, current).await?;
            return Ok(false);
        }
        let mut url = current.location.clone();
        url.query_pairs_mut().append_pair("digest", &blob.digest);
        let request = RegistryRequest {
            timeout: CHUNK_TIMEOUT,
            ..RegistryRequest::new("ecr:CompleteLayerUpload", Method::PUT, url)
        };
        let response = self.send_for_upload(&request).await?;
        if !response.status.is_success() {
            // Also if the registry has calculated another digest.
            return Err(self.upload_refused(&request, &response));
        }
        self.check_digest(&request, &response, &blob.digest)
            .map_err(UploadFailure::Final)?;
        Ok(true)
    }

    async fn start_upload(&mut self) -> Result<UploadSession, UploadFailure> {
        let request = self
            .request("ecr:InitiateLayerUpload", Method::POST, "blobs/uploads/")
            .map_err(UploadFailure::Final)?;
        let response = self.send_for_upload(&request).await?;
        if response.status != StatusCode::ACCEPTED {
            return Err(self.upload_refused(&request, &response));
        }
        let location = response.location(&request.url).ok_or_else(|| {
            UploadFailure::Final(OperatorError::Failed(format!(
                "{}: {} does not say where to upload to (no valid Location header), so it does not speak the OCI distribution \
                 protocol; check the proxy in HTTPS_PROXY and AWS_ENDPOINT_URL",
                request.action,
                self.host()
            )))
        })?;
        Ok(UploadSession {
            location,
            offset: 0,
        })
    }

    async fn upload_chunk(
        &mut self,
        blob: &OciContent,
        session: &mut UploadSession,
    ) -> Result<(), UploadFailure> {
        let end = blob.bytes.len().min(session.offset + MAX_CHUNK);
        let range = format!("{}-{}", session.offset, end - 1);
        let mut request = RegistryRequest::new(
            "ecr:UploadLayerPart",
            Method::PATCH,
            session.location.clone(),
        );
        request.headers.push((
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ));
        request
            .headers
            .push((CONTENT_RANGE, header(&range).map_err(UploadFailure::Final)?));
        request.body = &blob.bytes[session.offset..end];
        request.timeout = CHUNK_TIMEOUT;
        let response = self.send_for_upload(&request).await?;
        if response.status == StatusCode::RANGE_NOT_SATISFIABLE
            && let Some(offset) = response.received()
            && offset <= blob.bytes.len()
            && offset != session.offset
        {
            session.offset = offset;
            if let Some(location) = response.location(&request.url) {
                session.location = location;
            }
            return Err(UploadFailure::Continue(self.refused(&request, &response)));
        }
        if !response.status.is_success() {
            return Err(self.upload_refused(&request, &response));
        }
        let before = session.offset;
        session.offset = response.received().unwrap_or(end);
        if let Some(location) = response.location(&request.url) {
            session.location = location;
        }
        let what = if session.offset > end {
            "more bytes than were sent"
        } else if session.offset <= before {
            "none of the bytes that were sent"
        } else {
            return Ok(());
        };
        Err(UploadFailure::Restart(OperatorError::Failed(format!(
            "{}: {} reports that it received {what}",
            request.action,
            self.host()
        ))))
    }

    /// Finds out where an upload that broke off continues. `None` if the registry does not say, or
    /// says something impossible.
    async fn upload_status(
        &mut self,
        session: UploadSession,
        blob: &OciContent,
    ) -> Option<UploadSession> {
        let request =
            RegistryRequest::new("ecr:UploadLayerPart", Method::GET, session.location.clone());
        let response = self.send_once(&request).await.ok()?;
        if !response.status.is_success() {
            return None;
        }
        let offset = response.received()?;
        (offset <= blob.bytes.len()).then(|| UploadSession {
            location: response.location(&request.url).unwrap_or(session.location),
            offset,
        })
    }

    /// Sends a request of an upload, which is not repeated as it is.
    async fn send_for_upload(
        &mut self,
        request: &RegistryRequest<'_>,
    ) -> Result<RegistryResponse, UploadFailure> {
        self.send_once(request).await.map_err(|error| match error {
            OperatorError::Call(CallError::NoResponse { .. }) => UploadFailure::Resume(error),
            error => UploadFailure::Final(error),
        })
    }

    fn upload_refused(
        &self,
        request: &RegistryRequest<'_>,
        response: &RegistryResponse,
    ) -> UploadFailure {
        let error = self.refused(request, response);
        match response.status {
            StatusCode::RANGE_NOT_SATISFIABLE => UploadFailure::Resume(error),
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST if request.method != Method::POST => {
                UploadFailure::Restart(error)
            }
            status if is_transient(status) => UploadFailure::Resume(error),
            _ => UploadFailure::Final(error),
        }
    }

    /// Sends a request until it is answered, except by a throttle or a failure of the service.
    async fn send(
        &mut self,
        request: &RegistryRequest<'_>,
    ) -> Result<RegistryResponse, OperatorError> {
        let mut attempt = 1;
        loop {
            let result = self.send_once(request).await;
            let (reason, retry_after) = match &result {
                Ok(response) if is_transient(response.status) => {
                    let reason = self.refused(request, response).to_string();
                    (reason, response.retry_after())
                }
                Err(error @ OperatorError::Call(CallError::NoResponse { .. })) => {
                    (error.to_string(), None)
                }
                _ => return result,
            };
            if attempt == MAX_ATTEMPTS {
                return result;
            }
            self.pause(attempt, retry_after, &reason).await;
            attempt += 1;
        }
    }

    async fn pause(&mut self, failures: u32, retry_after: Option<Duration>, reason: &str) {
        let pause = retry_after
            .unwrap_or(FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1)))
            .min(MAX_PAUSE);
        self.show(&InstallEvent::Retrying { reason, pause });
        tokio::time::sleep(pause).await;
    }

    /// Sends a request. Gets a new token, once, if the registry does not accept the present one.
    async fn send_once(
        &mut self,
        request: &RegistryRequest<'_>,
    ) -> Result<RegistryResponse, OperatorError> {
        let response = self.exchange(request).await?;
        if response.status.is_success() || response.status.is_redirection() {
            return Ok(response);
        }
        // The response to HEAD has no body, which would say that the token has expired.
        let is_unexplained =
            request.method == Method::HEAD && response.status == StatusCode::FORBIDDEN;
        let is_expired = self.read_error(request, &response).failure == Failure::ExpiredToken;
        let is_rejected = response.status == StatusCode::UNAUTHORIZED
            || is_expired
            || is_unexplained && self.logins < MAX_LOGINS;
        if !is_rejected || !self.is_own(&request.url) {
            return Ok(response);
        }
        if self.logins < MAX_LOGINS {
            self.logins += 1;
            self.authorization = authorization(&RegistryToken::get(self.calls).await?)?;
            let response = self.exchange(request).await?;
            if response.status != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
        }
        Err(OperatorError::Failed(format!(
            "{}: {} does not accept the token that ecr:GetAuthorizationToken returned ({}); check that AWS_PROFILE and the \
             access keys are those of the registry's account, and run the command again",
            request.action,
            self.host(),
            self.read_error(request, &response).message
        )))
    }

    async fn exchange(
        &self,
        request: &RegistryRequest<'_>,
    ) -> Result<RegistryResponse, OperatorError> {
        let action = || request.action.to_owned();
        let mut builder = self
            .calls
            .client()
            .http()
            .request(request.method.clone(), request.url.clone())
            .timeout(request.timeout);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if self.is_own(&request.url) {
            builder = builder.header(AUTHORIZATION, self.authorization.clone());
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            builder = builder
                .header(CONTENT_LENGTH, request.body.len())
                .body(request.body.to_vec());
        }
        let mut response = builder
            .send()
            .await
            .map_err(|error| CallError::transport(action(), &error))?;
        let status = response.status();
        let limit = if status.is_success() {
            request.max_response
        } else {
            MAX_ERROR_SIZE
        };
        let body = match read_body(&mut response, limit, action).await {
            Err(CallError::TooLarge { action, limit }) => {
                return Err(OperatorError::Failed(format!(
                    "{action}: {} sends more than {} KiB, where Amazon ECR sends much less; check the proxy in HTTPS_PROXY and \
                     AWS_ENDPOINT_URL",
                    self.host(),
                    limit / 1024
                )));
            }
            body => body?,
        };
        Ok(RegistryResponse {
            status,
            headers: response.headers().clone(),
            body,
        })
    }

    fn request(
        &self,
        action: &'static str,
        method: Method,
        path: &str,
    ) -> Result<RegistryRequest<'static>, OperatorError> {
        let url = self.base.join(path).map_err(|error| {
            OperatorError::Failed(format!("{action}: the path {path:?} is not valid: {error}"))
        })?;
        Ok(RegistryRequest::new(action, method, url))
    }

    /// Whether a URL is the registry's own, so that it may receive the token. Amazon ECR uploads to
    /// itself; another registry may name another host (containerd treats it the same).
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    fn read_error(
        &self,
        request: &RegistryRequest<'_>,
        response: &RegistryResponse,
    ) -> ErrorResponse {
        let mut error =
            error_response::read(response.status.as_u16(), &response.headers, &response.body);
        if error.failure == Failure::Denied {
            let denial = error.denial.get_or_insert_with(Denial::default);
            denial
                .action
                .get_or_insert_with(|| request.action.to_owned().into());
            denial
                .resource
                .get_or_insert_with(|| self.repository.arn.clone().into());
        }
        if error.code.is_empty() && error.message.is_empty() {
            error.message = format!(
                "{} answers with HTTP status {}",
                self.host(),
                response.status
            )
            .into();
        }
        error
    }

    fn refused(&self, request: &RegistryRequest<'_>, response: &RegistryResponse) -> OperatorError {
        let error = self.read_error(request, response);
        let failure = error.failure;
        let error = CallError::refused(request.action.to_owned(), error);
        match failure {
            // Their texts say what to do.
            Failure::Denied | Failure::ExpiredToken | Failure::ClockSkewed | Failure::Throttled => {
                error.into()
            }
            _ => OperatorError::Failed(format!(
                "{error}. The tag {TAG} was not written; run the command again, which continues with what is missing, and if \
                 that does not help, check the repository with `aws ecr describe-repositories --repository-names {}`",
                self.repository.name
            )),
        }
    }

    /// Checks the digest that a response names, if it names one.
    fn check_digest(
        &self,
        request: &RegistryRequest<'_>,
        response: &RegistryResponse,
        expected: &str,
    ) -> Result<(), OperatorError> {
        match response.header(&DOCKER_CONTENT_DIGEST) {
            Some(named) if named != expected => Err(self.digest_mismatch(request, expected, named)),
            _ => Ok(()),
        }
    }

    fn digest_mismatch(
        &self,
        request: &RegistryRequest<'_>,
        expected: &str,
        actual: &str,
    ) -> OperatorError {
        OperatorError::Failed(format!(
            "{}: {} names or sends {}, but the content has the digest {expected}: what ECS would pull from there is not what \
             was pushed. Check the proxy in HTTPS_PROXY and AWS_ENDPOINT_URL, and do not use this image",
            request.action,
            self.host(),
            visible(actual, MAX_SHOWN_CHARS)
        ))
    }
}

impl RegistryResponse {
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the URL of an upload, which may be relative.
    fn location(&self, of: &Url) -> Option<Url> {
        let url = of.join(self.header(&LOCATION)?).ok()?;
        ["http", "https"].contains(&url.scheme()).then_some(url)
    }

    /// Returns how many bytes of an upload the registry has, from `Range: 0-N`, which some
    /// registries write as `bytes=0-N`. `0-0` is what a registry says that has none.
    fn received(&self) -> Option<usize> {
        let range = self.header(&RANGE)?;
        let range = range.strip_prefix("bytes=").unwrap_or(range);
        match range.strip_prefix("0-")?.trim().parse::<usize>().ok()? {
            0 => Some(0),
            last => last.checked_add(1),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header(&RETRY_AFTER)?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Whether a 404 is a registry's, and not that of another web server.
    fn is_of_a_registry(&self) -> bool {
        self.body.is_empty() || serde_json::from_slice::<serde_json::Value>(&self.body).is_ok()
    }
}

/// Whether the same request may succeed in a moment.
fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
}

fn header(text: &str) -> Result<HeaderValue, OperatorError> {
    HeaderValue::try_from(text)
        .map_err(|_| OperatorError::Failed(format!("{text:?} is not valid in an HTTP header")))
}

/// Returns the header with the token, which is never printed.
fn authorization(login: &RegistryToken) -> Result<HeaderValue, OperatorError> {
    let mut value = HeaderValue::try_from(format!("Basic {}", login.authorization_token))
        .map_err(|_| {
            OperatorError::Failed(
                "ecr:GetAuthorizationToken: the token is not valid in an HTTP header; check AWS_ENDPOINT_URL".into(),
            )
        })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the URL below which the repository is. Without encryption only where the operator has
/// already chosen an endpoint without encryption, as for a test.
fn base_url(
    calls: &AwsCalls,
    repository: &EcrRepository,
    login: &RegistryToken,
) -> Result<Url, OperatorError> {
    let of_uri = || {
        let host = repository.uri.split('/').next().unwrap_or_default();
        format!("https://{host}")
    };
    let endpoint = login.proxy_endpoint.clone().unwrap_or_else(of_uri);
    let failed = |what: String| {
        OperatorError::Failed(format!(
            "ecr:GetAuthorizationToken: the registry's address {} {what}; check AWS_ENDPOINT_URL",
            visible(&endpoint, MAX_SHOWN_CHARS)
        ))
    };
    let url = format!("{}/v2/{}/", endpoint.trim_end_matches('/'), repository.name);
    let url: Url = url
        .parse()
        .map_err(|error| failed(format!("is not valid ({error})")))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if !calls.client().is_encrypted(Api::ECR) => Ok(url),
        _ => Err(failed("is not an HTTPS address".into())),
    }
}
