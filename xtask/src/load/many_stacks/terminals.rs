//! A pseudo-terminal: what is written to one end is carried to the other by a work queue.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};

use super::{Ops, check};

pub(super) fn ops() -> Result<Ops> {
    let (master, terminal) = pair().context("make a pseudo-terminal")?;
    let mut ops = Ops::default();
    let ends = (duplicate(&master)?, duplicate(&terminal)?);
    let mut buffer = vec![0; 8192];
    ops.add("type", move |random| {
        let (mut master, mut terminal) = (&ends.0, &ends.1);
        let line = [b'k'; 64];
        for _ in 0..1 + random.below(8) {
            // A full terminal refuses; the reads below empty it.
            let _ = master.write(&line).and_then(|_| master.write(b"\n"));
        }
        while terminal.read(&mut buffer).is_ok_and(|count| count > 0) {}
        while master.read(&mut buffer).is_ok_and(|count| count > 0) {}
        Ok(())
    });
    let ends = (duplicate(&master)?, duplicate(&terminal)?);
    let mut buffer = vec![0; 8192];
    ops.add("print", move |random| {
        let (mut master, mut terminal) = (&ends.0, &ends.1);
        let text = vec![b'\n'; 1 + random.below(500) as usize];
        let _ = terminal.write(&text);
        while master.read(&mut buffer).is_ok_and(|count| count > 0) {}
        Ok(())
    });
    let file = duplicate(&terminal)?;
    ops.add("settings", move |random| {
        // SAFETY: an all-zero `termios` is a valid value, and both calls get a live one.
        unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            check(libc::tcgetattr(file.as_raw_fd(), &raw mut settings))?;
            if random.below(2) == 0 {
                settings.c_lflag ^= libc::ECHO;
            } else {
                settings.c_lflag ^= libc::ICANON;
            }
            check(libc::tcsetattr(
                file.as_raw_fd(),
                libc::TCSANOW,
                &raw const settings,
            ))?;
        }
        Ok(())
    });
    ops.add("flush", move |_| {
        // SAFETY: the call takes numbers only.
        check(unsafe { libc::tcflush(terminal.as_raw_fd(), libc::TCIOFLUSH) })?;
        Ok(())
    });
    ops.add("open-close", |_| pair().map(drop));
    Ok(ops)
}

fn duplicate(file: &File) -> Result<File> {
    file.try_clone().context("duplicate a file descriptor")
}

/// Both ends, non-blocking. The terminal's end is opened through the master, not by its name.
fn pair() -> io::Result<(File, File)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the calls take numbers only, and each descriptor made is owned at once.
    unsafe {
        let master = OwnedFd::from_raw_fd(check(libc::posix_openpt(flags))? as i32);
        check(libc::unlockpt(master.as_raw_fd()))?;
        let terminal = check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags))?;
        let terminal = OwnedFd::from_raw_fd(terminal as i32);
        Ok((master.into(), terminal.into()))
    }
}
