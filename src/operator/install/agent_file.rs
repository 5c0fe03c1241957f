//! The static executables for the image, one for each platform, from files or from this binary.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use object::Endianness;
use object::elf;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

use crate::operator::error::OperatorError;
use crate::plan::Platform;

/// Maximum size in bytes of a file that is pushed. `tests/run static` keeps the real one below
/// 5,000,000 bytes; an unoptimized build is several times as large.
const MAX_AGENT_SIZE: u64 = 64 * 1024 * 1024;

/// The first bytes of every ELF file (System V ABI, "ELF identification").
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// A name that only the probe's executable contains, so that another program is noticed.
const NAME_IN_FILE: &[u8] = b"PULLPROBE_DEADLINE";

/// The files that a release contains, as platform and gzip data: `build.rs` reads them from the
/// files that `PULLPROBE_AGENTS` names.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/agents.rs"));

/// A CPU architecture of Fargate, in the terms of OCI and ELF.
struct Machine {
    platform: &'static str,
    architecture: elf::Machine,
}

const MACHINES: [Machine; 2] = [
    Machine {
        platform: "linux/amd64",
        architecture: elf::EM_X86_64,
    },
    Machine {
        platform: "linux/arm64",
        architecture: elf::EM_AARCH64,
    },
];

/// A static executable for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFile {
    pub platform: Platform,
    pub bytes: Vec<u8>,
}

impl AgentFile {
    /// Reads a file and checks that it runs on `platform` without libraries. Fails with what is
    /// wrong and how to build the file.
    pub fn read(platform: &Platform, path: &Path) -> Result<Self, OperatorError> {
        let bytes = read_bounded(path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| check(platform, &bytes).map(|()| bytes))
            .map_err(|what| {
                OperatorError::Usage(format!(
                    "--agent {platform}={}: {what}; {}",
                    path.display(),
                    how_to_build(platform)
                ))
            })?;
        Ok(Self {
            platform: platform.clone(),
            bytes,
        })
    }

    /// Whether the file contains the name of one of the probe's settings.
    pub fn looks_like_the_probe(&self) -> bool {
        let mut windows = self.bytes.windows(NAME_IN_FILE.len());
        windows.any(|window| window == NAME_IN_FILE)
    }
}

/// Reads a file up to one byte beyond the limit, which shows that it is too large.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_AGENT_SIZE + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the platforms for which an image can be built.
pub fn known_platforms() -> impl Iterator<Item = Platform> {
    MACHINES
        .iter()
        .filter_map(|machine| machine.platform.parse().ok())
}

/// A file that this binary contains, as gzip data.
pub struct EmbeddedFile {
    pub platform: &'static str,
    packed: &'static [u8],
}

impl EmbeddedFile {
    /// Unpacks and checks the file. Fails if it is damaged.
    pub fn unpack(&self) -> Result<AgentFile, OperatorError> {
        unpack(self.platform, self.packed)
    }
}

/// Returns the files that this binary contains; none in a source build.
pub fn embedded_files() -> impl ExactSizeIterator<Item = EmbeddedFile> {
    EMBEDDED
        .iter()
        .map(|&(platform, packed)| EmbeddedFile { platform, packed })
}

/// Returns where `dist/build` writes the static file of a platform, in a checkout.
pub fn built_file(platform: &str) -> String {
    format!("target/dist/pullprobe-agent-{}", platform.replace('/', "-"))
}

/// Returns a hint on how to build the static file of a platform.
pub fn how_to_build(platform: &Platform) -> String {
    let name = platform.to_string();
    if MACHINES.iter().all(|machine| machine.platform != name) {
        return "tasks on Fargate run on linux/amd64 or linux/arm64".to_owned();
    }
    format!(
        "build it in a checkout of pullprobe with `dist/build {name}`, which writes {}",
        built_file(&name)
    )
}

fn unpack(platform: &str, packed: &[u8]) -> Result<AgentFile, OperatorError> {
    let damaged = |what: String| {
        OperatorError::Failed(format!(
            "the file for {platform} in this binary is damaged ({what}); download pullprobe again, or pass the file with \
             --agent {platform}=FILE"
        ))
    };
    let parsed: Platform = platform
        .parse()
        .map_err(|error| damaged(format!("{error}")))?;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .take(MAX_AGENT_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(error.to_string()))?;
    check(&parsed, &bytes).map_err(damaged)?;
    Ok(AgentFile {
        platform: parsed,
        bytes,
    })
}

