//! BTF: offsets of `task_struct` members.

use std::cell::Cell;

use kprof::kernel::fuzz::task_offsets;

use super::MIB;
use crate::Target;

pub(super) const BTF: Target = Target {
    name: "btf",
    check,
    memory: (MIB, 20),
};

fn check(data: &[u8]) {
    let read = Cell::new(0);
    let by = |piece: usize| {
        task_offsets(&|buf, offset| {
            let rest = usize::try_from(offset)
                .ok()
                .and_then(|offset| data.get(offset..))
                .unwrap_or_default();
            let n = rest.len().min(buf.len()).min(piece);
            buf[..n].copy_from_slice(&rest[..n]);
            read.set(read.get() + n);
            Ok(n)
        })
    };
    let found = by(usize::MAX);
    // Strings once, types once a level of nested structs, and the header.
    assert!(
        read.get() <= 6 * data.len(),
        "read {} of {}",
        read.get(),
        data.len()
    );
    let pieces = by(1_000 + data.len() % 3_000);
    match (&found, &pieces) {
        (Ok(a), Ok(b)) => assert_eq!(a, b, "by pieces"),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string(), "by pieces"),
        (a, b) => panic!("{a:?}, by pieces {b:?}"),
    }
    if let Ok(offsets) = found {
        let btf = Btf::new(data).expect("offsets were found in it");
        for (name, offset) in [(&b"flags"[..], offsets.flags), (b"comm", offsets.comm)] {
            let there = btf.types.iter().any(|t| {
                t.kind == 4 && btf.name(t.name) == b"task_struct" && btf.has(t, name, offset, 0)
            });
            assert!(
                there,
                "no member {:?} at {offset}",
                String::from_utf8_lossy(name)
            );
        }
    }
}

/// All of it, as far as it can be read.
struct Btf<'a> {
    strings: &'a [u8],
    types: Vec<Type>,
}

struct Type {
    name: u32,
    kind: u32,
    /// Name, type, byte offset.
    members: Vec<(u32, u32, u64)>,
}

impl<'a> Btf<'a> {
    fn new(data: &'a [u8]) -> Option<Btf<'a>> {
        let word = |at: usize| -> Option<u32> {
            Some(u32::from_ne_bytes(
                data.get(at..at.checked_add(4)?)?.try_into().ok()?,
            ))
        };
        let section = |at: usize| -> Option<(usize, usize)> {
            let start = (word(4)? as usize).checked_add(word(at)? as usize)?;
            Some((start, start.checked_add(word(at + 4)? as usize)?))
        };
        let ((mut at, end), (strings, strings_end)) = (section(8)?, section(16)?);
        let mut types = Vec::new();
        while at + 12 <= end {
            let (Some(name), Some(info)) = (word(at), word(at + 4)) else {
                break;
            };
            let (kind, len, flag) = (
                info >> 24 & 0x7f,
                (info & 0xff_ffff) as usize,
                info >> 31 == 1,
            );
            at += 12;
            let mut members = Vec::new();
            let each = match kind {
                4 | 5 | 15 | 19 => 12,
                6 | 13 => 8,
                _ => 0,
            };
            if matches!(kind, 4 | 5) {
                for member in 0..len {
                    let at = at + member * 12;
                    let (Some(name), Some(type_), Some(offset)) =
                        (word(at), word(at + 4), word(at + 8))
                    else {
                        break;
                    };
                    let bits = if flag { offset & 0xff_ffff } else { offset };
                    members.push((name, type_, u64::from(bits / 8)));
                }
            }
            at += each * len
                + match kind {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    _ => 0,
                };
            types.push(Type {
                name,
                kind,
                members,
            });
        }
        let strings = data
            .get(strings..strings_end.min(data.len()))
            .unwrap_or_default();
        Some(Btf { strings, types })
    }

    fn name(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// Whether a struct has this member, itself or in an anonymous member.
    fn has(&self, of: &Type, name: &[u8], offset: u32, depth: u32) -> bool {
        of.members.iter().any(|&(member, type_, at)| {
            let Some(rest) = u64::from(offset).checked_sub(at) else {
                return false;
            };
            if member != 0 {
                return rest == 0 && self.name(member) == name;
            }
            let inner = (type_ as usize)
                .checked_sub(1)
                .and_then(|id| self.types.get(id));
            depth < 4
                && inner.is_some_and(|inner| {
                    let rest = u32::try_from(rest).expect("at most the offset");
                    matches!(inner.kind, 4 | 5) && self.has(inner, name, rest, depth + 1)
                })
        })
    }
}
