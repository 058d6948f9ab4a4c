//! What the kernel says of this process.
//!
//! Asked at a scrape, on the shard that answers it: so each question is one that takes microseconds. The
//! directory of descriptors is not listed for its length, which would be milliseconds at 100,000 of them.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// One look; what the kernel does not tell is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_s: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
    pub(super) virtual_bytes: Option<f64>,
    pub(super) threads: Option<f64>,
    pub(super) open_fds: Option<f64>,
    pub(super) max_fds: Option<f64>,
}

impl Process {
    /// Looks at this process.
    pub(super) fn read() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Since Linux 6.2 the directory's size is the number of its entries; before, it was 0.
        let open_fds = fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len());
        Process {
            open_fds: (open_fds > 0).then_some(open_fds as f64),
            max_fds: getrlimit(Resource::Nofile).current.map(|most| most as f64),
            ..Process::of_stat(&stat)
        }
    }

    /// Reads `/proc/PID/stat` (proc_pid_stat(5)).
    fn of_stat(stat: &str) -> Process {
        // The name, in parentheses, may have spaces and parentheses of its own.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
        // The manual counts from 1, and the name is the second.
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
        let ticks = clock_ticks_per_second() as f64;
        Process {
            cpu_s: field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks),
            threads: field(20),
            virtual_bytes: field(23),
            resident_bytes: field(24).map(|pages| pages * page_size() as f64),
            ..Process::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_kernel_is_read_whatever_the_name() {
        let stat = "4711 (a) b) (c) S 1 4711 4711 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 7 0 12345 1048576 10 18446744073709551615 1";
        let process = Process::of_stat(stat);
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(process.cpu_s, Some(300.0 / ticks));
        assert_eq!(process.threads, Some(7.0));
        assert_eq!(process.virtual_bytes, Some(1_048_576.0));
        assert_eq!(process.resident_bytes, Some(10.0 * page_size() as f64));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for stat in ["", "4711 (a", "4711 (a) S 1", "4711 (a) S x x x x x x x x x x x x x x"] {
            assert_eq!(Process::of_stat(stat), Process::default(), "{stat}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let process = Process::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1e5), "{process:?}");
        assert!(process.cpu_s.is_some() && process.threads >= Some(1.0), "{process:?}");
        assert!(process.open_fds.is_none_or(|fds| fds >= 3.0), "{process:?}");
    }
}
