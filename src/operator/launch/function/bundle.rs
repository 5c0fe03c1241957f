//! The function's code: a zip file with the static file as `bootstrap`, made in memory. The same
//! file always gives the same bytes.
//!
//! One entry needs three records (PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16) around
//! the data that `flate2` packs. The crate `zip` would bring in six crates for them.

use std::io::Write as _;
use std::path::Path;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::operator::error::OperatorError;

/// The file that the runtime `provided.al2023` starts.
const BOOTSTRAP: &[u8] = b"bootstrap";

/// Most bytes of the zip: the probe's file has less without compression. Lambda takes 50 MB in a
/// request (Lambda quotas).
const MAX_BUNDLE: usize = 5_000_000;

/// Version 2.0, which unpacks deflated entries (section 4.4.3).
const VERSION: u16 = 20;

/// Made by version 2.0 on Unix, so that the attributes are a file's mode (section 4.4.2).
const MADE_BY: u16 = 3 << 8 | VERSION;

const DEFLATED: u16 = 8;

/// 1 January 1980, the first day of the format (section 4.4.6).
const DATE: u16 = 1 << 5 | 1;

/// A regular file that everyone may read and execute: Lambda starts only such a file.
const MODE: u32 = 0o100_755 << 16;

/// Most bytes of the zip of a whole binary: Lambda takes 250 MB unpacked from Amazon S3 (Lambda
/// quotas).
const MAX_BINARY_BUNDLE: usize = 100_000_000;

/// Packs a whole binary, `file`, as the code of a function.
pub fn bundle_binary(binary: &[u8], file: &Path) -> Result<Vec<u8>, OperatorError> {
    let zip = pack(binary)?;
    if !binary.starts_with(b"\x7fELF") || zip.len() > MAX_BINARY_BUNDLE {
        return Err(OperatorError::Usage(format!(
            "{} is not a Linux binary of at most {MAX_BINARY_BUNDLE} bytes in a zip file; pass the release for linux/amd64 with --binary",
            file.display()
        )));
    }
    Ok(zip)
}

/// Packs the static file.
pub fn bundle(agent: &[u8]) -> Result<Vec<u8>, OperatorError> {
    let file = pack(agent)?;
    if file.len() > MAX_BUNDLE {
        return Err(OperatorError::Usage(format!(
            "the probe's file has {} bytes in a zip file, more than {MAX_BUNDLE}; pass the one that `cargo static` builds \
             with --agent",
            file.len()
        )));
    }
    Ok(file)
}

fn pack(agent: &[u8]) -> Result<Vec<u8>, OperatorError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let packed = encoder
        .write_all(agent)
        .and_then(|()| encoder.finish())
        .map_err(|error| {
            OperatorError::Failed(format!("the function's zip file cannot be made: {error}"))
        })?;
    let mut crc = Crc::new();
    crc.update(agent);
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);

    // What both headers of the entry have in common.
    let mut common = Vec::new();
    for field in [VERSION, 0, DEFLATED, 0, DATE] {
        common.extend(field.to_le_bytes());
    }
    for field in [crc.sum(), size(&packed), size(agent)] {
        common.extend(field.to_le_bytes());
    }
    let name_length = u16::try_from(BOOTSTRAP.len()).unwrap_or_default();
    common.extend(name_length.to_le_bytes());

    let mut file = b"PK\x03\x04".to_vec();
    file.extend(&common);
    file.extend(0_u16.to_le_bytes()); // extra field
    file.extend(BOOTSTRAP);
    file.extend(&packed);

    let directory = size(&file);
    file.extend(b"PK\x01\x02");
    file.extend(MADE_BY.to_le_bytes());
    file.extend(&common);
    // Extra field, comment, disk and internal attributes.
    for field in [0_u16; 4] {
        file.extend(field.to_le_bytes());
    }
    file.extend(MODE.to_le_bytes());
    file.extend(0_u32.to_le_bytes()); // offset of the entry
    file.extend(BOOTSTRAP);

    let length = size(&file) - directory;
    file.extend(b"PK\x05\x06");
    // This disk, that of the directory, and the entries of each.
    for field in [0_u16, 0, 1, 1] {
        file.extend(field.to_le_bytes());
    }
    file.extend(length.to_le_bytes());
    file.extend(directory.to_le_bytes());
    file.extend(0_u16.to_le_bytes()); // comment

    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_file_gives_the_same_small_bundle() {
        let agent: Vec<u8> = (0..200_000_u32)
            .flat_map(|n| (n % 251).to_le_bytes())
            .collect();
        let packed = bundle(&agent).unwrap();
        assert_eq!(packed, bundle(&agent).unwrap());
        assert!(packed.len() < agent.len() / 10, "{} bytes", packed.len());
        assert!(packed.starts_with(b"PK\x03\x04"));
        let end = packed.len() - 22;
        assert!(packed[end..].starts_with(b"PK\x05\x06"));
    }

    #[test]
    fn file_that_is_too_large_is_refused() {
        // Bytes that deflate cannot shorten: a generator with a period of 2^32 (Numerical Recipes).
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        })
        .take(MAX_BUNDLE + 1)
        .collect();
        let error = bundle(&noise).unwrap_err().to_string();
        assert!(error.contains("cargo static"), "{error}");
    }
}
