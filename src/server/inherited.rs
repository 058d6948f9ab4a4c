//! Sockets that the parent process holds and passes on (sd_listen_fds(3)): what is queued on them outlives
//! this process.

use std::env;
use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

use crate::net;

/// What was passed to this process, by name.
pub(super) struct Inherited {
    sockets: Vec<(String, io::Result<TcpListener>)>,
}

/// Why there is no socket of a name.
#[derive(Debug, thiserror::Error)]
pub enum NotInherited {
    /// LISTEN_FDNAMES does not have it.
    #[error("no socket of this name was passed to the process (LISTEN_FDNAMES has {0})")]
    Missing(String),
    /// It is no TCP socket, or not one that listens.
    #[error("the socket passed under this name cannot be used: {0}")]
    Unfit(io::Error),
}

impl Inherited {
    /// Takes what the environment tells of, once: it is of no use to another process. Sockets without a name
    /// are called "unknown", as systemd does.
    #[allow(clippy::disallowed_methods, reason = "a service manager speaks by the environment")]
    pub(super) fn from_environment() -> Inherited {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut passed = ListenFd::from_env();
        let sockets = (0..passed.len()).filter_map(|index| {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
            let socket = passed.take_tcp_listener(index).transpose()?;
            Some((name, socket.and_then(made_ready)))
        });
        Inherited { sockets: sockets.collect() }
    }

    /// All sockets of a name.
    pub(super) fn take(&mut self, name: &str) -> Result<Vec<TcpListener>, NotInherited> {
        let (mine, others) = self.sockets.drain(..).partition(|(one, _)| one == name);
        self.sockets = others;
        let mine: Vec<(String, io::Result<TcpListener>)> = mine;
        if mine.is_empty() {
            let mut names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
            names.dedup();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(NotInherited::Missing(names));
        }
        mine.into_iter().map(|(_, socket)| socket.map_err(NotInherited::Unfit)).collect()
    }
}

/// As one that was bound here: see [`net::prepare`].
fn made_ready(listener: TcpListener) -> io::Result<TcpListener> {
    let socket = SockRef::from(&listener);
    if !socket.is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    net::prepare(&socket)?;
    Ok(listener)
}
