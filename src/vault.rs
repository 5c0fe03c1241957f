//! The secrets that a run holds, as fingerprints. Whatever comes from outside is compared with them
//! before it is reported.
//!
//! A server may repeat what it was sent, or say what it stores, in any answer and before the answer
//! that the secret belongs to. So the comparison comes once, at the end of a run, when every secret
//! is known, and before anything is diagnosed or written: no output has to know about secrets.
//!
//! A secret is stored as the keyed hashes of its windows of six bytes, without white space and
//! in lower case. A text is compared as it is, and as what it decodes to: Base64 of either alphabet
//! and each alignment, hexadecimal digits, escapes of URLs, JSON, XML, of names in certificates and
//! of [`crate::safe_text`], and these within each other. Base64 in lower case, as in the name of a
//! host, cannot be decoded, so windows of a secret's Base64 are stored as well.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::observation::Observation;
use crate::redact::MASK;
use crate::safe_text::{SafeText, is_hidden};

/// Bytes of a window. In Base64 they take eight characters.
const WINDOW: usize = 6;

/// Bytes of a secret that a text must contain in a row, where nothing is decoded.
const MIN_MATCH: usize = 8;

/// The shortest secret. It counts as a whole word only, and so does any that is shorter than
/// [`MIN_MATCH`]. Shorter values (`on`, `dev`) are words of any message.
const MIN_SECRET: usize = 4;

/// The shortest number in a JSON value that counts. Shorter ones are ports, limits and counts.
const MIN_DIGITS: usize = 6;

/// Characters of a window of Base64 in lower case, and from each to the next. Twelve characters in
/// a row, which contain eight bytes of a secret whatever their alignment, contain a whole window.
const BASE64_WINDOW: usize = 8;
const BASE64_STRIDE: usize = 4;

/// Fingerprints that are kept, each of eight bytes: those of secrets of half a megabyte, which are
/// forty secrets with four private keys each. Beyond it, nothing foreign is shown at all.
const MAX_FINGERPRINTS: usize = 1024 * 1024;

/// Encodings within each other that are taken apart.
const MAX_LAYERS: usize = 3;

/// Bytes that are compared for one text, all decodings together.
const MAX_WORK: usize = 64 * 1024;

/// Words of AWS's own messages and of URLs, which are not secret although secrets contain them.
const PUBLIC_TEXT: &str = "https://www. http://localhost postgres:// postgresql:// mysql:// redis:// amqp:// mongodb:// \
    jdbc:postgresql:// jdbc:mysql:// username password credentials engine postgres postgresql mysql mariadb sqlserver oracle \
    dbInstanceIdentifier dbname secret token true false null default admin root user users test prod production staging \
    -----BEGIN RSA PRIVATE KEY----- -----END PRIVATE KEY----- -----BEGIN CERTIFICATE----- -----END CERTIFICATE----- \
    .amazonaws.com .amazonaws.com.cn .rds.amazonaws.com .cache.amazonaws.com arn:aws:secretsmanager: arn:aws:iam:: \
    arn:aws:sts:: arn:aws:ssm: arn:aws:kms: arn:aws-cn: arn:aws-us-gov: :assumed-role/ :role/ :secret: :parameter/ \
    User: is not authorized to perform: secretsmanager:GetSecretValue ssm:GetParameters kms:Decrypt on resource: because \
    no identity-based policy allows the action with an explicit deny in a resource-based VPC endpoint policy service \
    control permissions boundary session policy Secrets Manager can't find the specified secret value for staging label \
    AWSCURRENT s3:GetObject s3:GetBucketLocation s3:ListBucket ecr:GetAuthorizationToken secretsmanager:DescribeSecret \
    ssm:GetParameter kms:GenerateDataKey The security token included in the request is invalid expired Signature authorization server message \
    WebIdentityToken InvalidIdentityToken AccessDeniedException ResourceNotFoundException";

