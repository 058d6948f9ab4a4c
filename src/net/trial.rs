//! How this floor is tested: on both drivers, on real loopback sockets, each trial on a thread and runtime of its own.
//!
//! Nothing here sleeps to wait for a result; a trial that hangs is called off.

use std::{
    env,
    future::{Future, poll_fn},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    panic::resume_unwind,
    pin::Pin,
    process::Command,
    sync::mpsc,
    task::Poll,
    thread,
    time::Duration,
};

use super::{Driver, bind, run};

/// Runs `trial` on io_uring, then on epoll.
pub(crate) fn on_both<F, Fut>(trial: F)
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()>,
{
    for driver in [Driver::IoUring, Driver::Epoll] {
        on(driver, trial.clone());
    }
}

/// Runs `trial` on one driver and hands on its result or its panic.
pub(crate) fn on<F, Fut>(driver: Driver, trial: F) -> Fut::Output
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output: Send + 'static>,
{
    let (done, end) = mpsc::channel::<()>();
    let worker = thread::Builder::new().name(format!("trial on {driver}")).spawn(move || {
        let _done = done;
        run(driver, None, trial).unwrap_or_else(|no| panic!("{driver}: {no}"))
    });
    let worker = worker.unwrap();
    if end.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("on {driver}, the trial hangs");
    }
    worker.join().unwrap_or_else(|panic| {
        eprintln!("failed on {driver}");
        resume_unwind(panic)
    })
}

/// Runs `trial`, which changes what belongs to the whole process, in a process of its own: this test binary again, told to
/// run only the test of that full name.
pub(crate) fn alone(name: &str, trial: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return trial();
    }
    let again = env::current_exe().unwrap();
    let child = Command::new(again).args(["--exact", name]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

/// Polls a future once.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// A loopback connection: the peer's end, which blocks, and ours, which no core has taken up yet.
pub(crate) fn connected() -> (TcpStream, OwnedFd) {
    let listener = bind(LOOPBACK, 1).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    (peer, listener.accept().unwrap().0.into())
}

/// Any port on 127.0.0.1.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const ALONE: &str = "VESTIBULE_TEST_ALONE";
const DEADLINE: Duration = Duration::from_secs(60);
