//! For any bytes, `explain` terminates, does not panic, and is never certain about a failure before
//! a response.

use pullprobe::cause::Family;
use pullprobe::diagnose::Confidence;
use pullprobe::explain::{explain, tasks};

pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let explained = explain(&text);
    if matches!(explained.family, Family::Network | Family::Resolve | Family::Tls) {
        assert!(explained.findings.iter().all(|finding| finding.confidence != Confidence::Certain), "{text}");
    }
    // A timeout in Go's wording is never reported as a permission problem. Text within what looks
    // like an HTML tag is removed.
    if text.contains(": i/o timeout") && !text.contains('<') && !text.contains('&') {
        assert_ne!(explained.family, Family::Permission, "{text}");
    }
    assert_eq!(explained.exit_code(), explained.family.exit_code());
    let _ = tasks::messages(&text);
}
