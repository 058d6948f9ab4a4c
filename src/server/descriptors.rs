//! How many connections this process can hold: each takes a descriptor.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// `limits.connections`, or as many as the descriptors allow, said in one warning. Raises the soft
/// limit of descriptors to the hard one first.
pub(super) fn connections_max(configured: usize) -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = connections_of(descriptors);
    if configured > most {
        warn!(
            "limits.connections = {configured}: {descriptors} descriptors allow {most}, and that is the limit now"
        );
    }
    Ok(configured.min(most))
}

/// What is left for connections of so many descriptors: a quarter, at most 512, is for everything else.
fn connections_of(descriptors: u64) -> usize {
    usize::try_from(descriptors - (descriptors / 4).min(512)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_descriptors_is_kept_back_and_at_most_512() {
        assert_eq!(connections_of(64), 48);
        assert_eq!(connections_of(1024), 768);
        assert_eq!(connections_of(20_000), 19_488);
        assert_eq!(connections_of(u64::MAX), usize::MAX - 512);
    }
}
