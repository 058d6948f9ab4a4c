//! How many connections this process can hold: each takes a descriptor, and where requests are handed on, two.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// `limits.connections`, or as many as the descriptors allow, said in one warning. Raises the soft
/// limit of descriptors to the hard one first. With `routes` each connection may have one to a backend.
pub(super) fn connections_max(configured: usize, routes: bool) -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = connections_of(descriptors, if routes { 2 } else { 1 });
    if configured > most {
        warn!(
            "limits.connections = {configured}: {descriptors} descriptors allow {most}, and that is the limit now"
        );
    }
    Ok(configured.min(most))
}

/// The connections of so many descriptors, each taking so many: a quarter, at most 512, is for everything else.
fn connections_of(descriptors: u64, each: u64) -> usize {
    usize::try_from((descriptors - (descriptors / 4).min(512)) / each).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_descriptors_is_kept_back_and_at_most_512() {
        assert_eq!(connections_of(64, 1), 48);
        assert_eq!(connections_of(1024, 1), 768);
        assert_eq!(connections_of(20_000, 1), 19_488);
        assert_eq!(connections_of(u64::MAX, 1), usize::MAX - 512);
    }

    #[test]
    fn a_connection_whose_requests_are_handed_on_takes_two() {
        assert_eq!(connections_of(1024, 2), 384);
        assert_eq!(connections_of(20_000, 2), 9744);
    }
}