/// Reads Base64 with and without padding, and cut off in the middle.
const FORGIVING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);

/// Alphabets in lower case are compared as one.
fn same_alphabet(digit: u8) -> u8 {
    match digit {
        b'-' => b'+',
        b'_' => b'/',
        digit => digit.to_ascii_lowercase(),
    }
}

/// The secrets of one run.
pub struct Vault(Mutex<Fingerprints>);

type Hashes = HashSet<u64, BuildHasherDefault<Identity>>;

struct Fingerprints {
    key: RandomState,
    /// Hashes of the windows of secrets, and of whole short ones.
    secret: Hashes,
    /// Hashes of what is known to be public.
    public: Hashes,
    /// Hashes of what the run knew before a server sent it.
    known: Hashes,
    /// Hashes of the secrets that were added.
    added: Hashes,
    /// Whether there were more than [`MAX_FINGERPRINTS`].
    is_full: bool,
}

impl Default for Vault {
    fn default() -> Self {
        let mut fingerprints = Fingerprints {
            key: RandomState::new(),
            secret: Hashes::default(),
            public: Hashes::default(),
            known: Hashes::default(),
            added: Hashes::default(),
            is_full: false,
        };
        fingerprints.add_public(PUBLIC_TEXT);
        Self(Mutex::new(fingerprints))
    }
}

impl Vault {
    /// Adds a secret, and what it decodes to.
    pub fn add(&self, secret: &str) {
        self.lock().add(secret.as_bytes());
    }

    /// Adds the value of a secret or parameter: each string in it if it is JSON, else all of it.
    pub fn add_value(&self, value: &str) {
        self.lock().add_value(value);
    }

    /// Adds the user and password of `://user:password@`.
    pub fn add_user_info(&self, url: &str) {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if let Some((user_info, _)) = authority.rsplit_once('@') {
            self.add_login(user_info);
        }
    }

    /// Adds `user:password`.
    pub fn add_login(&self, login: &str) {
        let mut vault = self.lock();
        vault.add(login.as_bytes());
        for part in login.splitn(2, ':') {
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(part).collect();
            vault.add(&decoded);
        }
    }

