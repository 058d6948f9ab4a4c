//! A wall clock that jumps, by hours and years, both ways: nobody is cut for it, and nothing panics.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Deadline, Member, Neighbours, PATIENCE, Server, Setup, Socket, gauge, mint, now_s, until};
use serde_json::json;
use std::{fs, path::PathBuf, time::Duration};

#[test]
fn a_jump_of_the_wall_clock_cuts_nobody() {
    let Some(library) = libfaketime() else {
        println!("skipped: needs libfaketime (Debian: apt-get install faketime)");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock { file: directory.path().join("offset") };
    clock.is_ahead_by(0);
    let server = Setup::new(2)
        .set("heartbeat.interval", "\"1s\"")
        .set("heartbeat.timeout", "\"1s\"")
        .set("limits.head_deadline", "\"3s\"")
        .variable("LD_PRELOAD", library.to_str().unwrap())
        .variable("FAKETIME_TIMESTAMP_FILE", clock.file.to_str().unwrap())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start();
    let mut neighbours = Neighbours::move_in(&server, NEIGHBOURS);
    let mut old = enter(&server, 100 * YEAR_S);
    old.join("r");
    // In its time: it is not asked again while the clock is elsewhere.
    let mut short = enter(&server, HOUR_S as i64 + 60);
    short.join("r");
    for ahead in JUMPS {
        let before = dated(&server);
        clock.is_ahead_by(ahead);
        let (_, echoes) = neighbours.beside(|| {
            until("the server's clock has jumped", PATIENCE, || {
                let date = dated(&server);
                (date != before).then_some(())
            });
            // Who comes now is judged by the clock as it stands.
            let mut late = enter(&server, 100 * YEAR_S);
            late.join("r");
            late.broadcast("r", "1");
            old.lives();
            short.lives();
            // Were heartbeats and deadlines kept by this clock, the next ticks would cut all.
            let since = Deadline::within(PATIENCE);
            until("some ticks have passed", PATIENCE, || (since.elapsed() > TICKS).then_some(()));
            late.socket.reset();
        });
        println!("{ahead} s: {echoes}");
        server.await_metric(gauge::CONNECTIONS, (NEIGHBOURS + 2) as f64);
        for member in [&mut old, &mut short] {
            member.lives();
            member.kept();
        }
    }
    assert_eq!(server.metric(gauge::PANICS), 0.0);
    assert_eq!(server.metric("vestibule_silent_total"), 0.0);
    server.stop();
}

/// The second hand of the server, as a file that it looks at.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn is_ahead_by(&self, seconds: i64) {
        // Whole at once: it is read at every look at the clock.
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
        fs::rename(fresh, &self.file).unwrap();
    }
}

/// A member whose token is good for so many seconds of the true clock.
fn enter(server: &Server, seconds: i64) -> Member {
    let exp = now_s() as i64 + seconds;
    Member::greeted(Socket::connect(server.public), &mint(&json!({ "sub": "ada", "exp": exp })), "ada")
}

/// The year and hour that the server says it is.
fn dated(server: &Server) -> String {
    let response = Socket::connect(server.public).get("/nowhere").unwrap();
    let date = response.header("date").unwrap().to_owned();
    // "Sun, 06 Nov 1994 08:49:37 GMT", without its minutes.
    date[..19].to_owned()
}

/// Debian's place for it, on any architecture.
fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    let candidates = folders.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")));
    candidates.into_iter().find(|path| path.exists())
}

const NEIGHBOURS: usize = 20;
const HOUR_S: u64 = 3600;
const YEAR_S: i64 = 365 * 24 * 3600;
/// Where the clock stands, one after the other: an hour, ten years, before 1970, the year 2100.
const JUMPS: [i64; 7] = [3600, -3600, 10 * YEAR_S, -10 * YEAR_S, -60 * YEAR_S, 75 * YEAR_S, 0];
const TICKS: Duration = Duration::from_millis(400);
