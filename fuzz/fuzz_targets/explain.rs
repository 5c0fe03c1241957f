//! Whatever the bytes, `explain` ends, does not panic, and is never certain of what happens before
//! an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pullprobe::cause::Family;
use pullprobe::diagnose::Confidence;
use pullprobe::explain::{explain, tasks};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let explained = explain(&text);
    if matches!(explained.family, Family::Network | Family::Resolve | Family::Tls) {
        assert!(explained.findings.iter().all(|finding| finding.confidence != Confidence::Certain), "{text}");
    }
    // Silence in Go's own words is never read as a refusal; inside of what looks like a tag it is
    // not read at all.
    if text.contains(": i/o timeout") && !text.contains('<') && !text.contains('&') {
        assert_ne!(explained.family, Family::Permission, "{text}");
    }
    assert_eq!(explained.exit_code(), explained.family.exit_code());
    let _ = tasks::messages(&text);
});
