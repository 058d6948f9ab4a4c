//! What ties the keys of `[hooks]` together, and what of other sections needs them.
//!
//! Brings the secret in from its file, and shows nothing of it.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::read::Reader;
use super::super::schema::{HOOKS_SECRET_FORM, decode_secret};
use super::super::value::show_duration;
use super::super::{Access, HookEvent, Hooks, Mode, Secret};

/// Puts the hooks together, if there are any.
pub(super) fn check(reader: &mut Reader<'_>, open: &dyn Fn(&Path) -> io::Result<Vec<u8>>) {
    let secret = secret(reader, open);
    let url = std::mem::take(&mut reader.draft.hooks_url);
    let urled = url.is_some() || !reader.is_good(&[URL]);
    needs(reader, urled);
    let Some((authority, target)) = url else { return };
    lasts_no_longer_than_a_drain(reader);
    match secret {
        Ok(Some(secret)) => {
            let hooks = Hooks { authority, target, secret, ..reader.draft.hooks.clone() };
            reader.draft.config.hooks = Some(hooks);
        }
        Ok(None) => {
            let text = format!(
                "calls are signed: set it, or {SECRET_FILE}, or the variable \
                VESTIBULE_HOOKS__SECRET, to {SECRET_RECIPE}"
            );
            reader.blame(&[SECRET], &text);
        }
        Err(Complained) => {}
    }
}

/// Complains of a call that may take longer than a drain: what it does, and the end of whom it is about, would be told
/// to nobody.
fn lasts_no_longer_than_a_drain(reader: &mut Reader<'_>) {
    let (timeout, drain) = (reader.draft.hooks.timeout, reader.draft.config.server.drain);
    if timeout > drain + BEHIND_DRAIN && reader.is_good(&[TIMEOUT, DRAIN]) {
        let (timeout, drain, behind) =
            (show_duration(timeout), show_duration(drain), show_duration(BEHIND_DRAIN));
        let text = format!(
            "{TIMEOUT} ({timeout}) must not be longer than {DRAIN} ({drain}) and {behind}: \
            a drain would end before a call does"
        );
        reader.blame(&[TIMEOUT, DRAIN], &text);
    }
}

/// There was something to complain of.
struct Complained;

fn secret(
    reader: &mut Reader<'_>,
    open: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Option<Secret>, Complained> {
    let (secret, file) =
        (reader.draft.hooks_secret.take(), std::mem::take(&mut reader.draft.hooks_secret_file));
    if !reader.is_good(&[SECRET, SECRET_FILE]) {
        return Err(Complained);
    }
    if file.is_empty() {
        return Ok(secret);
    }
    let wrong = if secret.is_some() {
        format!("{SECRET} is set too; leave one of them empty")
    } else {
        match open(Path::new(&file)) {
            Ok(bytes) => match decode_secret(&bytes) {
                Some(secret) => return Ok(Some(secret)),
                None => format!(
                    "what stands in it has to be {}",
                    HOOKS_SECRET_FORM.trim_start_matches("empty, or ")
                ),
            },
            Err(error) => format!("cannot be read: {error}"),
        }
    };
    reader.blame(&[SECRET_FILE], &wrong);
    Err(Complained)
}

/// Complains of what asks the application where it cannot be asked.
fn needs(reader: &mut Reader<'_>, urled: bool) {
    let hears = |reader: &Reader<'_>, event| {
        urled && (reader.draft.hooks.events.contains(&event) || !reader.is_good(&[EVENTS]))
    };
    if reader.draft.config.auth.mode == Mode::Hook && !hears(reader, HookEvent::Connect) {
        reader.blame(
            &[MODE],
            "the application says who it is: that needs hooks.url, and \"connect\" in hooks.events",
        );
    }
    let joins: Vec<Access> = reader.draft.config.rooms.iter().map(|rule| rule.join).collect();
    for at in (0..joins.len()).filter(|at| joins[*at] == Access::Hook) {
        if !hears(reader, HookEvent::Join) {
            let text =
                "the application says who may join: that needs hooks.url, and \"join\" in hooks.events";
            reader.blame(&[&format!("room.{at}.join")], text);
        }
    }
}

const URL: &str = "hooks.url";
const SECRET: &str = "hooks.secret";
const SECRET_FILE: &str = "hooks.secret_file";
const TIMEOUT: &str = "hooks.timeout";
const DRAIN: &str = "server.drain";
const EVENTS: &str = "hooks.events";
const MODE: &str = "auth.mode";
const SECRET_RECIPE: &str = "whsec_ and what openssl rand -base64 32 prints";
/// Of the time that the process stays when the window of a drain is over, what a call may take.
const BEHIND_DRAIN: Duration = Duration::from_secs(2);