    /// Adds the signature, token and credential of a pre-signed query.
    pub fn add_query(&self, path: &str) {
        const SECRET: [&str; 7] = [
            "signature",
            "token",
            "credential",
            "sig",
            "policy",
            "verify",
            "key-pair-id",
        ];
        let Some((_, query)) = path.split_once('?') else {
            return;
        };
        let mut vault = self.lock();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let name = name.to_ascii_lowercase();
            if SECRET.iter().any(|secret| name.ends_with(secret)) {
                let decoded: Vec<u8> = percent_encoding::percent_decode_str(value).collect();
                // What follows the key's ID is the date, the Region and the service.
                let end = decoded.iter().position(|&byte| byte == b'/');
                let end = end
                    .filter(|_| name.ends_with("credential"))
                    .unwrap_or(decoded.len());
                vault.add(&decoded[..end]);
            }
        }
    }

    /// Adds the value of an `Authorization` header.
    pub fn add_authorization(&self, value: &str) {
        let Some((scheme, rest)) = value.split_once(' ') else {
            return self.add(value);
        };
        let is_signed = scheme.starts_with("AWS4-");
        if !is_signed {
            return self.add(rest);
        }
        // The names of the signed headers are public.
        let mut vault = self.lock();
        for (name, value) in rest.split(", ").filter_map(|part| part.split_once('=')) {
            match name {
                "Credential" => vault.add(value.split('/').next().unwrap_or_default().as_bytes()),
                "Signature" => vault.add(value.as_bytes()),
                _ => {}
            }
        }
    }

    /// Adds what is public, although a secret may contain it too: the plan, the Region, the
    /// account.
    pub fn add_public(&self, text: &str) {
        self.lock().add_public(text);
    }

    /// Adds a name that a server may repeat where it says nothing else: the role, the task.
    pub fn add_known(&self, name: &str) {
        let mut vault = self.lock();
        for window in canonical(name.as_bytes()).windows(WINDOW) {
            let hash = vault.hash_public(window);
            vault.known.insert(hash);
        }
    }

    /// Whether each part of a name is public, was known before, or has the form of an ID of AWS.
    pub fn is_known(&self, name: &str) -> bool {
        let vault = self.lock();
        name.split(['/', ':']).all(|part| vault.is_known(part))
    }

    /// Removes secrets from the foreign parts of `text`.
    pub fn scrub(&self, text: &mut SafeText) {
        let vault = self.lock();
        text.replace_foreign(|part| vault.redact(part));
    }

    /// Removes secrets from a foreign name.
    pub fn scrub_name(&self, name: &mut String) {
        // A report without names cannot be read, so what is known decides even in a full vault.
        if let Some(redacted) = self.lock().search(name) {
            *name = redacted;
        }
    }

    /// Returns a foreign text without secrets.
    pub fn redact(&self, text: &str) -> String {
        self.lock().redact(text).unwrap_or_else(|| text.to_owned())
    }

    /// Removes secrets from observations.
    pub fn scrub_observations(&self, observations: &mut [Observation]) {
        for observation in observations {
            observation.for_each_text(&mut |text| self.scrub(text), &mut |name| {
                self.scrub_name(name);
            });
        }
    }

    /// Whether no thread is using it, also not one that has just panicked.
    pub fn is_free(&self) -> bool {
        !matches!(self.0.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn lock(&self) -> MutexGuard<'_, Fingerprints> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fingerprints {
    fn add_value(&mut self, value: &str) {
        match serde_json::from_str::<Value>(value) {
            Ok(json @ (Value::Object(_) | Value::Array(_))) => self.add_leaves(&json),
            _ => self.add(value.as_bytes()),
        }
    }

    /// `serde_json` limits the depth to 128.
    fn add_leaves(&mut self, json: &Value) {
        match json {
            Value::Object(members) => members.values().for_each(|member| self.add_leaves(member)),
            Value::Array(items) => items.iter().for_each(|item| self.add_leaves(item)),
            Value::String(text) => self.add_value(text),
            Value::Number(number) => {
                let number = number.to_string();
                if number.len() >= MIN_DIGITS {
                    self.add(number.as_bytes());
                }
            }
            Value::Bool(_) | Value::Null => {}
        }
    }

    /// Adds a secret, and what it is the Base64 of.
    fn add(&mut self, secret: &[u8]) {
        // A session token is held again with each request that it signs.
        if !self.added.insert(self.key.hash_one(secret)) {
            return;
        }
        self.add_bytes(secret);
        if secret.len() < 2 * MIN_MATCH {
            return;
        }
        let decoded = BASE64.decode(secret).or_else(|_| BASE64_URL.decode(secret));
        if let Ok(decoded) = decoded {
            self.add_bytes(&decoded);
            // A login: a password of few characters counts as a word.
            if let Some(colon) = decoded.iter().position(|&byte| byte == b':') {
                self.add_bytes(&decoded[colon + 1..]);
            }
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let secret = canonical(bytes);
        // At each of three alignments, one window of Base64 for three bytes.
        if self.secret.len() + secret.len() + bytes.len() > MAX_FINGERPRINTS {
            self.is_full = true;
        } else if secret.len() >= MIN_MATCH {
            for window in secret.windows(WINDOW) {
                self.secret.insert(self.key.hash_one(window));
            }
            for before in [b"".as_slice(), b"x", b"xy"] {
                let digits = BASE64.encode([before, bytes].concat());
                let digits: Vec<u8> = digits.bytes().map(same_alphabet).collect();
                for window in digits.windows(BASE64_WINDOW).step_by(BASE64_STRIDE) {
                    self.secret.insert(self.hash_digits(window));
                }
            }
        } else if secret.len() >= MIN_SECRET {
            self.secret.insert(self.hash_word(&secret));
        }
    }

    fn add_public(&mut self, text: &str) {
        for part in text.split_ascii_whitespace() {
            let part = canonical(part.as_bytes());
            for window in part.windows(WINDOW) {
                self.public.insert(self.hash_public(window));
            }
            for word in part.split(|byte| !byte.is_ascii_alphanumeric()) {
                if (MIN_SECRET..MIN_MATCH).contains(&word.len()) {
                    self.public.insert(self.hash_word(word));
                }
            }
        }
    }

    fn is_known(&self, part: &str) -> bool {
        // Secrets Manager appends a hyphen and six characters to a secret's name.
        let (name, suffix) = part
            .split_at_checked(part.len().saturating_sub(7))
            .unwrap_or((part, ""));
        let name = if suffix.starts_with('-') { name } else { part };
        let is_id = |text: &str| {
            text.bytes().all(|b| b.is_ascii_digit()) && text.len() == 12
                || text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') && text.len() >= 32
        };
        is_id(part)
            || canonical(name.as_bytes()).windows(WINDOW).all(|window| {
                let hash = self.hash_public(window);
                self.public.contains(&hash) || self.known.contains(&hash)
            })
    }

    /// Returns the hash of a public window, in which all separators are the same: a Region stands
    /// between colons in an ARN and between dots in a host.
    fn hash_public(&self, window: &[u8]) -> u64 {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let mut bytes = [b'.'; WINDOW];
        for (kept, &byte) in bytes.iter_mut().zip(window) {
            if is_name(byte) {
                *kept = byte;
            }
        }
        self.key.hash_one(bytes.as_slice())
    }

    /// The hash of a window of Base64 in lower case differs from those of words and other windows.
    fn hash_digits(&self, digits: &[u8]) -> u64 {
        self.key.hash_one((digits, false))
    }

    /// A word's hash differs from that of a window of the same bytes.
    fn hash_word(&self, word: &[u8]) -> u64 {
        self.key.hash_one((word, true))
    }

    /// Returns the text with masks for secrets; `None` if it contains none.
    fn redact(&self, text: &str) -> Option<String> {
        if self.is_full && !text.is_empty() {
            return Some(MASK.to_owned());
        }
        self.search(text)
    }

    /// Returns the text with masks for the secrets that are kept; `None` if it contains none.
    fn search(&self, text: &str) -> Option<String> {
        if text.is_empty() || self.secret.is_empty() {
            return None;
        }
        let mut search = Search {
            known: self,
            text,
            hidden: vec![false; text.len()],
            work: 0,
        };
        search.run(&View::of(text), Encoding::None, MAX_LAYERS);
        let Search { hidden, work, .. } = search;
        if work > MAX_WORK {
            return Some(MASK.to_owned());
        }
        if !hidden.contains(&true) {
            return None;
        }
        let mut redacted = String::new();
        let mut was_hidden = false;
        for (start, c) in text.char_indices() {
            if !hidden[start] {
                redacted.push(c);
            } else if !was_hidden {
                redacted.push_str(MASK);
            }
            was_hidden = hidden[start];
        }
        Some(redacted)
    }
}

/// Returns the bytes without white space and hidden characters, in lower case: a secret in a host
/// name or on two lines is still the secret.
fn canonical(bytes: &[u8]) -> Vec<u8> {
    let mut kept = match str::from_utf8(bytes) {
        Ok(text) => text
            .chars()
            .filter(|&c| !is_skipped(c))
            .collect::<String>()
            .into_bytes(),
        Err(_) => bytes.to_vec(),
    };
    kept.make_ascii_lowercase();
    kept
}

/// Whether a character may stand between those of a secret without a reader noticing.
fn is_skipped(c: char) -> bool {
    c.is_whitespace() || is_hidden(c)
}

/// Whether a byte of what is decoded is such a character.
fn is_skipped_byte(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_control()
}

/// Bytes, each with the part of the text that it stands for.
#[derive(Default)]
struct View {
    bytes: Vec<u8>,
    from: Vec<Range<usize>>,
}

/// How the bytes of a view come from the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// As they are, or with escapes.
    None,
    /// As characters of Base64 or hexadecimal digits, which mean nothing one by one.
    Digits,
}

impl View {
    fn of(text: &str) -> Self {
        let mut view = Self::default();
        for (start, c) in text.char_indices().filter(|&(_, c)| !is_skipped(c)) {
            let end = start + c.len_utf8();
            for &byte in &text.as_bytes()[start..end] {
                view.push(byte, start..end);
            }
        }
        view
    }

    fn push(&mut self, byte: u8, from: Range<usize>) {
        self.bytes.push(byte);
        self.from.push(from);
    }

    /// Whether a word may begin or end before this byte.
    fn is_boundary(&self, index: usize) -> bool {
        if index == 0 || index == self.bytes.len() {
            return true;
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
        let (before, after) = (&self.from[index - 1], &self.from[index]);
        let is_gap = before.end < after.start;
        is_gap || !is_word(self.bytes[index - 1]) || !is_word(self.bytes[index])
    }

    /// Returns the view with one layer of escapes removed; `None` if there are none.
    fn unescape(&self) -> Option<Self> {
        if !self
            .bytes
            .iter()
            .any(|byte| matches!(byte, b'%' | b'\\' | b'&'))
        {
            return None;
        }
        let mut plain = Self::default();
        let mut index = 0;
        while index < self.bytes.len() {
            let (text, length) = unescape_one(&self.bytes[index..]);
            let from = self.from[index].start..self.from[index + length - 1].end;
            for byte in text.bytes() {
                plain.push(byte, from.clone());
            }
            index += length;
        }
        (plain.bytes.len() < self.bytes.len()).then_some(plain)
    }

    /// Returns the part of the view at `range` as `decode` reads each `group` of digits.
    fn decode(&self, range: Range<usize>, group: usize, decode: impl Fn(&[u8]) -> [u8; 3]) -> Self {
        let mut decoded = Self::default();
        let digits = self.bytes[range.clone()].chunks(group);
        for (digits, start) in digits.zip(range.step_by(group)) {
            let from = self.from[start].start..self.from[start + digits.len() - 1].end;
            let bytes = decode(digits);
            // Base64: six bits a digit; hexadecimal: four.
            let known = if group == 4 {
                digits.len() * 6 / 8
            } else {
                digits.len() / 2
            };
            // In UTF-16 every other byte of Latin text is zero.
            for &byte in bytes[..known]
                .iter()
                .filter(|&&byte| !is_skipped_byte(byte))
            {
                decoded.push(byte, from.clone());
            }
        }
        decoded
    }
}

/// Returns what the escape at the beginning stands for, and its length; the first byte itself where
/// there is none.
fn unescape_one(bytes: &[u8]) -> (Plain, usize) {
    let number = |start: usize, end: usize, radix| {
        let digits = str::from_utf8(bytes.get(start..end)?).ok()?;
        u32::from_str_radix(digits, radix).ok()
    };
    let until = |start: usize, stop: u8| {
        let rest = bytes.get(start..bytes.len().min(start + 8))?;
        Some(start + rest.iter().position(|&byte| byte == stop)?)
    };
    let escape = match bytes {
        [b'%', ..] => number(1, 3, 16).map(|byte| (Plain::Byte(byte.to_le_bytes()[0]), 3)),
        [b'\\', b'u', b'{', ..] => {
            until(3, b'}').and_then(|end| Some((Plain::of(number(3, end, 16)?), end + 1)))
        }
        [b'\\', b'u', ..] => number(2, 6, 16).map(|code| (Plain::of(code), 6)),
        [b'\\', b'x', ..] => number(2, 4, 16).map(|byte| (Plain::Byte(byte.to_le_bytes()[0]), 4)),
        // As C and Go write a byte.
        [b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..] => {
            number(1, 4, 8).map(|byte| (Plain::Byte(byte.to_le_bytes()[0]), 4))
        }
        // A control character in a certificate's name (RFC 4514 section 2.4).
        [b'\\', b'0' | b'1', digit, ..] if digit.is_ascii_hexdigit() => Some((Plain::Nothing, 3)),
        [b'\\', b'7', b'f' | b'F', ..] => Some((Plain::Nothing, 3)),
        // Escapes of white space.
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => Some((Plain::Nothing, 2)),
        [b'\\', mark, ..] if mark.is_ascii_punctuation() => Some((Plain::Byte(*mark), 2)),
        [b'&', b'#', b'x' | b'X', ..] => {
            until(3, b';').and_then(|end| Some((Plain::of(number(3, end, 16)?), end + 1)))
        }
        [b'&', b'#', ..] => {
            until(2, b';').and_then(|end| Some((Plain::of(number(2, end, 10)?), end + 1)))
        }
        [b'&', rest @ ..] => {
            const NAMED: [(&[u8], u8); 5] = [
                (b"amp;", b'&'),
                (b"lt;", b'<'),
                (b"gt;", b'>'),
                (b"quot;", b'"'),
                (b"apos;", b'\''),
            ];
            let named = NAMED.iter().find(|(name, _)| rest.starts_with(name));
            named.map(|(name, byte)| (Plain::Byte(*byte), name.len() + 1))
        }
        _ => None,
    };
    escape.unwrap_or((Plain::Byte(bytes[0]), 1))
}

/// What an escape stands for.
enum Plain {
    Nothing,
    Byte(u8),
    Char(char),
}

impl Plain {
    fn of(code: u32) -> Self {
        match char::from_u32(code) {
            Some(c) if !is_skipped(c) => Self::Char(c),
            _ => Self::Nothing,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Byte(byte) if is_skipped_byte(*byte) => Vec::new(),
            Self::Byte(byte) => vec![*byte],
            Self::Char(c) => c.to_string().into_bytes(),
        }
    }
}

/// A search for secrets in one text.
struct Search<'a> {
    known: &'a Fingerprints,
    text: &'a str,
    /// For each byte of the text, whether it belongs to a secret.
    hidden: Vec<bool>,
    work: usize,
}

impl Search<'_> {
    fn run(&mut self, view: &View, encoding: Encoding, layers: usize) {
        self.work += view.bytes.len();
        if view.bytes.len() < MIN_SECRET || self.work > MAX_WORK {
            return;
        }
        self.compare(view, encoding);
        if layers == 0 {
            return;
        }
        if let Some(plain) = view.unescape() {
            self.run(&plain, encoding, layers - 1);
        }
        for run in runs(&view.bytes, is_base64, MIN_MATCH) {
            for start in run.start..run.start + 4 {
                self.run_digits(&view.decode(start..run.end, 4, from_base64), layers);
            }
        }
        for run in runs(&view.bytes, |byte| byte.is_ascii_hexdigit(), 2 * WINDOW) {
            for start in run.start..run.start + 2 {
                self.run_digits(&view.decode(start..run.end, 2, from_hex), layers);
            }
        }
    }

    /// Text encodes text: of what is decoded only readable parts are decoded further.
    fn run_digits(&mut self, decoded: &View, layers: usize) {
        self.run(decoded, Encoding::Digits, 0);
        for part in runs(&decoded.bytes, |byte| byte.is_ascii_graphic(), MIN_MATCH) {
            let part = View {
                bytes: decoded.bytes[part.clone()].to_vec(),
                from: decoded.from[part].to_vec(),
            };
            self.run(&part, Encoding::Digits, layers - 1);
        }
    }

    fn compare(&mut self, view: &View, encoding: Encoding) {
        let Fingerprints {
            key,
            secret,
            public,
            ..
        } = self.known;
        let lower = view.bytes.to_ascii_lowercase();
        let min = match encoding {
            Encoding::None => MIN_MATCH,
            Encoding::Digits => WINDOW,
        };
        // The windows in a row that belong to secrets, and whether one of them is not public.
        let (mut start, mut is_secret) = (None, false);
        for index in 0..=lower.len() {
            let hash = lower
                .get(index..index + WINDOW)
                .map(|window| key.hash_one(window));
            if hash.is_some_and(|hash| secret.contains(&hash)) {
                start.get_or_insert(index);
                let window = &lower[index..index + WINDOW];
                is_secret |= !public.contains(&self.known.hash_public(window));
                continue;
            }
            let end = index + WINDOW - 1;
            if let Some(first) = start.take()
                && is_secret
                && end - first >= min
            {
                self.hit(view, first..end, encoding);
            }
            is_secret = false;
        }
        if encoding == Encoding::None {
            for run in runs(&lower, is_base64, BASE64_WINDOW) {
                let digits: Vec<u8> = lower[run.clone()]
                    .iter()
                    .copied()
                    .map(same_alphabet)
                    .collect();
                for (index, window) in digits.windows(BASE64_WINDOW).enumerate() {
                    if secret.contains(&self.known.hash_digits(window)) {
                        let start = run.start + index;
                        self.hit(view, start..start + BASE64_WINDOW, Encoding::Digits);
                    }
                }
            }
        }
        for start in (0..lower.len()).filter(|&start| view.is_boundary(start)) {
            for end in (start + MIN_SECRET..start + MIN_MATCH).filter(|&end| end <= lower.len()) {
                if view.is_boundary(end) {
                    let hash = self.known.hash_word(&lower[start..end]);
                    if secret.contains(&hash) && !public.contains(&hash) {
                        self.hit(view, start..end, encoding);
                    }
                }
            }
        }
    }

    fn hit(&mut self, view: &View, range: Range<usize>, encoding: Encoding) {
        let (mut start, mut end) = (view.from[range.start].start, view.from[range.end - 1].end);
        if encoding == Encoding::Digits {
            // The digits before and after encode the rest of the secret.
            let digit = |byte: &u8| is_base64(*byte);
            let bytes = self.text.as_bytes();
            start -= bytes[..start]
                .iter()
                .rev()
                .take_while(|byte| digit(byte))
                .count();
            end += bytes[end..].iter().take_while(|byte| digit(byte)).count();
        }
        self.hidden[start..end].fill(true);
    }
}

/// Returns the runs of at least `min` bytes of this kind.
fn runs(bytes: &[u8], is_digit: fn(u8) -> bool, min: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for end in 0..=bytes.len() {
        if bytes.get(end).is_none_or(|&byte| !is_digit(byte)) {
            if end - start >= min {
                runs.push(start..end);
            }
            start = end + 1;
        }
    }
    runs
}

/// Whether this is a digit of Base64 in either alphabet (RFC 4648).
fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Returns the bytes of up to four digits of Base64.
fn from_base64(digits: &[u8]) -> [u8; 3] {
    let value = |digit: &u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    };
    let bits = (0..4).fold(0, |bits: u32, index| {
        bits << 6 | digits.get(index).map_or(0, |digit| u32::from(value(digit)))
    });
    let [_, first, second, third] = bits.to_be_bytes();
    [first, second, third]
}

/// Returns the byte of two hexadecimal digits.
fn from_hex(digits: &[u8]) -> [u8; 3] {
    let byte = digits.iter().fold(0, |byte: u32, &digit| {
        byte << 4 | char::from(digit).to_digit(16).unwrap_or_default()
    });
    [byte.to_le_bytes()[0], 0, 0]
}

/// A hash that is stored is not hashed again.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests;
