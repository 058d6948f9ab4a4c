//! The keys of the API that stand in a file: one a line, besides those of `admin.keys`.
//!
//! Says which line is wrong and never what stands there.

use std::io;
use std::path::Path;

use super::super::Secret;
use super::super::read::Reader;
use super::super::schema::{ADMIN_KEYS_MAX, KEY_FORM};
use super::super::value::is_bearer;

/// Whether somebody may use the API, or might if the file were as it should be.
pub(super) fn check(reader: &mut Reader<'_>, open: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> bool {
    let file = std::mem::take(&mut reader.draft.keys_file);
    if file.is_empty() {
        return !reader.draft.config.admin.keys.is_empty() || !reader.is_good(&[KEYS, KEYS_FILE]);
    }
    match open(Path::new(&file)) {
        Ok(bytes) => take(reader, &bytes),
        Err(error) => reader.blame(&[KEYS_FILE], &format!("cannot be read: {error}")),
    }
    true
}

/// Puts the keys of the file's lines behind those of the configuration itself.
fn take(reader: &mut Reader<'_>, bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let keys = (1_usize..).zip(lines).filter(|(_, line)| !line.trim_ascii().is_empty() && line[0] != b'#');
    let room = ADMIN_KEYS_MAX.saturating_sub(reader.draft.config.admin.keys.len());
    let mut empty = true;
    for (count, (number, line)) in keys.enumerate() {
        empty = false;
        // Nobody has more by intent, and a file of another kind would be thousands of complaints.
        if count == room {
            let text =
                format!("line {number}: one key too many; at most {ADMIN_KEYS_MAX}, with those of {KEYS}");
            return reader.blame(&[KEYS_FILE], &text);
        }
        match str::from_utf8(line).is_ok_and(is_bearer) {
            true => reader.draft.config.admin.keys.push(Secret::new(line)),
            false => reader.blame(&[KEYS_FILE], &format!("line {number}: {KEY_FORM}")),
        }
    }
    // A file that is just being written looks so too: a reload is refused, and the old keys hold.
    if empty {
        reader.blame(&[KEYS_FILE], "no key stands in it");
    }
}

const KEYS: &str = "admin.keys";
const KEYS_FILE: &str = "admin.keys_file";
