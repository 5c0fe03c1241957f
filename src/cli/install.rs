//! The flags of `pullprobe install`.

use std::path::PathBuf;

use clap::Args;

use super::DryRunArgs;
use crate::endpoints::Region;
use crate::operator::install::{DEFAULT_REPOSITORY, known_platforms};
use crate::plan::Platform;
use crate::render::template::TemplateFormat;

/// `pullprobe install`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct InstallArgs {
    /// Repository in your private registry, created with immutable tags if it does not exist: its
    /// name, URI or ARN
    #[arg(long, value_name = "REPOSITORY", default_value = DEFAULT_REPOSITORY)]
    pub repository: String,
    /// Platforms of the image, linux/amd64 and linux/arm64 [default: every platform that has a
    /// file]
    #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',', value_parser = platform)]
    pub platforms: Vec<Platform>,
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Also create the role for `launch --carrier lambda`, which lets AWS Lambda attach functions
    /// to subnets, and nothing else
    #[arg(long)]
    pub lambda: bool,
    /// Print that role as a template, and change nothing
    #[arg(long, value_name = "FORMAT", value_enum, requires = "lambda")]
    pub print: Option<TemplateFormat>,
    /// Region [default: from a URI or ARN, then from your environment or profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    #[command(flatten)]
    pub dry_run: DryRunArgs,
}

/// The files of the image, for `install` and `launch --install`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Static binary of the probe for a platform, as built by `dist/build` (repeatable) [default:
    /// those embedded in this binary]
    #[arg(long = "agent", value_name = "OS/ARCH=FILE", value_parser = agent)]
    pub agents: Vec<(Platform, PathBuf)>,
}

const HELP: &str = "\
Exit codes: 0 the image is in the repository · 1 an AWS call or the registry failed · 2 invalid arguments or files, or the tag exists
with another digest. The same files always give the same digest, so that the command can be repeated.";

fn platform(text: &str) -> Result<Platform, String> {
    let platform = text
        .parse::<Platform>()
        .map_err(|error| error.to_string())?;
    if known_platforms().any(|known| known == platform) {
        Ok(platform)
    } else {
        Err("tasks on Fargate run on linux/amd64 or linux/arm64".into())
    }
}

fn agent(text: &str) -> Result<(Platform, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !file.is_empty() => Ok((platform(name)?, file.into())),
        _ => Err(
            "expected PLATFORM=FILE, such as linux/amd64=target/dist/pullprobe-agent-linux-amd64"
                .into(),
        ),
    }
}
