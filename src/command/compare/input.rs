//! Reports from files, of whichever form, read piece by piece: a file may be larger than memory.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::command::Error;
use crate::compare::{Comparison, report_view::MARK};

/// Bytes of a line. A report has at most 256 KiB; wrapped and escaped twice it stays below this.
const LONGEST_LINE: u64 = 2 * 1024 * 1024;

/// Members that hold events: of `filter-log-events` and `get-log-events`, of a subscription, of
/// `get-query-results`, of Lambda's and Firehose's envelopes.
const CONTAINERS: [&str; 5] = ["events", "logEvents", "results", "Records", "records"];

/// Gzip's first bytes (RFC 1952 section 2.3.1). CloudWatch Logs exports to S3 in it.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// UTF-8's byte order mark, which PowerShell puts before what it saves.
const MARK_OF_WINDOWS: &[u8] = "\u{feff}".as_bytes();

/// Reads a file, or stdin for `-`. Fails where it cannot be read at all.
pub fn read(file: &Path, comparison: &mut Comparison) -> Result<(), Error> {
    let wrong = |error: io::Error| Error::Usage(format!("{}: {error}", file.display()));
    if file == Path::new("-") {
        return read_from(BufReader::new(io::stdin().lock()), "stdin", comparison).map_err(wrong);
    }
    let source = file.file_stem().unwrap_or_default().to_string_lossy();
    let opened = File::open(file).map_err(wrong)?;
    if opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Error::Usage(format!(
            "{} is a directory: name the files in it",
            file.display()
        )));
    }
    read_from(
        BufReader::with_capacity(256 * 1024, opened),
        &source,
        comparison,
    )
    .map_err(wrong)
}

/// Lines, unless it begins with a document of several lines.
fn read_from(
    mut reader: impl BufRead,
    source: &str,
    comparison: &mut Comparison,
) -> io::Result<()> {
    if reader.fill_buf()?.starts_with(&GZIP) {
        return Err(io::Error::other(
            "it is compressed with gzip: zcat FILE | pullprobe compare -",
        ));
    }
    if reader.fill_buf()?.starts_with(MARK_OF_WINDOWS) {
        reader.consume(MARK_OF_WINDOWS.len());
    }
    let mut line = Vec::new();
    while next_line(&mut reader, &mut line)? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if begins_document(&line) {
            return documents(io::Cursor::new(line).chain(reader), source, comparison);
        }
        comparison.add_text(&String::from_utf8_lossy(&line), source);
        break;
    }
    while next_line(&mut reader, &mut line)? {
        if line.len() as u64 > LONGEST_LINE {
            comparison.skip("a line is longer than any report");
            skip_line(&mut reader)?;
        } else {
            comparison.add_text(&String::from_utf8_lossy(&line), source);
        }
    }
    Ok(())
}

/// The next line, or as much of it as is longer than allowed.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(reader.take(LONGEST_LINE + 1).read_until(b'\n', line)? > 0)
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (used, done) = end.map_or((buffer.len(), buffer.is_empty()), |end| (end + 1, true));
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}

/// Whether a JSON value begins here and ends on a later line. A report's line that was cut off is
/// no such beginning.
fn begins_document(line: &[u8]) -> bool {
    let begins =
        line.trim_ascii_start().starts_with(b"{") || line.trim_ascii_start().starts_with(b"[");
    let too_long = line.len() as u64 > LONGEST_LINE;
    let unfinished =
        || serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof());
    begins && (too_long || (unfinished() && !String::from_utf8_lossy(line).contains(MARK)))
}

/// Documents one after the other, each of any size.
fn documents(
    mut reader: impl BufRead,
    source: &str,
    comparison: &mut Comparison,
) -> io::Result<()> {
    while !at_end(&mut reader)? {
        let mut json = serde_json::Deserializer::from_reader(&mut reader);
        if let Err(error) = (Document {
            source,
            comparison: &mut *comparison,
        })
        .deserialize(&mut json)
        {
            comparison.skip(&format!("the rest of {source} cannot be read: {error}"));
            return Ok(());
        }
    }
    Ok(())
}

fn at_end(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        let blank = buffer
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let (empty, more) = (buffer.is_empty(), blank < buffer.len());
        reader.consume(blank);
        if empty || more {
            return Ok(empty);
        }
    }
}

/// A document: a report, a list of whatever, or an object with a list of events in it. Lists are
/// not kept.
struct Document<'a> {
    source: &'a str,
    comparison: &'a mut Comparison,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Box<RawValue>>()? {
            self.comparison.add_text(item.get(), self.source);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (mut whole, mut contained) = (String::from("{"), false);
        while let Some(name) = members.next_key::<String>()? {
            if CONTAINERS.contains(&name.as_str()) {
                contained = true;
                members.next_value_seed(Document {
                    source: self.source,
                    comparison: &mut *self.comparison,
                })?;
            } else {
                let value = members.next_value::<Box<RawValue>>()?;
                let comma = if whole.len() > 1 { "," } else { "" };
                let _ = write!(
                    whole,
                    "{comma}{}:{}",
                    serde_json::Value::String(name),
                    value.get()
                );
            }
        }
        whole.push('}');
        if !contained || whole.contains(MARK) {
            self.comparison.add_text(&whole, self.source);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.comparison.add_text(text, self.source);
        Ok(())
    }
}
