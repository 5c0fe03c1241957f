//! `pullprobe man`.

use std::fs;
use std::io;
use std::path::Path;

use super::{Error, print};
use crate::cli::help;

/// Prints the manual page of `pullprobe`, or writes the pages of all commands.
pub fn run(directory: Option<&Path>) -> Result<u8, Error> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(help::command()).render(&mut page);
        rendered.map_err(|error| Error::Tool(format!("the manual page: {error}")))?;
        return print(&String::from_utf8_lossy(&page));
    };
    let failed = |error: io::Error| {
        let path = directory.display();
        Error::Usage(format!(
            "{path}: {error}; name a directory that you may write to, such as with `pullprobe man \
             ~/.local/share/man/man1`"
        ))
    };
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(help::command(), directory).map_err(failed)?;
    print(&format!(
        "wrote the pages to {path}; read one with: man {path}/pullprobe-launch.1",
        path = directory.display()
    ))
}
