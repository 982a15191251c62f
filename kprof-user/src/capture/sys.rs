//! `bpf(2)` on maps, by file descriptor: aya has no batch operations (Linux 5.6) and wants a type per map.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};

use kprof_ebpf::{CommTable, Config, CountSlot, CpuState, Key, MAX_FRAMES, SpillStack};

use crate::kernel::bpf_syscall::{
    BatchAttr, ElementAttr, MAP_CREATE, MAP_LOOKUP_AND_DELETE_BATCH, MAP_UPDATE_ELEM, bpf,
    descriptor,
};

/// Commands of `include/uapi/linux/bpf.h`.
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_DELETE_ELEM: libc::c_int = 3;

/// Types that are valid whatever their bytes are, and hold no padding.
///
/// # Safety
/// Implementors must be `repr(C)` or primitive, of integers only, without padding.
pub(super) unsafe trait Plain: Copy {
    /// Values of the map may be shorter: only the beginning of this type is used then.
    const MAY_BE_SHORTER: bool = false;
}

/// The bytes of a value.
pub(super) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: a `Plain` value is integers without padding, so that each of its bytes is initialized.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

// SAFETY: an integer.
unsafe impl Plain for u32 {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}
// SAFETY: an array of integers.
unsafe impl Plain for [u64; MAX_FRAMES] {
    /// The kernel may keep fewer frames; see `kernel::stack_depth`.
    const MAY_BE_SHORTER: bool = true;
}
// SAFETY: `repr(C)`, fixed-width integers, sizes asserted in kprof-ebpf.
unsafe impl Plain for Key {}
// SAFETY: as above.
unsafe impl Plain for SpillStack {}
// SAFETY: as above.
unsafe impl Plain for CpuState {}
// SAFETY: as above.
unsafe impl Plain for CountSlot {}
// SAFETY: as above.
unsafe impl Plain for CommTable {}
// SAFETY: as above.
unsafe impl Plain for Config {}

#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
}

/// Creates a map that the object file does not hold; see `grace`.
pub(super) fn create(
    map_type: u32,
    value_size: u32,
    inner: Option<&OwnedFd>,
) -> io::Result<OwnedFd> {
    let mut attr = CreateAttr {
        map_type,
        key_size: 4,
        value_size,
        max_entries: 1,
        inner_map_fd: inner.map_or(0, |fd| fd.as_raw_fd() as u32),
        ..CreateAttr::default()
    };
    bpf(MAP_CREATE, &mut attr).and_then(descriptor)
}

