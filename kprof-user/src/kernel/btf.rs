//! Offsets of `task_struct` members, from the running kernel's BTF.
//!
//! The format is `Documentation/bpf/btf.rst` of Linux: a header, type records of varying length, and
//! strings. It holds 5 to 10 MB on ordinary kernels, so it is read piece by piece and nothing of it is kept:
//! once through the strings for the names wanted, once through the types for the struct, and once more
//! for each level of anonymous structs within it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

/// Where the kernel shows its own BTF (`CONFIG_DEBUG_INFO_BTF`).
pub const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Byte offsets within `task_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOffsets {
    /// Of `task_struct.flags` (`PF_KTHREAD` and the like), 4 bytes.
    pub flags: u32,
    /// Of `task_struct.comm`, 16 bytes.
    pub comm: u32,
}

/// Whether the kernel shows its BTF to this process.
pub fn is_shown() -> bool {
    File::open(PATH).is_ok()
}

/// Reads the offsets from the running kernel's BTF.
pub fn task_offsets() -> Result<TaskOffsets> {
    let file = File::open(PATH).with_context(|| format!("cannot open {PATH}"))?;
    task_offsets_in(&file).with_context(|| format!("cannot find task_struct in {PATH}"))
}

/// Something that can be read at any offset.
pub(super) trait Source {
    /// Reads up to `buf.len()` bytes; fewer at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }
}

/// Bytes read at once: small beside the kernel's BTF, large beside a system call.
const CHUNK: usize = 64 * 1024;
/// One less than the longest name wanted, its NUL included.
const OVERLAP: usize = "task_struct".len();
/// Most bytes of one section that are looked at. Real ones have up to some 10 MB.
const MAX_SECTION: u64 = 256 << 20;
/// Levels of anonymous structs and unions within `task_struct` that are followed.
const MAX_DEPTH: u32 = 4;
/// Most anonymous members of one level. Real kernels have fewer than ten.
const MAX_ANONYMOUS: usize = 256;

pub(super) fn task_offsets_in(source: &dyn Source) -> Result<TaskOffsets> {
    let header = Header::read(source)?;
    let names = Names::read(source, &header)?;
    let mut found = Found::default();
    let mut level = Wanted::Named;
    for _ in 0..=MAX_DEPTH {
        let anonymous = scan(source, &header, &names, &level, &mut found)?;
        if let Found {
            flags: Some(flags),
            comm: Some(comm),
        } = found
        {
            return Ok(TaskOffsets { flags, comm });
        }
        if anonymous.is_empty() {
            break;
        }
        level = Wanted::Ids(anonymous);
    }
    match found {
        Found { flags: None, .. } => bail!("no member flags"),
        Found { .. } => bail!("no member comm"),
    }
}

/// The two sections, as (file offset, length).
struct Header {
    types: (u64, u64),
    strings: (u64, u64),
}

impl Header {
    fn read(source: &dyn Source) -> Result<Header> {
        const LEN: usize = 24;
        const MAGIC: u16 = 0xeb9f;
        let mut bytes = [0; LEN];
        let mut reader = Reader::new(source, (0, LEN as u64));
        bytes.copy_from_slice(reader.take(LEN)?.context("shorter than a BTF header")?);
        let magic = u16::from_ne_bytes([bytes[0], bytes[1]]);
        ensure!(magic == MAGIC, "not BTF of this machine's byte order");
        let header_len = u64::from(word(&bytes, 4));
        let section = |at: usize| -> Result<(u64, u64)> {
            let (offset, len) = (u64::from(word(&bytes, at)), u64::from(word(&bytes, at + 4)));
            ensure!(len <= MAX_SECTION, "a section of {len} bytes");
            Ok((header_len + offset, len))
        };
        Ok(Header {
            types: section(8)?,
            strings: section(16)?,
        })
    }
}

/// Reads one section in order, by pieces.
struct Reader<'a> {
    source: &'a dyn Source,
    buf: Vec<u8>,
    /// Bytes of `buf` already taken.
    taken: usize,
    /// File offset behind `buf`, and the section's end.
    offset: u64,
    end: u64,
}

impl<'a> Reader<'a> {
    fn new(source: &'a dyn Source, (offset, len): (u64, u64)) -> Reader<'a> {
        Reader {
            source,
            buf: Vec::new(),
            taken: 0,
            offset,
            end: offset + len,
        }
    }

    /// The next `len` bytes; `None` where the section or the file ends before.
    fn take(&mut self, len: usize) -> Result<Option<&[u8]>> {
        while self.buf.len() - self.taken < len {
            self.buf.drain(..self.taken);
            self.taken = 0;
            let kept = self.buf.len();
            let more = usize::try_from(self.end - self.offset)
                .unwrap_or(CHUNK)
                .min(CHUNK);
            self.buf.resize(kept + more, 0);
            let n = self
                .source
                .read_at(&mut self.buf[kept..], self.offset)
                .context("cannot read")?
                .min(more);
            self.buf.truncate(kept + n);
            self.offset += n as u64;
            if n == 0 {
                return Ok(None);
            }
        }
        self.taken += len;
        Ok(Some(&self.buf[self.taken - len..self.taken]))
    }

    /// Passes over `len` bytes; `false` where the section ends before.
    fn skip(&mut self, len: usize) -> Result<bool> {
        let buffered = (self.buf.len() - self.taken).min(len);
        self.taken += buffered;
        let rest = (len - buffered) as u64;
        if rest > self.end - self.offset {
            return Ok(false);
        }
        self.offset += rest;
        Ok(true)
    }
}

/// Offsets in the string section at which each wanted name starts, ascending. A name may start within a
/// longer one (`flags` within `fpu_flags`), since a BTF writer may share endings.
struct Names {
    task_struct: Vec<u32>,
    flags: Vec<u32>,
    comm: Vec<u32>,
}

impl Names {
    fn read(source: &dyn Source, header: &Header) -> Result<Names> {
        let mut names = Names {
            task_struct: Vec::new(),
            flags: Vec::new(),
            comm: Vec::new(),
        };
        let mut reader = Reader::new(source, header.strings);
        // The string section is a run of strings, each ended by NUL. A piece is looked through together with
        // the end of the one before, in case a name lies across.
        let (mut at, mut piece): (u64, Vec<u8>) = (0, Vec::new());
        loop {
            let left = usize::try_from(header.strings.1 - at).unwrap_or(CHUNK);
            let Some(bytes) = reader.take(left.min(CHUNK))?.filter(|b| !b.is_empty()) else {
                break;
            };
            let kept = piece.len();
            piece.extend_from_slice(bytes);
            names.note(&piece, kept, at - kept as u64);
            at += bytes.len() as u64;
            piece.drain(..piece.len().saturating_sub(OVERLAP));
        }
        if names.task_struct.is_empty() {
            bail!("the string task_struct is not there");
        }
        Ok(names)
    }

    /// Takes down where the wanted names are in `piece`, which starts at `offset`; those that end within its
    /// first `known` bytes are known already.
    fn note(&mut self, piece: &[u8], known: usize, offset: u64) {
        for (name, starts) in [
            (&b"task_struct\0"[..], &mut self.task_struct),
            (b"flags\0", &mut self.flags),
            (b"comm\0", &mut self.comm),
        ] {
            for at in memmem::find_iter(piece, name).filter(|at| at + name.len() > known) {
                starts.extend(u32::try_from(offset + at as u64));
            }
        }
    }
}

/// Byte offsets found so far.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    flags: Option<u32>,
    comm: Option<u32>,
}

/// Which structs of the type section to look into.
enum Wanted {
    /// The struct named `task_struct`.
    Named,
    /// These type ids, each with the byte offset of its member in `task_struct`.
    Ids(Vec<(u32, u32)>),
}

impl Wanted {
    /// The byte offset of this type in `task_struct`, where it is wanted.
    fn base(&self, id: u32, name: u32, is_struct: bool, names: &Names) -> Option<u32> {
        match self {
            Wanted::Named => {
                (is_struct && names.task_struct.binary_search(&name).is_ok()).then_some(0)
            }
            Wanted::Ids(ids) => ids
                .iter()
                .find(|(wanted, _)| *wanted == id)
                .map(|(_, base)| *base),
        }
    }
}

/// Goes through all types once, notes the offsets found, and returns the anonymous members of the
/// structs looked into.
fn scan(
    source: &dyn Source,
    header: &Header,
    names: &Names,
    wanted: &Wanted,
    found: &mut Found,
) -> Result<Vec<(u32, u32)>> {
    const KIND_STRUCT: u32 = 4;
    const KIND_UNION: u32 = 5;
    let mut reader = Reader::new(source, header.types);
    let mut anonymous = Vec::new();
    let mut left = match wanted {
        Wanted::Named => 1,
        Wanted::Ids(ids) => ids.len(),
    };
    // Type 0 is void and has no record.
    let mut id = 0u32;
    while left > 0 {
        let Some(record) = reader.take(12)? else {
            break;
        };
        id = id.checked_add(1).context("too many types")?;
        let (name, info) = (word(record, 0), word(record, 4));
        let (kind, vlen, kind_flag) = (info >> 24 & 0x7f, info & 0xff_ffff, info >> 31 == 1);
        let is_struct = kind == KIND_STRUCT;
        let base = (is_struct || kind == KIND_UNION)
            .then(|| wanted.base(id, name, is_struct, names))
            .flatten()
            .filter(|_| vlen > 0);
        let Some(base) = base else {
            let extra = extra_len(kind, vlen as usize)
                .with_context(|| format!("type {id} is of the unknown kind {kind}"))?;
            if !reader.skip(extra)? {
                break;
            }
            continue;
        };
        left -= 1;
        for _ in 0..vlen {
            let Some(member) = reader.take(12)? else {
                bail!("type {id} is cut short");
            };
            let (name, type_, offset) = (word(member, 0), word(member, 4), word(member, 8));
            // With the flag, the upper byte is the size of a bit field.
            let bits = if kind_flag {
                offset & 0xff_ffff
            } else {
                offset
            };
            let Some(at) = base.checked_add(bits / 8) else {
                bail!("type {id} has a member past 4 GiB");
            };
            if name == 0 {
                ensure!(
                    anonymous.len() < MAX_ANONYMOUS,
                    "too many anonymous members"
                );
                anonymous.push((type_, at));
            } else if found.flags.is_none() && names.flags.binary_search(&name).is_ok() {
                found.flags = Some(at);
            } else if found.comm.is_none() && names.comm.binary_search(&name).is_ok() {
                found.comm = Some(at);
            }
        }
    }
    if left > 0 && matches!(wanted, Wanted::Named) {
        bail!("no struct task_struct");
    }
    Ok(anonymous)
}

/// Bytes behind the first 12 of a type record; `None` for a kind not known.
fn extra_len(kind: u32, vlen: usize) -> Option<usize> {
    Some(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Enumeration, function prototype.
        6 | 13 => 8 * vlen,
        // Array.
        3 => 12,
        // Struct, union, data section, 64-bit enumeration.
        4 | 5 | 15 | 19 => 12 * vlen,
        _ => return None,
    })
}

/// The 32-bit word at `at`; the caller has checked the length.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests;
