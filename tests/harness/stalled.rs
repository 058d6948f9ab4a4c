//! A thread of another process that stands still, as one would that never comes back from a loop.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// The thread goes on when this is dropped.
pub(crate) struct Stalled {
    tracer: Child,
}

impl Stalled {
    /// Stops the thread called `name` of process `pid` and no other; `None`, with the reason on standard
    /// error, where threads cannot be traced.
    pub(crate) fn thread(pid: u32, name: &str) -> Option<Self> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a living process");
        let is_it = |task: &std::fs::DirEntry| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let thread = tasks.flatten().find(is_it).expect("a thread of this name").file_name();
        let begun = Command::new("python3")
            .args(["-c", STALL])
            .arg(thread)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut tracer) = begun else {
            eprintln!("skipped: needs python3");
            return None;
        };
        let mut said = String::new();
        let output = tracer.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut said).expect("the tracer speaks");
        let stalled = Self { tracer };
        if said.trim() != "stalled" {
            eprintln!("skipped: a thread cannot be traced here: {said}");
            return None;
        }
        Some(stalled)
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // Its input ends, it does, and the kernel lets the thread go.
        drop(self.tracer.stdin.take());
        let _ = self.tracer.wait();
    }
}

/// PTRACE_SEIZE and PTRACE_INTERRUPT stop one thread alone; SIGSTOP would stop all.
const STALL: &str = "
import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
thread = int(sys.argv[1])
for request in (0x4206, 0x4207):
    if ptrace(request, thread, 0, 0) != 0:
        sys.exit(print(os.strerror(ctypes.get_errno())))
os.waitpid(thread, 0x40000000)
print('stalled', flush=True)
sys.stdin.read()
";
