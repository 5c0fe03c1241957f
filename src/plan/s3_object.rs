//! An object in Amazon S3, by its ARN.

use std::str::FromStr;

use thiserror::Error;

use super::shorten;
use crate::arn::Arn;

/// An object in Amazon S3, parsed from `arn:aws:s3:::bucket/key`. The ARN names no Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Object {
    /// Bucket name.
    pub bucket: String,
    /// Object key, as written in the ARN.
    pub key: String,
}

/// A text that is not the ARN of an S3 object. Shortened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not the ARN of an object in Amazon S3, such as arn:aws:s3:::bucket/app.env")]
pub struct InvalidS3ObjectArn(String);

impl FromStr for S3Object {
    type Err = InvalidS3ObjectArn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let arn = text.parse::<Arn>().ok();
        arn.as_ref()
            .filter(|arn| arn.service == "s3" && arn.region.is_empty() && arn.account.is_empty())
            .and_then(|arn| arn.resource.split_once('/'))
            .filter(|(bucket, key)| is_bucket_name(bucket) && !key.is_empty())
            .map(|(bucket, key)| Self {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            })
            .ok_or_else(|| InvalidS3ObjectArn(shorten(text)))
    }
}

/// Whether `name` has 3 to 63 lowercase letters, digits, dots and hyphens, begins and ends with a
/// letter or digit, and has no two adjacent dots (Amazon S3 user guide, "Bucket naming rules").
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let valid_ends = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    (3..=63).contains(&name.len())
        && name.chars().all(allowed)
        && valid_ends
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_bucket_and_key_of_an_object_arn() {
        let object: S3Object = "arn:aws-cn:s3:::my.bucket/a/b:c.env".parse().unwrap();
        assert_eq!((&*object.bucket, &*object.key), ("my.bucket", "a/b:c.env"));
        for wrong in [
            "s3://bucket/key",
            "arn:aws:s3:::bucket",
            "arn:aws:s3:::bucket/",
            "arn:aws:s3:eu-west-1::bucket/key",
            "arn:aws:s3::123456789012:bucket/key",
            "arn:aws:s3:::Bucket/key",
            "arn:aws:s3:::a..b/key",
            "arn:aws:sns:::bucket/key",
        ] {
            assert!(wrong.parse::<S3Object>().is_err(), "{wrong}");
        }
    }
}
