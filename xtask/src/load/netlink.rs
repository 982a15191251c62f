//! The few rtnetlink requests the loads need: make a veth pair, give an address, set a link up.
//!
//! Message layout: `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`, `linux/veth.h`.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// `VETH_INFO_PEER` of `linux/veth.h`.
const VETH_INFO_PEER: u16 = 1;
const HEADER: usize = size_of::<libc::nlmsghdr>();

/// An open connection to the rtnetlink of the network namespace it was made in.
pub(super) struct Rtnetlink {
    socket: OwnedFd,
}

impl Rtnetlink {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self { socket })
    }

    /// Makes the veth device `name` in this namespace, with its other end `peer` in `peer_netns`.
    ///
    /// The device takes no more than two segments in one packet, so that a longer train of segments
    /// is cut into single packets on its way in.
    pub(super) fn add_veth(
        &self,
        name: &str,
        peer: &str,
        peer_netns: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        request.link_header(0, 0);
        request.string(libc::IFLA_IFNAME, name);
        request.attribute(libc::IFLA_GSO_MAX_SEGS, &2u32.to_ne_bytes());
        let info = request.open(libc::IFLA_LINKINFO);
        request.attribute(libc::IFLA_INFO_KIND, b"veth");
        let data = request.open(libc::IFLA_INFO_DATA);
        let other = request.open(VETH_INFO_PEER);
        request.link_header(0, 0);
        request.string(libc::IFLA_IFNAME, peer);
        request.attribute(libc::IFLA_NET_NS_FD, &peer_netns.as_raw_fd().to_ne_bytes());
        request.close(other);
        request.close(data);
        request.close(info);
        self.ask(request)
    }

    /// Gives the device the address `address`/24.
    pub(super) fn add_address(&self, index: u32, address: Ipv4Addr) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        // struct ifaddrmsg: family, prefix length, flags, scope, index
        request.bytes(&[libc::AF_INET as u8, 24, 0, 0]);
        request.bytes(&index.to_ne_bytes());
        request.attribute(libc::IFA_LOCAL, &address.octets());
        request.attribute(libc::IFA_ADDRESS, &address.octets());
        self.ask(request)
    }

    /// Sets the device up.
    pub(super) fn set_up(&self, index: u32) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        request.link_header(index, libc::IFF_UP as u32);
        self.ask(request)
    }

    /// Sends the request and waits for the kernel's answer to it.
    fn ask(&self, request: Request) -> io::Result<()> {
        send(&self.socket, &request.finish(), SendFlags::empty())?;
        let mut answer = [0u8; 4096];
        let (length, _) = recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        match acknowledged(&answer[..length]) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Err(io::Error::other(
                "rtnetlink answered with no acknowledgement",
            )),
        }
    }
}

/// The error number of an `NLMSG_ERROR` answer, 0 for success.
fn acknowledged(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(HEADER..HEADER + 4)?.try_into().ok()?);
    (i32::from(kind) == libc::NLMSG_ERROR).then_some(-error)
}

/// The index of a device of the calling thread's network namespace.
pub(super) fn index_of(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// A netlink message being put together.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: libc::c_int) -> Self {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut message = vec![0; 4]; // nlmsg_len, known at the end
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]); // sequence and port: one request at a time needs neither
        Self(message)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// `struct ifinfomsg` for a device: any family and type, and the flags to set.
    fn link_header(&mut self, index: u32, flags: u32) {
        self.bytes(&[0; 4]);
        self.bytes(&index.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes()); // which flags to change
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes(value);
        // The length leaves the padding out.
        let length = (4 + value.len()) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn string(&mut self, kind: u16, value: &str) {
        let mut value = value.as_bytes().to_vec();
        value.push(0);
        self.attribute(kind, &value);
    }

    /// Begins an attribute that holds what follows, up to [`Request::close`].
    fn open(&mut self, kind: u16) -> usize {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, acknowledged};

    #[test]
    fn attributes_are_padded_and_nested() {
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        let outer = request.open(18);
        request.string(3, "kp");
        request.close(outer);
        let message = request.finish();
        assert_eq!(message.len(), 16 + 4 + 8);
        assert_eq!(message[..4], 28u32.to_ne_bytes());
        assert_eq!(message[16..18], 12u16.to_ne_bytes()); // outer: its header and the padded inner one
        assert_eq!(message[20..22], 7u16.to_ne_bytes()); // inner: header, "kp", NUL, without padding
        assert_eq!(&message[24..28], b"kp\0\0");
    }

    #[test]
    fn answers_carry_an_error_number() {
        let mut answer = vec![0u8; 36];
        answer[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        assert_eq!(acknowledged(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-libc::EEXIST).to_ne_bytes());
        assert_eq!(acknowledged(&answer), Some(libc::EEXIST));
        assert_eq!(acknowledged(&answer[..10]), None);
    }
}