/// Checks that a file is an executable for `platform` that needs no libraries. Fails with what is
/// wrong.
fn check(platform: &Platform, bytes: &[u8]) -> Result<(), String> {
    if bytes.len() as u64 > MAX_AGENT_SIZE {
        let limit = MAX_AGENT_SIZE / (1024 * 1024);
        return Err(format!("the file is larger than {limit} MiB"));
    }
    let name = platform.to_string();
    let Some(machine) = MACHINES.iter().find(|machine| machine.platform == name) else {
        return Err(format!("{name} is not a platform of the probe's image"));
    };
    if !bytes.starts_with(ELF_MAGIC) {
        return Err("the file is not a Linux executable".into());
    }
    let incomplete = || "the file is not a complete 64-bit Linux executable".to_owned();
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(|_| incomplete())?;
    let endian = header.endian().map_err(|_| incomplete())?;
    let actual = header.e_machine(endian);
    if actual != machine.architecture {
        let is_for = MACHINES
            .iter()
            .find(|machine| machine.architecture == actual)
            .map_or_else(
                || format!("ELF machine {}", actual.0),
                |machine| machine.platform.to_owned(),
            );
        return Err(format!("the file is for {is_for}"));
    }
    let kind = header.e_type(endian);
    if kind != elf::ET_EXEC && kind != elf::ET_DYN {
        return Err("the file is an ELF file but not an executable".into());
    }
    let segments = header
        .program_headers(endian, bytes)
        .map_err(|_| incomplete())?;
    let mut has_code = false;
    for segment in segments {
        let content = segment.data(endian, bytes).map_err(|()| incomplete())?;
        has_code |= segment.p_type(endian) == elf::PT_LOAD && !content.is_empty();
        if is_dynamic(segment, endian, bytes).map_err(|()| incomplete())? {
            return Err("the file is linked dynamically, and the image has no libraries".into());
        }
    }
    if has_code { Ok(()) } else { Err(incomplete()) }
}

/// Whether a segment requires a loader or a library. A static position-independent executable has a
/// dynamic segment too, but it names no library.
fn is_dynamic(
    segment: &elf::ProgramHeader64<Endianness>,
    endian: Endianness,
    bytes: &[u8],
) -> Result<bool, ()> {
    if segment.p_type(endian) == elf::PT_INTERP {
        return Ok(true);
    }
    let entries = segment.dynamic(endian, bytes).map_err(|_| ())?;
    let mut entries = entries.into_iter().flatten();
    Ok(entries.any(|entry| entry.d_tag(endian) == elf::DT_NEEDED))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn amd64() -> Platform {
        Platform::of("linux", "amd64")
    }

    /// Returns a static executable with one segment that contains `content`.
    fn executable(machine: u16, content: &[u8]) -> Vec<u8> {
        let mut file = vec![0_u8; 64 + 56];
        file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
        let size = (content.len() as u64).to_le_bytes();
        for (at, bytes) in [
            (16, &2_u16.to_le_bytes()[..]),
            (18, &machine.to_le_bytes()),
            (20, &1_u32.to_le_bytes()),
            (32, &64_u64.to_le_bytes()), // program headers
            (52, &64_u16.to_le_bytes()),
            (54, &56_u16.to_le_bytes()),
            (56, &1_u16.to_le_bytes()),
            (64, &1_u32.to_le_bytes()), // PT_LOAD
            (72, &120_u64.to_le_bytes()),
            (96, &size),
            (104, &size),
        ] {
            file[at..at + bytes.len()].copy_from_slice(bytes);
        }
        file.extend(content);
        file
    }

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn static_executable_for_the_platform_is_accepted() {
        let file = executable(62, b"code");
        assert_eq!(check(&amd64(), &file), Ok(()));
        let other = check(&Platform::of("linux", "arm64"), &file).unwrap_err();
        assert!(other.contains("is for linux/amd64"), "{other}");
        assert_eq!(
            check(&Platform::of("linux", "arm64"), &executable(183, b"code")),
            Ok(())
        );
        let other = check(&amd64(), &executable(243, b"code")).unwrap_err();
        assert!(other.contains("ELF machine 243"), "{other}");
    }

    #[test]
    fn embedded_file_is_unpacked_and_checked() {
        let file = executable(62, &[7; 10_000]);
        assert_eq!(unpack("linux/amd64", &pack(&file)).unwrap().bytes, file);
        let packed = pack(&file);
        for damaged in [&packed[..packed.len() / 2], b"garbage", &pack(b"#!/bin/sh")] {
            let error = unpack("linux/amd64", damaged).unwrap_err().to_string();
            assert!(error.contains("is damaged") && error.contains("--agent linux/amd64=FILE"));
        }
    }

    #[test]
    fn damaged_files_do_not_panic() {
        let file = executable(62, b"code");
        for length in 0..file.len() {
            assert!(check(&amd64(), &file[..length]).is_err(), "{length} bytes");
        }
        for at in 0..file.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = value;
                let _ = check(&amd64(), &damaged);
            }
        }
    }
}
