//! Lines on their way to whoever reads the log.
//!
//! A thread of its own writes them. Who logs puts its line into a ring that its thread alone fills, and
//! goes on: it takes no lock and waits for nobody, though the reader be stopped and its pipe full. What
//! does not fit is dropped, and counted.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Thread};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::metrics::Shared;
use crate::net::now;

thread_local! {
    static RING: RefCell<Option<Producer<Box<[u8]>>>> = const { RefCell::new(None) };
}

/// The way to the thread that writes.
pub(super) struct Lines {
    writer: Thread,
    /// Bytes that are not written yet.
    held: Arc<AtomicUsize>,
    rings: Sender<Consumer<Box<[u8]>>>,
    dropped: &'static Shared,
}

impl Lines {
    /// Starts the thread, which writes to `out`. What is lost is counted in `dropped`.
    pub(super) fn start(out: impl Write + Send + 'static, dropped: &'static Shared) -> io::Result<Lines> {
        let held = Arc::new(AtomicUsize::new(0));
        let (rings, newcomers) = mpsc::channel();
        let spool = Spool { newcomers, held: held.clone(), dropped };
        let thread = thread::Builder::new().name("log".into()).spawn(move || spool.write(out))?;
        Ok(Lines { writer: thread.thread().clone(), held, rings, dropped })
    }

    /// A line to be written into; it is on its way when it is dropped.
    pub(super) fn line(&self) -> Line<'_> {
        Line { lines: self, text: Vec::new() }
    }

    /// Waits until all is written, or `limit` has passed.
    pub(super) fn flush(&self, limit: Duration) {
        let until = now() + limit;
        while self.held.load(Acquire) > 0 && now() < until {
            thread::park_timeout(LOOK_EVERY);
        }
    }

    fn put(&self, line: Vec<u8>) {
        let bytes = line.len();
        let fits = self.held.fetch_add(bytes, Relaxed) + bytes <= BYTES_MAX;
        // In a thread's last moments it has no ring any more.
        if fits && RING.try_with(|ring| self.push(&mut ring.borrow_mut(), line)) == Ok(true) {
            self.writer.unpark();
        } else {
            self.held.fetch_sub(bytes, Relaxed);
            self.dropped.add(1);
        }
    }

    fn push(&self, ring: &mut Option<Producer<Box<[u8]>>>, line: Vec<u8>) -> bool {
        let ring = ring.get_or_insert_with(|| {
            let (producer, consumer) = RingBuffer::new(LINES_MAX);
            let _ = self.rings.send(consumer);
            producer
        });
        ring.push(line.into()).is_ok()
    }
}

/// One line of the log.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.put(std::mem::take(&mut self.text));
        }
    }
}

/// The other end of the rings.
struct Spool {
    newcomers: Receiver<Consumer<Box<[u8]>>>,
    held: Arc<AtomicUsize>,
    dropped: &'static Shared,
}

impl Spool {
    /// Writes for as long as the process lives.
    fn write(self, mut out: impl Write) {
        let mut rings: Vec<Consumer<Box<[u8]>>> = Vec::new();
        loop {
            rings.extend(self.newcomers.try_iter());
            let mut idle = true;
            for ring in &mut rings {
                // One ring's worth, so that no thread keeps another's lines back.
                for line in std::iter::from_fn(|| ring.pop().ok()).take(LINES_MAX) {
                    idle = false;
                    if out.write_all(&line).is_err() {
                        self.dropped.add(1);
                    }
                    self.held.fetch_sub(line.len(), Release);
                }
            }
            // In this order: what a thread logged before its end is seen.
            rings.retain(|ring| !ring.is_abandoned() || !ring.is_empty());
            if idle {
                thread::park();
            }
        }
    }
}

/// Lines of one thread, and bytes of all, that may wait to be written.
const LINES_MAX: usize = 1024;
const BYTES_MAX: usize = 4 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use super::*;

    /// Takes what is written, one write after the other, and waits until each is asked for.
    struct Reader(SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn counter() -> &'static Shared {
        Box::leak(Box::default())
    }

    fn log(lines: &Lines, text: &str) {
        lines.line().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_of_all_threads_arrive_whole_and_each_threads_in_order() {
        let (reader, written) = mpsc::sync_channel(10_000);
        let lines = Lines::start(Reader(reader), counter()).unwrap();
        thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let lines = &lines;
                scope.spawn(move || (0..500).for_each(|n| log(lines, &format!("{name} {n}\n"))));
            }
        });
        lines.flush(Duration::from_secs(10));
        let written: Vec<String> = written.try_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        for name in ["a", "b", "c"] {
            let its: Vec<&String> = written.iter().filter(|line| line.starts_with(name)).collect();
            let expected: Vec<String> = (0..500).map(|n| format!("{name} {n}\n")).collect();
            assert_eq!(its, expected.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn with_a_reader_that_is_stopped_lines_are_dropped_and_nobody_waits() {
        let (reader, written) = mpsc::sync_channel(0);
        let lines = Lines::start(Reader(reader), counter()).unwrap();
        for n in 0..LINES_MAX + 500 {
            log(&lines, &format!("{n}\n"));
        }
        // The thread may have taken one out of the ring; the rest is in it, or gone.
        let dropped = lines.dropped.value();
        assert!((499..=500).contains(&dropped), "{dropped}");
        lines.flush(Duration::from_millis(5));
        assert!(lines.held.load(Relaxed) > 0, "a flush does not wait for ever");

        for n in 0..LINES_MAX {
            assert_eq!(
                written.recv().unwrap(),
                format!("{n}\n").into_bytes(),
                "what was kept is kept in order"
            );
        }
    }

    #[test]
    fn no_more_bytes_are_held_than_may_be() {
        let (reader, written) = mpsc::sync_channel(0);
        let lines = Lines::start(Reader(reader), counter()).unwrap();
        let megabyte = "x".repeat(1 << 20);
        for _ in 0..100 {
            log(&lines, &megabyte);
        }
        assert_eq!(lines.held.load(Relaxed), BYTES_MAX);
        drop(written);
        lines.flush(Duration::from_secs(10));
        assert_eq!(lines.held.load(Relaxed), 0, "a reader that is gone holds nothing up");
    }
}
