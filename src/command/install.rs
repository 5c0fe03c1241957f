//! `pullprobe install`.

use super::aws::client;
use super::dry_run::DryRun;
use super::probe::runtime;
use super::{Error, note, print, print_message};
use crate::cli::install::InstallArgs;
use crate::operator::dry_run::AwsCalls;
use crate::operator::install::{
    self, AgentFile, InstallEvent, InstallSpec, Installation, RepositoryName, TAG, how_to_build,
    known_platforms,
};
use crate::operator::launch::function::role;

/// Pushes the image, and prints its reference, its digest and the next command.
pub fn run(args: &InstallArgs) -> Result<u8, Error> {
    if let Some(format) = args.print {
        // Most Regions are in the first partition, and the template names no Region.
        let region = args.region.as_ref();
        let partition = region.map_or("aws", |region| region.partition().name());
        return print(&role::print(format, partition)?);
    }
    let repository = RepositoryName::read(&args.repository)?;
    let spec = InstallSpec {
        repository,
        platforms: args.platforms.clone(),
        agents: args.agent.agents.clone(),
    };
    // Before any request to AWS: the usual mistake is in the files.
    let files = read_files(&spec)?;
    runtime()?.block_on(async {
        let named = args.region.clone().or(spec.repository.region.clone());
        let client = client(named, None).await?;
        let dry_run = DryRun::new(args.dry_run);
        let calls = AwsCalls::new(client, dry_run.as_ref().map(DryRun::sink));
        let installation = push(&calls, &spec, &files).await?;
        if args.lambda {
            let (arn, is_new) = role::install(&calls).await?;
            note(&match (calls.is_dry(), is_new) {
                (true, true) => format!("the role {arn} would be created"),
                (true, false) => format!("the role {arn} already exists"),
                (false, true) => format!("created the role {arn}, for launch --carrier lambda"),
                (false, false) => {
                    format!("the role {arn} already exists; its policy is up to date")
                }
            });
        }
        if let Some(dry_run) = dry_run {
            note(&format!(
                "dry run, nothing was changed: {} {} ({})",
                installation.reference,
                if installation.is_new {
                    "would be pushed"
                } else {
                    "already exists"
                },
                installation.digest
            ));
            return dry_run.print("this command");
        }
        print_message(&describe(&installation, calls.client().region().as_str()))
    })
}

/// Reads the files of an image, with a note about what is odd.
pub(super) fn read_files(spec: &InstallSpec) -> Result<Vec<AgentFile>, Error> {
    let files = install::read_files(spec)?;
    for file in files.iter().filter(|file| !file.looks_like_the_probe()) {
        note(&format!(
            "the file for {} does not look like a pullprobe probe; it is pushed anyway, as version {TAG}",
            file.platform
        ));
    }
    let is_missing = |platform: &_| files.iter().all(|file| file.platform != *platform);
    if spec.platforms.is_empty() {
        for platform in known_platforms().filter(is_missing) {
            note(&format!(
                "the image will not run on {platform}, because there is no file for it; to add it, {}, and pass it \
                 with --agent {platform}=FILE",
                how_to_build(&platform)
            ));
        }
    }
    Ok(files)
}

/// Pushes the image and shows its progress.
pub(super) async fn push(
    calls: &AwsCalls,
    spec: &InstallSpec,
    files: &[AgentFile],
) -> Result<Installation, Error> {
    let mut show = |event: &InstallEvent<'_>| note(&line(event));
    Ok(install::install(calls, &spec.repository, files, &mut show).await?)
}

fn line(event: &InstallEvent<'_>) -> String {
    match event {
        InstallEvent::RepositoryCreated { uri } => {
            format!("created the repository {uri}, with immutable tags")
        }
        InstallEvent::Uploading { platform, bytes } => {
            format!("uploading the layer for {platform}, {bytes} bytes")
        }
        InstallEvent::Retrying { reason, pause } => {
            format!("{reason}; trying again in {:.1} s", pause.as_secs_f64())
        }
    }
}

/// Describes the image. The first line is the reference alone, for scripts.
fn describe(installation: &Installation, region: &str) -> String {
    let platforms: Vec<_> = installation
        .platforms
        .iter()
        .map(ToString::to_string)
        .collect();
    let done = if installation.is_new {
        "pushed"
    } else {
        "already exists, nothing changed"
    };
    let Installation {
        reference, digest, ..
    } = installation;
    let is_default = reference.ends_with(&format!("/{}:{TAG}", install::DEFAULT_REPOSITORY));
    let image = if is_default {
        String::new()
    } else {
        format!(" --probe-image {reference}")
    };
    format!(
        "{reference}\n  {done}, for {}\n  digest {digest}\n  next:  pullprobe launch --region {region} --cluster CLUSTER \
         --service SERVICE{image}",
        platforms.join(" and ")
    )
}
