//! Whether a text is an application's own log. What an application says of timeouts and refusals is
//! about its own peers, and says nothing of why a task did not start.

/// What only the log of a program has: frames of its stack, and names of its runtime.
const MARKS: [&str; 13] = [
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

/// By its form: a stack, a runtime's name, or an error class within a package, such as
/// `java.net.ConnectException`.
pub fn is_foreign(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark)) || text.split([' ', '(', '[', ':']).any(is_class)
}

/// `package.Class` whose class ends as errors do. ECS, its agents and the services name theirs
/// without a package.
fn is_class(word: &str) -> bool {
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
    fn the_logs_of_programs_are_known_by_their_form() {
        for text in [
            "Traceback (most recent call last): File \"/app/a.py\", line 3, in <module>",
            "java.net.SocketTimeoutException: connect timed out",
            "redis.exceptions.ConnectionError: Error 111 connecting to redis:6379",
            "Error: connect ETIMEDOUT 10.0.0.1:443 at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1187:16)",
            "OSError: [Errno 8] Exec format error: './tool'",
        ] {
            assert!(is_foreign(text), "{text}");
        }
    }

    #[test]
    fn the_names_of_ecs_have_no_package() {
        for text in [
            "CannotPullContainerError: Error response from daemon: Get https://a.dkr.ecr.eu-west-1.amazonaws.com/v2/",
            "operation error ECR: GetAuthorizationToken, api error AccessDeniedException: User: arn:aws:iam::1:role/x",
            "Reason: ResourceInitializationError: unable to pull secrets. ResourceNotFoundException: x",
        ] {
            assert!(!is_foreign(text), "{text}");
        }
    }
}
