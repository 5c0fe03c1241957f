//! Strips the indentation from the JSON Schemas that the binary embeds: 25 KB of an image that is
//! pulled over the path it tests. `pullprobe schema` prints them indented again.
//!
//! The image's schemas have no descriptions, and its pages of causes no sections for the console
//! and Terraform, for the same reason.
//!
//! With `PULLPROBE_AGENTS=linux/amd64=FILE,linux/arm64=FILE` also packs the probe's static files,
//! which the full binary then contains and `pullprobe install` pushes.

use std::path::Path;
use std::{env, fs, io};

const SCHEMAS: [&str; 4] = [
    "comparison-v1.json",
    "explanation-v1.json",
    "inspection-v1.json",
    "report-v1.json",
];

fn main() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    for name in SCHEMAS {
        let source = Path::new("schemas").join(name);
        println!("cargo::rerun-if-changed={}", source.display());
        let schema = fs::read_to_string(source)?;
        // A line break within a JSON string is escaped, so each line begins outside of one.
        let lines: Vec<&str> = schema.lines().map(str::trim_start).collect();
        #[cfg(not(feature = "operator"))]
        let lines = without_descriptions(lines);
        fs::write(Path::new(&out).join(name), lines.join("\n"))?;
    }
    #[cfg(feature = "operator")]
    pack_agents(Path::new(&out))?;
    #[cfg(not(feature = "operator"))]
    shorten_pages(&Path::new(&out).join("pages"))?;
    Ok(())
}

/// Leaves out what the members are for, 37 KB of the three schemas.
#[cfg(not(feature = "operator"))]
fn without_descriptions(lines: Vec<&str>) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::new();
    for line in lines {
        if line.starts_with("\"description\": \"") {
            continue;
        }
        if line.starts_with('}')
            && let Some(last) = kept.last_mut()
        {
            *last = last.trim_end_matches(',');
        }
        kept.push(line);
    }
    kept
}

/// Writes each cause's page without the sections that are for a desk.
#[cfg(not(feature = "operator"))]
fn shorten_pages(out: &Path) -> io::Result<()> {
    const LEFT_OUT: [&str; 2] = ["### Console", "### Terraform"];
    const PAGES: &str = "src/cause/pages";
    println!("cargo::rerun-if-changed={PAGES}");
    fs::create_dir_all(out)?;
    for entry in fs::read_dir(PAGES)? {
        let file = entry?.path();
        let page = fs::read_to_string(&file)?;
        let (mut kept, mut is_kept, mut is_code) = (String::new(), true, false);
        for line in page.lines() {
            is_code ^= line.starts_with("```");
            if line.starts_with('#') && !is_code {
                is_kept = !LEFT_OUT.contains(&line);
            }
            if is_kept {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        fs::write(out.join(file.file_name().unwrap_or_default()), kept)?;
    }
    Ok(())
}

/// Packs the files that `PULLPROBE_AGENTS` names, and writes the expression that includes them.
#[cfg(feature = "operator")]
fn pack_agents(out: &Path) -> io::Result<()> {
    use std::fmt::Write as _;

    const VARIABLE: &str = "PULLPROBE_AGENTS";
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let agents = env::var(VARIABLE).unwrap_or_default();
    let mut list = String::from("&[\n");
    for (number, agent) in agents
        .split(',')
        .filter(|agent| !agent.is_empty())
        .enumerate()
    {
        let invalid =
            || io::Error::other(format!("{VARIABLE}: expected PLATFORM=FILE, got {agent:?}"));
        let (platform, file) = agent.split_once('=').ok_or_else(invalid)?;
        println!("cargo::rerun-if-changed={file}");
        let unreadable = |error| io::Error::other(format!("{VARIABLE}: {file}: {error}"));
        let bytes = fs::read(file).map_err(unreadable)?;
        let name = format!("agent-{number}.gz");
        let mut writer = flate2::write::GzEncoder::new(
            fs::File::create(out.join(&name))?,
            flate2::Compression::best(),
        );
        io::Write::write_all(&mut writer, &bytes)?;
        writer.finish()?;
        let line = writeln!(
            list,
            "    ({platform:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")) as &[u8]),"
        );
        line.map_err(io::Error::other)?;
    }
    list.push(']');
    fs::write(out.join("agents.rs"), list)
}
