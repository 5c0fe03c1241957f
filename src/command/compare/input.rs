//! Reads reports from files of any form, piece by piece: a file may be larger than memory.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::command::Error;
use crate::compare::report_view::SCHEMA_PREFIX;
use crate::compare::{ComparisonBuilder, builder};

/// Maximum number of bytes of a line, and of one value of a document, such as a log event.
const MAX_LINE_BYTES: u64 = builder::MAX_LINE_BYTES as u64;

/// Members that hold log events: in the output of `filter-log-events` and `get-log-events`, in a
/// subscription's message, in the output of `get-query-results`, in the envelopes of Lambda and
/// Firehose.
const EVENT_LISTS: [&str; 5] = ["events", "logEvents", "results", "Records", "records"];

/// First bytes of a gzip file (RFC 1952, section 2.3.1), the format in which CloudWatch Logs
/// exports to S3.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Byte order mark of UTF-8, which PowerShell writes at the start of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads a file, or stdin for `-`. Fails if it cannot be read; text that is not a report is only
/// counted.
pub fn read(file: &Path, builder: &mut ComparisonBuilder) -> Result<(), Error> {
    let unreadable = |error: io::Error| Error::Usage(format!("{}: {error}", file.display()));
    if file == Path::new("-") {
        return read_from(BufReader::new(io::stdin().lock()), "stdin", builder).map_err(unreadable);
    }
    let source = file.file_stem().unwrap_or_default().to_string_lossy();
    let opened = File::open(file).map_err(unreadable)?;
    if opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Error::Usage(format!(
            "{} is a directory; name the files in it",
            file.display()
        )));
    }
    read_from(
        BufReader::with_capacity(256 * 1024, opened),
        &source,
        builder,
    )
    .map_err(unreadable)
}

/// Reads lines, or whole JSON documents if the first line begins one that it does not end.
pub(crate) fn read_from(
    mut reader: impl BufRead,
    source: &str,
    builder: &mut ComparisonBuilder,
) -> io::Result<()> {
    if reader.fill_buf()?.starts_with(&GZIP_MAGIC) {
        return Err(io::Error::other(
            "the file is compressed with gzip; run: zcat FILE | pullprobe compare -",
        ));
    }
    if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut line = Vec::new();
    while next_line(&mut reader, &mut line)? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if begins_document(&line) {
            return read_documents(io::Cursor::new(line).chain(reader), source, builder);
        }
        builder.add_line(Some(&line), source);
        break;
    }
    while next_line(&mut reader, &mut line)? {
        if line.len() as u64 > MAX_LINE_BYTES {
            builder.add_line(None, source);
            if !line.ends_with(b"\n") {
                reader.skip_until(b'\n')?;
            }
        } else {
            builder.add_line(Some(&line), source);
        }
    }
    Ok(())
}

/// Reads the next line, cut after [`MAX_LINE_BYTES`] and one. Returns `false` at the end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(reader.take(MAX_LINE_BYTES + 1).read_until(b'\n', line)? > 0)
}

/// Whether a JSON value begins on this line and ends on a later one. A truncated report does not.
fn begins_document(line: &[u8]) -> bool {
    let begins =
        line.trim_ascii_start().starts_with(b"{") || line.trim_ascii_start().starts_with(b"[");
    let too_long = line.len() as u64 > MAX_LINE_BYTES;
    let unfinished =
        || serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof());
    begins && (too_long || (unfinished() && !String::from_utf8_lossy(line).contains(SCHEMA_PREFIX)))
}

/// Reads JSON documents one after the other, each of any size. Each of their values is bounded.
fn read_documents(
    mut reader: impl BufRead,
    source: &str,
    builder: &mut ComparisonBuilder,
) -> io::Result<()> {
    let left = Cell::new(0);
    while !at_end(&mut reader)? {
        left.set(MAX_LINE_BYTES);
        let bounded = BoundedReader {
            reader: &mut reader,
            left: &left,
        };
        let mut json = serde_json::Deserializer::from_reader(bounded);
        let document = DocumentReader {
            source,
            builder: &mut *builder,
            left: &left,
        };
        if let Err(error) = document.deserialize(&mut json) {
            let why = if error.is_io() {
                "was not read"
            } else {
                "is not valid JSON"
            };
            builder.skip(&format!("the rest of {source} {why}: {error}"));
            return Ok(());
        }
    }
    Ok(())
}

/// Fails when the value that is read needs more bytes than are left for it, because a parser keeps
/// a value until its end.
struct BoundedReader<'a, R> {
    reader: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for BoundedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other(format!(
                "it has a value of more than {MAX_LINE_BYTES} bytes, which no report has; remove that value and run again"
            )));
        }
        let count = (&mut self.reader).take(left).read(buffer)?;
        self.left.set(left - count as u64);
        Ok(count)
    }
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

/// Reads a JSON document: a report, a list, or an object that contains a list of log events. Items
/// of a list are added one by one and not kept.
struct DocumentReader<'a> {
    source: &'a str,
    builder: &'a mut ComparisonBuilder,
    /// Bytes left for the next value.
    left: &'a Cell<u64>,
}

impl<'de> DeserializeSeed<'de> for DocumentReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DocumentReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Box<RawValue>>()? {
            self.builder.add_text(item.get(), self.source);
            self.left.set(MAX_LINE_BYTES);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (mut whole, mut contained, mut is_too_long) = (String::from("{"), false, false);
        while let Some(name) = members.next_key::<String>()? {
            self.left.set(MAX_LINE_BYTES);
            if EVENT_LISTS.contains(&name.as_str()) {
                contained = true;
                members.next_value_seed(DocumentReader {
                    source: self.source,
                    builder: &mut *self.builder,
                    left: self.left,
                })?;
            } else if whole.len() as u64 > MAX_LINE_BYTES {
                is_too_long = true;
                members.next_value::<IgnoredAny>()?;
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
            self.left.set(MAX_LINE_BYTES);
        }
        whole.push('}');
        if is_too_long {
            self.builder
                .skip("skipped a document that is longer than any report");
        } else if !contained || whole.contains(SCHEMA_PREFIX) {
            self.builder.add_text(&whole, self.source);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.builder.add_text(text, self.source);
        Ok(())
    }
}
