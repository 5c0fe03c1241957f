//! Recognizes the logs of applications. The timeouts and denials in them are about the
//! application's own peers and do not tell why a task failed to start.

/// Text that occurs only in application logs: stack frames and names of runtimes.
const MARKERS: [&str; 13] = [
    "Traceback (most recent call last)",
    "Exception in thread",
    "goroutine 1 [",
    "npm ERR!",
    "node_modules/",
    "node:internal",
    "(node:",
    "botocore.",
    "site-packages",
    "panic: runtime error",
    ".java:",
    ".py\", line",
    "[Errno ",
];

/// Whether the text is an application's log: it has a stack trace, the name of a runtime, or an
/// error class within a package, such as `java.net.ConnectException`.
pub fn is_app_log(text: &str) -> bool {
    MARKERS.iter().any(|marker| text.contains(marker))
        || text.split([' ', '(', '[', ':']).any(is_error_class)
}

/// Whether a word is `package.Class` with a class name that ends in `Error` or `Exception`. ECS,
/// its agents and AWS services name their errors without a package.
fn is_error_class(word: &str) -> bool {
    let Some((package, class)) = word.rsplit_once('.') else {
        return false;
    };
    let named = ["Error", "Exception"]
        .iter()
        .any(|end| class.ends_with(end));
    named
        && class.starts_with(|c: char| c.is_ascii_uppercase())
        && package.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_application_logs() {
        for text in [
            "Traceback (most recent call last): File \"/app/a.py\", line 3, in <module>",
            "java.net.SocketTimeoutException: connect timed out",
            "redis.exceptions.ConnectionError: Error 111 connecting to redis:6379",
            "Error: connect ETIMEDOUT 10.0.0.1:443 at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1187:16)",
            "OSError: [Errno 8] Exec format error: './tool'",
        ] {
            assert!(is_app_log(text), "{text}");
        }
    }

    #[test]
    fn ecs_messages_are_not_application_logs() {
        for text in [
            "CannotPullContainerError: Error response from daemon: Get https://a.dkr.ecr.eu-west-1.amazonaws.com/v2/",
            "operation error ECR: GetAuthorizationToken, api error AccessDeniedException: User: arn:aws:iam::1:role/x",
            "Reason: ResourceInitializationError: unable to pull secrets. ResourceNotFoundException: x",
        ] {
            assert!(!is_app_log(text), "{text}");
        }
    }
}
