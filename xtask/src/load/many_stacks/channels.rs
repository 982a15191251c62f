//! Pipes, sockets within the machine, and the descriptors that tell of events.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::fs::inotify;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice, tee};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::{Ops, check};

const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

pub(super) fn ops(directory: &Path) -> Result<Ops> {
    let mut ops = Ops::default();
    pipes(&mut ops)?;
    unix_sockets(&mut ops)?;
    events(&mut ops)?;
    watches(&mut ops, directory)?;
    Ok(ops)
}

fn new_pipe() -> io::Result<(File, File)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((read.into(), write.into()))
}

fn pipes(ops: &mut Ops) -> Result<()> {
    let (mut read, mut write) = new_pipe().context("make a pipe")?;
    let mut buffer = vec![0; 32 << 10];
    ops.add("pipe", move |random| {
        let length = 1 + random.below(buffer.len() as u64) as usize;
        let written = write.write(&buffer[..length])?;
        read.read_exact(&mut buffer[..written])
    });
    ops.add("pipe-new-resized", |random| {
        let (_read, write) = new_pipe()?;
        fcntl_setpipe_size(&write, 4096 << random.below(5))?;
        Ok(())
    });
    let program = File::open("/proc/self/exe").context("open this program's file")?;
    let zero = File::open("/dev/zero").context("open /dev/zero")?;
    let null = File::options()
        .write(true)
        .open("/dev/null")
        .context("open /dev/null")?;
    ops.add("splice-tee", move |random| {
        let (read, write) = new_pipe()?;
        let (copy_read, copy_write) = new_pipe()?;
        let length = 1 + random.below(30_000) as usize;
        if random.below(2) == 0 {
            let mut offset = random.below(64 << 10);
            let flags = SpliceFlags::NONBLOCK;
            splice(&program, Some(&mut offset), &write, None, length, flags)?;
        } else {
            splice(&zero, None, &write, None, length, SpliceFlags::NONBLOCK)?;
        }
        tee(&read, &copy_write, length, SpliceFlags::NONBLOCK)?;
        splice(&read, None, &null, None, length, SpliceFlags::NONBLOCK)?;
        splice(&copy_read, None, &null, None, length, SpliceFlags::NONBLOCK)?;
        Ok(())
    });
    Ok(())
}

fn unix_sockets(ops: &mut Ops) -> Result<()> {
    let (mut one, mut other) = UnixStream::pair().context("make a socket pair")?;
    let mut buffer = vec![0; 16 << 10];
    ops.add("unix-stream", move |random| {
        let length = 1 + random.below(buffer.len() as u64) as usize;
        one.write_all(&buffer[..length])?;
        other.read_exact(&mut buffer[..length])
    });
    let (one, other) = UnixDatagram::pair().context("make a socket pair")?;
    let mut buffer = [0; 512];
    ops.add("unix-datagram", move |_| {
        one.send(&buffer)?;
        other.recv(&mut buffer)?;
        Ok(())
    });
    ops.add("unix-pass-descriptor", |_| {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let passed = [one.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&passed));
        let data = [IoSlice::new(b"fd")];
        sendmsg(&one, &data, &mut control, SendFlags::empty())?;
        let mut buffer = [0; 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(
            &other,
            &mut [IoSliceMut::new(&mut buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        Ok(())
    });
    Ok(())
}

fn events(ops: &mut Ops) -> Result<()> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("eventfd")?;
    let timer = timerfd_create(
        TimerfdClockId::Monotonic,
        TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
    )
    .context("timerfd")?;
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
    ops.add("epoll", move |random| {
        let (what, readable) = (epoll::EventData::new_u64(1), epoll::EventFlags::IN);
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poller, &event, what, readable)?;
        epoll::add(&poller, &timer, what, edge)?;
        rustix::io::write(&event, &1u64.to_ne_bytes())?;
        let mut ready = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: what,
        }; 4];
        epoll::wait(&poller, &mut ready, Some(&NOW))?;
        rustix::io::read(&event, &mut [0; 8])?;
        let soon = Itimerspec {
            it_interval: NOW,
            it_value: Timespec {
                tv_sec: 0,
                tv_nsec: 1 + random.below(50_000) as i64,
            },
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &soon)?;
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 60_000,
        };
        epoll::wait(&poller, &mut ready, Some(&moment))?;
        epoll::delete(&poller, &timer)?;
        epoll::delete(&poller, &event)?;
        Ok(())
    });
    let (read, _write) = new_pipe().context("make a pipe")?;
    ops.add("poll", move |_| {
        let ends = [&read, &_write];
        let mut watched = ends.map(|end| PollFd::new(end, PollFlags::IN | PollFlags::OUT));
        poll(&mut watched, Some(&NOW))?;
        Ok(())
    });
    ops.add("io-uring-new", |_| {
        // struct io_uring_params (linux/io_uring.h), 120 bytes, all zero: the defaults.
        let mut params = [0u64; 15];
        // SAFETY: `params` is live, aligned and as large as the kernel's structure.
        let ring = check(unsafe {
            libc::syscall(
                libc::SYS_io_uring_setup,
                4 as libc::c_uint,
                params.as_mut_ptr(),
            )
        })?;
        // SAFETY: the kernel has just made this descriptor for us alone.
        drop(unsafe { OwnedFd::from_raw_fd(ring as i32) });
        // Rings are taken down by a work queue: leave it time.
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    });
    Ok(())
}

fn watches(ops: &mut Ops, directory: &Path) -> Result<()> {
    let watched = directory.join("watched");
    std::fs::create_dir_all(&watched).context("make a directory to watch")?;
    let watcher = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .context("inotify")?;
    let file = watched.join("file");
    let mut buffer = vec![0u8; 4096];
    ops.add("inotify", move |_| {
        let watch = inotify::add_watch(&watcher, &watched, inotify::WatchFlags::ALL_EVENTS)?;
        std::fs::write(&file, b"changed")?;
        std::fs::remove_file(&file)?;
        rustix::io::read(&watcher, &mut buffer[..])?;
        inotify::remove_watch(&watcher, watch)?;
        while rustix::io::read(&watcher, &mut buffer[..]).is_ok() {}
        Ok(())
    });
    Ok(())
}
