//! Two network namespaces joined by a veth pair, whose receiving end steers packets to another CPU.
//!
//! Without steering the receive softirq runs in the sender's own context. With it, the sender puts
//! each packet on the other CPU's backlog and interrupts that CPU, and the receive work is done
//! there: in softirq context on its idle task, and by ksoftirqd once it doesn't end.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};

use super::cpu;
use super::netlink::{Rtnetlink, index_of};
use super::netns::{self, Netns};

const SENDER: &str = "kprof-tx";
const RECEIVER: &str = "kprof-rx";
const SENDER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RECEIVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 9;

/// Packets that one [`Steered::send`] makes.
pub(super) const TRAIN: usize = 32;
/// Bytes of payload in each.
const PAYLOAD: usize = 18;

/// A path from a socket to a socket over two CPUs.
pub(super) struct Steered {
    sender: UdpSocket,
    /// Never read: what arrives is received in full and dropped at the very end.
    _receiver: UdpSocket,
    receiving: Netns,
}

impl Steered {
    /// Builds the path; packets are received on `cpu`.
    pub(super) fn to_cpu(cpu: usize) -> Result<Self> {
        let sending = Netns::new()?;
        let receiving = Netns::new()?;
        sending.run(|| {
            Rtnetlink::open()
                .and_then(|net| net.add_veth(SENDER, RECEIVER, receiving.as_fd()))
                .context("make a veth pair (the kernel needs CONFIG_VETH or the veth module)")?;
            configure(SENDER, SENDER_ADDRESS)
        })?;
        let receiver = receiving.run(|| {
            configure(RECEIVER, RECEIVER_ADDRESS)?;
            let queue = format!("class/net/{RECEIVER}/queues/rx-0/rps_cpus");
            netns::write_at(
                &netns::detached_mount("sysfs", &[])?,
                &queue,
                &cpu::mask(cpu),
            )?;
            UdpSocket::bind((RECEIVER_ADDRESS, PORT)).context("bind the receiving socket")
        })?;
        let sender = sending.run(|| {
            let socket = UdpSocket::bind((SENDER_ADDRESS, 0)).context("bind the sending socket")?;
            socket
                .connect((RECEIVER_ADDRESS, PORT))
                .context("connect the sending socket")?;
            cut_into_packets(&socket).context("set UDP_SEGMENT of the sending socket")?;
            Ok(socket)
        })?;
        Ok(Self {
            sender,
            _receiver: receiver,
            receiving,
        })
    }

    /// Sends [`TRAIN`] packets at once; returns how many went out.
    ///
    /// One system call for the whole train keeps the sender's cost per packet below the receiver's:
    /// else the receiving CPU keeps up, and its softirq is over before ksoftirqd is needed.
    pub(super) fn send(&self) -> Result<u64> {
        match self.sender.send(&[0x6b; TRAIN * PAYLOAD]) {
            Ok(_) => Ok(TRAIN as u64),
            // A full queue or a signal costs a train, not the load.
            Err(error)
                if error.kind() == ErrorKind::Interrupted
                    || error.raw_os_error() == Some(libc::ENOBUFS) =>
            {
                Ok(0)
            }
            Err(error) => Err(error).context("send packets to the receiving namespace"),
        }
    }

    /// Packets that got all the way up to the IP layer of the receiving end so far.
    pub(super) fn delivered(&self) -> Result<u64> {
        let snmp = self.receiving.run(|| {
            // `/proc/net` would be the main thread's namespace.
            fs::read_to_string("/proc/thread-self/net/snmp").context("read the IP counters")
        })?;
        ip_counter(&snmp, "InDelivers").context("find Ip: InDelivers in /proc/net/snmp")
    }
}

/// Makes the kernel cut what is sent into packets of [`PAYLOAD`] bytes. Needs Linux 4.18.
fn cut_into_packets(socket: &UdpSocket) -> io::Result<()> {
    let size = PAYLOAD as libc::c_int;
    // SAFETY: the value is a live `c_int`, and its size is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn configure(device: &str, address: Ipv4Addr) -> Result<()> {
    let index = index_of(device).with_context(|| format!("find the device {device}"))?;
    let net = Rtnetlink::open().context("open rtnetlink")?;
    net.add_address(index, address)
        .with_context(|| format!("give {device} its address"))?;
    net.set_up(index)
        .with_context(|| format!("set {device} up"))
}

/// One counter of the `Ip:` pair of lines (names, then values) of `/proc/net/snmp`.
fn ip_counter(snmp: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = names.split_whitespace().position(|word| word == name)?;
    values.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::ip_counter;

    #[test]
    fn ip_counters_are_found_by_name() {
        let snmp = "Ip: Forwarding InReceives InDelivers\nIp: 2 17 15\nIcmp: InMsgs\nIcmp: 3\n";
        assert_eq!(ip_counter(snmp, "InDelivers"), Some(15));
        assert_eq!(ip_counter(snmp, "InMsgs"), None);
        assert_eq!(ip_counter("", "InDelivers"), None);
    }
}
