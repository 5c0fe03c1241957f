//! Everything that differs between operating systems.
//!
//! The probe itself runs on Linux, as ECS's tasks do. The operator's commands also compile for
//! macOS and Windows, which `tests/run dist` checks; they have not been run there. Values that
//! [`crate::probe`] and `launch` read from Linux's `/proc` are `None` elsewhere.

use std::io;

use socket2::Socket;
#[cfg(feature = "demo")]
use tokio::net::TcpStream;

#[cfg(unix)]
pub use unix::Signals;
#[cfg(windows)]
pub use windows::Signals;

/// Disables core dumps, because the process reads secrets. Errors are ignored: not every kernel
/// supports this.
pub fn disable_core_dumps() {
    #[cfg(unix)]
    unix::disable_core_dumps();
}

/// Raises the limit on open files as far as this process may, and returns it. `None` means
/// unlimited.
pub fn raise_file_limit() -> Option<u64> {
    #[cfg(unix)]
    return unix::raise_file_limit();
    #[cfg(not(unix))]
    None
}

/// Limits the segment size of a TCP connection before it is opened, in bytes. Fails if the
/// operating system does not support that, so that it remains unknown whether segment size matters.
pub fn set_max_segment_size(socket: &Socket, bytes: u32) -> io::Result<()> {
    #[cfg(unix)]
    return socket.set_tcp_mss(bytes);
    #[cfg(not(unix))]
    {
        let _ = (socket, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns the size in bytes of the largest segment that the peer of a connection accepts. Fails if
/// the operating system does not report it.
#[cfg(feature = "demo")]
pub fn max_segment_size(stream: &TcpStream) -> io::Result<u32> {
    #[cfg(unix)]
    return socket2::SockRef::from(stream).tcp_mss();
    #[cfg(not(unix))]
    {
        let _ = stream;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Asks a process to end, as Ctrl-C does. Returns false where the operating system has no such
/// request.
#[cfg(feature = "operator")]
pub fn interrupt(process: u32) -> bool {
    #[cfg(unix)]
    return unix::interrupt(process);
    #[cfg(not(unix))]
    {
        let _ = process;
        false
    }
}

#[cfg(unix)]
mod unix {
    use std::io;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) fn disable_core_dumps() {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = setrlimit(Resource::Core, none);
        // The limit does not apply if the kernel pipes core dumps to a program (core(5)).
        #[cfg(target_os = "linux")]
        let _ =
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }

    pub(super) fn raise_file_limit() -> Option<u64> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => maximum,
            Err(_) => current,
        }
    }

    #[cfg(feature = "operator")]
    pub(super) fn interrupt(process: u32) -> bool {
        use rustix::process::{Pid, Signal, kill_process};
        let id = i32::try_from(process).ok().and_then(Pid::from_raw);
        id.is_some_and(|id| kill_process(id, Signal::INT).is_ok())
    }

    /// The signals that end a command: SIGTERM, which ECS sends to stop a container, and SIGINT,
    /// which Ctrl-C sends. A signal that arrives between `listen` and `next` is not lost.
    pub struct Signals {
        terminate: Signal,
        interrupt: Signal,
    }

    impl Signals {
        /// Installs the handlers: from now on the signals no longer end the process by themselves.
        pub fn listen() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            })
        }

        /// Waits for a signal and returns its name.
        pub async fn next(&mut self) -> &'static str {
            tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
            }
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::io;

    use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

    /// The events that end a command: Ctrl-C and Ctrl-Break. One that arrives between `listen` and
    /// `next` is not lost.
    pub struct Signals {
        interrupt: CtrlC,
        terminate: CtrlBreak,
    }

    impl Signals {
        /// Installs the handlers: from now on the events no longer end the process by themselves.
        pub fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: ctrl_c()?,
                terminate: ctrl_break()?,
            })
        }

        /// Waits for an event and returns its name.
        pub async fn next(&mut self) -> &'static str {
            tokio::select! {
                _ = self.interrupt.recv() => "Ctrl-C",
                _ = self.terminate.recv() => "Ctrl-Break",
            }
        }
    }
}