/// A map with keys `K` and values `V`.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    fd: OwnedFd,
    /// Bytes of a value, at most those of `V`.
    value_size: u32,
    types: PhantomData<(K, V)>,
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// The sizes must be those with which the map was made, or the kernel would write past a value.
    pub(super) fn new(fd: OwnedFd, key_size: u32, value_size: u32) -> io::Result<Self> {
        let value_fits = match V::MAY_BE_SHORTER {
            true => value_size > 0 && value_size as usize <= size_of::<V>(),
            false => value_size as usize == size_of::<V>(),
        };
        if key_size as usize != size_of::<K>() || !value_fits {
            return Err(io::Error::other(
                "a map of the BPF object has another layout than kprof",
            ));
        }
        Ok(Table {
            fd,
            value_size,
            types: PhantomData,
        })
    }

    fn element(&self, key: &K, value: u64) -> ElementAttr {
        ElementAttr {
            map_fd: self.fd.as_raw_fd() as u32,
            padding: 0,
            key: std::ptr::from_ref(key) as u64,
            value,
            flags: 0,
        }
    }

    /// Bytes of a value.
    pub(super) fn value_size(&self) -> u32 {
        self.value_size
    }

    /// Copies one value out; `false` where the key is not there. Where values are shorter than `V`, the rest
    /// of it stays as it is.
    pub(super) fn get_into(&self, key: &K, value: &mut V) -> io::Result<bool> {
        let mut attr = self.element(key, std::ptr::from_mut(value) as u64);
        found(bpf(MAP_LOOKUP_ELEM, &mut attr))
    }

    /// Sets one value.
    pub(super) fn set(&self, key: &K, value: &V) -> io::Result<()> {
        let mut attr = self.element(key, std::ptr::from_ref(value) as u64);
        bpf(MAP_UPDATE_ELEM, &mut attr).map(drop)
    }

    /// Deletes one key; `false` where it was not there.
    pub(super) fn remove(&self, key: &K) -> io::Result<bool> {
        let mut attr = self.element(key, 0);
        found(bpf(MAP_DELETE_ELEM, &mut attr))
    }

    /// The map itself.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Takes everything out of a hash map, and hands it to `each`. `room` is how many entries one
    /// call may bring at first.
    pub(super) fn take_all(
        &self,
        room: usize,
        zero: (K, V),
        mut each: impl FnMut(&K, &V),
    ) -> io::Result<()> {
        if self.value_size as usize != size_of::<V>() {
            return Err(io::Error::other(
                "values of a map are shorter than those of a batch",
            ));
        }
        let (mut keys, mut values) = (vec![zero.0; room.max(1)], vec![zero.1; room.max(1)]);
        let mut position = 0u64;
        let mut next = 0u64;
        let mut started = false;
        loop {
            let mut attr = BatchAttr {
                in_batch: if started {
                    std::ptr::from_ref(&position) as u64
                } else {
                    0
                },
                out_batch: std::ptr::from_mut(&mut next) as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: keys.len() as u32,
                map_fd: self.fd.as_raw_fd() as u32,
                elem_flags: 0,
                flags: 0,
            };
            let end = match bpf(MAP_LOOKUP_AND_DELETE_BATCH, &mut attr) {
                Ok(_) => false,
                // The last batch.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // One bucket of the hash holds more entries than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    let room = keys.len() * 2;
                    keys.resize(room, zero.0);
                    values.resize(room, zero.1);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (key, value) in keys.iter().zip(&values).take(attr.count as usize) {
                each(key, value);
            }
            if end {
                return Ok(());
            }
            position = next;
            started = true;
        }
    }
}

/// Separates "not there" from errors.
fn found(answer: io::Result<i64>) -> io::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `BPF_MAP_TYPE_HASH`: its values can be set from here, those of a stack-trace map can't.
    const HASH: u32 = 1;

    fn make<V: Plain>(value_size: u32) -> Option<io::Result<Table<u32, V>>> {
        let fd = create(HASH, value_size, None).ok()?;
        Some(Table::new(fd, 4, value_size))
    }

    #[test]
    fn a_short_value_fills_the_beginning_and_touches_nothing_else() {
        let Some(table) = make::<[u64; MAX_FRAMES]>(50 * 8) else {
            crate::skip::skip!("a BPF map can't be made here (needs CAP_BPF)");
        };
        let table = table.unwrap();
        assert_eq!(table.value_size(), 400);
        table.set(&0, &[7; MAX_FRAMES]).unwrap();
        let mut frames = [0; MAX_FRAMES];
        assert!(table.get_into(&0, &mut frames).unwrap());
        assert_eq!(frames[..50], [7; 50]);
        assert_eq!(frames[50..], [0; MAX_FRAMES - 50]);
        let batch = table.take_all(1, (0, [0; MAX_FRAMES]), |_, _| {});
        assert!(batch.is_err(), "batches lay values side by side");
    }

    #[test]
    fn values_of_another_size_are_refused() {
        let Some(table) = make::<[u64; MAX_FRAMES]>(128 * 8) else {
            crate::skip::skip!("a BPF map can't be made here (needs CAP_BPF)");
        };
        assert!(table.is_err());
        assert!(make::<u64>(4).unwrap().is_err());
        assert!(make::<u64>(8).unwrap().is_ok());
    }
}
