//! Sockets over the loopback device of the load's own network namespace.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
    sockopt,
};

use super::{Ops, check};
use crate::load::netlink::index_of;

/// No call waits longer than this.
const PATIENCE: Duration = Duration::from_millis(100);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

pub(super) fn ops() -> Result<Ops> {
    let mut ops = Ops::default();
    for (connect, stream, datagram, refused, address) in [
        ("tcp4-connect", "tcp4", "udp4", "udp4-refused", V4),
        ("tcp6-connect", "tcp6", "udp6", "udp6-refused", V6),
    ] {
        // A kernel without IPv6 does the rest.
        let Ok(listener) = TcpListener::bind((address, 0)) else {
            continue;
        };
        let (mut one, mut other) = connected(&listener).context("connect over loopback")?;
        ops.add(connect, move |_| connected(&listener).map(drop));
        let mut buffer = vec![0; 48 << 10];
        ops.add(stream, move |random| {
            let length = 1 + random.below(buffer.len() as u64) as usize;
            one.set_nodelay(random.below(2) == 0)?;
            one.write_all(&buffer[..length])?;
            other.read_exact(&mut buffer[..length])
        });
        let receiver = UdpSocket::bind((address, 0)).context("bind a UDP socket")?;
        receiver
            .set_read_timeout(Some(PATIENCE))
            .context("set a timeout")?;
        let sender = UdpSocket::bind((address, 0)).context("bind a UDP socket")?;
        let to = receiver
            .local_addr()
            .context("ask for a socket's address")?;
        let mut buffer = vec![0; 8 << 10];
        ops.add(datagram, move |random| {
            let length = random.below(buffer.len() as u64) as usize;
            sender.send_to(&buffer[..length], to)?;
            receiver.peek(&mut buffer)?;
            receiver.recv(&mut buffer).map(drop)
        });
        ops.add(refused, move |_| {
            let socket = UdpSocket::bind((address, 0))?;
            socket.connect((address, 9))?;
            socket.send(b"nobody listens")?;
            match socket.send(b"and now it is known") {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                other => other.map(drop),
            }
        });
    }
    raw(&mut ops)?;
    questions(&mut ops);
    Ok(ops)
}

fn connected(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let one = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let (other, _) = listener.accept()?;
    for stream in [&one, &other] {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // Reset at close: else closed connections would use all ports up.
        sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    }
    Ok((one, other))
}

fn raw(ops: &mut Ops) -> Result<()> {
    let icmp = socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::ICMP),
    )
    .context("make a raw socket")?;
    ops.add("ping", move |random| {
        // An echo request with its checksum: type 8, one 16-bit word that is not zero.
        let word = 1 + random.below(60_000) as u16;
        let mut packet = [0; 16];
        packet[0] = 8;
        packet[4..6].copy_from_slice(&word.to_be_bytes());
        let sum = 0x0800 + u32::from(word);
        let checksum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        sendto(&icmp, &packet, SendFlags::empty(), &to)?;
        let mut answer = [0u8; 128];
        while rustix::net::recv(&icmp, &mut answer[..], RecvFlags::empty()).is_ok() {}
        Ok(())
    });
    ops.add("capture-packets", |_| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // All protocols: ETH_P_ALL in network byte order.
        let all = std::num::NonZero::new(u32::from((libc::ETH_P_ALL as u16).to_be()));
        let protocol = all.map(rustix::net::Protocol::from_raw);
        let tap = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, protocol)?;
        let socket = UdpSocket::bind((V4, 0))?;
        socket.send_to(b"seen twice", socket.local_addr()?)?;
        let mut frame = [0u8; 256];
        rustix::net::recv(&tap, &mut frame[..], RecvFlags::empty())?;
        Ok(())
    });
    Ok(())
}

fn questions(ops: &mut Ops) {
    ops.add("interfaces", |_| {
        let mut list = std::ptr::null_mut();
        // SAFETY: `list` is live for the answer, which is freed once and not used.
        unsafe {
            check(libc::getifaddrs(&raw mut list))?;
            libc::freeifaddrs(list);
        }
        Ok(())
    });
    ops.add("interface-index", |_| index_of("lo").map(drop));
    ops.add("socket-options", |random| {
        let socket = UdpSocket::bind((V4, 0))?;
        socket.set_broadcast(true)?;
        socket.set_ttl(1 + random.below(60) as u32)?;
        sockopt::set_socket_recv_buffer_size(&socket, 65_536)?;
        sockopt::socket_type(&socket)?;
        let group = Ipv4Addr::new(224, 0, 0, 100);
        socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
    });
    ops.add("socket-kinds", |random| {
        let family = *random.pick(&[
            AddressFamily::INET,
            AddressFamily::INET6,
            AddressFamily::UNIX,
            AddressFamily::NETLINK,
        ]);
        let made: OwnedFd = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        drop(made);
        Ok(())
    });
}
