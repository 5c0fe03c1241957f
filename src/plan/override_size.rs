//! The size limit of RunTask's overrides, in which a plan travels to the probe.

/// RunTask takes overrides of up to 8,192 characters (ECS API reference, TaskOverride).
pub const MAX_OVERRIDE_CHARS: usize = 8_192;

/// What to do about a plan that exceeds [`MAX_OVERRIDE_CHARS`].
pub(super) const TOO_LARGE_HINT: &str = "upload the task definition and pass its location instead: \
     --task-definition s3://BUCKET/KEY or --task-definition ssm:/NAME";

/// Characters of the overrides besides the plan: the container's name, and the other environment
/// variables.
const OTHER_OVERRIDE_CHARS: usize = 256;

/// Returns the length in characters of RunTask's overrides with this plan in them. There, the plan
/// is a JSON string, in which each quote and backslash is escaped.
pub(super) fn override_chars(json: &str) -> usize {
    OTHER_OVERRIDE_CHARS + json.chars().count() + json.matches(['"', '\\']).count()
}
