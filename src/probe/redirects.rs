//! Hosts that a response names and the plan does not contain.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Uri;
use hyper::header::{HeaderMap, LOCATION};

use crate::observation::{Dependency, Phase, TargetKey};
use crate::plan::Target;
use crate::plan::is_host_name;
use crate::probe::context::ProbeContext;
use crate::probe::target::TargetHandle;

/// Maximum number of hosts that responses may add to one run: a registry names one or two.
pub const MAX_REDIRECT_HOSTS: usize = 16;

/// Maximum number of requests that one download may take, redirects included. Go's HTTP client,
/// which the puller uses, stops after ten (`net/http`, `defaultCheckRedirect`).
const MAX_REQUESTS: usize = 10;

/// The hosts of redirects and token services. The probe connects to each once, whichever response
/// names it first.
#[derive(Clone, Default)]
pub struct RedirectTargets(Arc<Mutex<BTreeMap<RedirectHost, TargetHandle>>>);

/// A host that a response names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedirectHost {
    pub dependency: Dependency,
    pub host: String,
    pub port: u16,
}

impl RedirectHost {
    /// Returns the target's key in observation IDs.
    pub fn key(&self) -> TargetKey {
        if self.port == 443 {
            TargetKey::at(self.dependency, &self.host)
        } else {
            TargetKey::at(self.dependency, &format!("{}:{}", self.host, self.port))
        }
    }
}

impl RedirectTargets {
    /// Returns the host's handle, and starts to connect to it if it is new. `phase` is what follows
    /// the handshake. Returns `None` for a host beyond [`MAX_REDIRECT_HOSTS`].
    pub fn connect(
        &self,
        context: &ProbeContext,
        host: &RedirectHost,
        phase: Phase,
    ) -> Option<TargetHandle> {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = handles.get(host) {
            return Some(known.clone());
        }
        if handles.len() >= MAX_REDIRECT_HOSTS {
            return None;
        }
        let target = Target {
            key: host.key(),
            dependency: host.dependency,
            host: host.host.clone(),
            port: host.port,
            phases: vec![Phase::Resolve, Phase::Connect, Phase::Handshake, phase],
        };
        let handle = TargetHandle::connect(context, &target);
        handles.insert(host.clone(), handle.clone());
        Some(handle)
    }
}

/// Whether the text, from a response, is a valid host: it becomes part of observation IDs.
pub fn is_host(text: &str) -> bool {
    is_host_name(text.trim_start_matches('[').trim_end_matches(']'))
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectLocation {
    pub host: String,
    pub port: u16,
    pub path: String,
}

impl RedirectLocation {
    /// Returns `path` at a target.
    pub fn at(target: &Target, path: String) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            path,
        }
    }

    /// Whether this is at the target's host and port.
    pub fn is_at(&self, target: &Target) -> bool {
        (&self.host, self.port) == (&target.host, target.port)
    }

    /// Returns where a redirect from this location leads, after `sent` requests. Fails with the
    /// reason if it cannot be followed.
    pub fn next(&self, headers: &HeaderMap, sent: usize) -> Result<Self, String> {
        let from = &self.host;
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(location) = location else {
            return Err(format!("{from} redirects without a Location header"));
        };
        let absolute = if location.starts_with("//") {
            Some(format!("https:{location}"))
        } else {
            relative_path(&self.path, location)
        };
        let uri: Option<Uri> = absolute.as_deref().unwrap_or(location).parse().ok();
        let path = uri
            .as_ref()
            .and_then(Uri::path_and_query)
            .map(ToString::to_string);
        let (Some(uri), Some(path)) = (uri, path) else {
            return Err(format!("{from} redirects to something that is not a URL"));
        };
        let next = match (uri.scheme_str(), uri.host()) {
            (None, None) => Self {
                path,
                ..self.clone()
            },
            (Some(_), Some(host)) if !is_host(host) => {
                return Err(format!("{from} redirects to something that is not a host"));
            }
            (Some("https"), Some(host)) => Self {
                host: host.to_lowercase(),
                port: uri.port_u16().unwrap_or(443),
                path,
            },
            (Some("http"), Some(host)) => {
                return Err(format!(
                    "{from} redirects to http://{host}, which is not encrypted: the probe follows https only"
                ));
            }
            _ => return Err(format!("the redirect of {from} is not an https URL")),
        };
        if sent >= MAX_REQUESTS {
            return Err(format!(
                "too many redirects: stopped after {MAX_REQUESTS} requests, as the image puller does"
            ));
        }
        Ok(next)
    }
}

/// Returns the path of a reference that is relative to `base`, as Go's HTTP client resolves it
/// (RFC 3986 section 5.2); `None` for any other reference.
fn relative_path(base: &str, reference: &str) -> Option<String> {
    let end = reference.find(['?', '#']).unwrap_or(reference.len());
    let (path, query) = reference.split_at(end);
    // A colon in the first segment ends a scheme.
    let is_path = path
        .split('/')
        .next()
        .is_some_and(|first| !first.is_empty() && !first.contains(':'));
    if !is_path {
        return None;
    }
    let base = base.split(['?', '#']).next().unwrap_or_default();
    let (directory, _) = base.rsplit_once('/').unwrap_or_default();
    let mut segments: Vec<&str> = directory.split('/').skip(1).collect();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    Some(format!("/{}{query}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(location: &str, sent: usize) -> Result<RedirectLocation, String> {
        let from = RedirectLocation {
            host: "registry.example.com".into(),
            port: 5000,
            path: "/v2/".into(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        from.next(&headers, sent)
    }

    #[test]
    fn follows_absolute_and_relative_redirects_over_https_only() {
        let at = |host: &str, port, path: &str| {
            Ok(RedirectLocation {
                host: host.into(),
                port,
                path: path.into(),
            })
        };
        assert_eq!(
            next("/a?b=c", 1),
            at("registry.example.com", 5000, "/a?b=c")
        );
        assert_eq!(
            next("https://CDN.example.com/a", 1),
            at("cdn.example.com", 443, "/a")
        );
        assert_eq!(
            next("//cdn.example.com:8443/a", 9),
            at("cdn.example.com", 8443, "/a")
        );
        let relative = [
            ("blobs/x?y", "/v2/blobs/x?y"),
            ("../x", "/x"),
            ("./a/../b", "/v2/b"),
            ("../../../x", "/x"),
        ];
        for (location, path) in relative {
            assert_eq!(next(location, 1), at("registry.example.com", 5000, path));
        }
        for (location, sent, reason) in [
            (
                "http://cdn.example.com/a",
                1,
                "http://cdn.example.com, which is not encrypted",
            ),
            ("/a", 10, "stopped after 10 requests"),
            ("ftp://cdn.example.com/a", 1, "is not an https URL"),
            ("https://", 1, "is not a URL"),
        ] {
            let error = next(location, sent).unwrap_err();
            assert!(error.contains(reason), "{location}: {error}");
        }
    }
}
