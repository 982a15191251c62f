//! The BPF object: its configuration, its maps, its programs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, anyhow};
use aya::maps::{MapData, MapError};
use aya_obj::EbpfSectionKind;
use aya_obj::btf::BtfFeatures;

use super::program;
use crate::capture::sys::{self, Plain, Table};
use crate::kernel::bpf_syscall;
use crate::kernel::refusal::{self, Action};

/// The programs, as `cargo xtask build-ebpf` built them; the build script has checked that they are
/// those of the sources.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("KPROF_BPF_OBJECT"));

/// What Linux 5.10, the oldest kernel kprof is for, knows of BTF: what newer ones added is left out, so that
/// nothing need be probed. All it does is to give names to what BPF tools list.
const BTF: BtfFeatures = BtfFeatures::new(true, true, true, false, false, false, false, false);

/// An object on its way into the kernel: parse, [`Object::set_global`], [`Object::set_value_size`], [`Object::create_maps`], then
/// [`Object::load_program`].
pub(super) struct Object {
    object: aya_obj::Object,
    btf: Option<OwnedFd>,
}

impl Object {
    /// Reads the object.
    pub(super) fn parse() -> Result<Object> {
        let mut object = aya_obj::Object::parse(OBJECT).context("cannot read the BPF object")?;
        let btf = object
            .fixup_and_sanitize_btf(&BTF)
            .context("cannot read the BPF object's types")?;
        // Works without, where the kernel has none of its own.
        let btf = btf.and_then(|btf| bpf_syscall::load_btf(&btf.to_bytes()).ok());
        Ok(Object { object, btf })
    }

    /// Sets a read-only global.
    pub(super) fn set_global<T: Plain>(&mut self, name: &str, value: &T) -> Result<()> {
        let bytes = sys::bytes_of(value);
        self.object
            .patch_map_data([(name, (bytes, true))].into_iter().collect())
            .with_context(|| format!("cannot set {name} in the BPF object"))
    }

    /// Sets the size of a map's values.
    pub(super) fn set_value_size(&mut self, map: &str, bytes: u32) -> Result<()> {
        let found = self.object.maps.get_mut(map);
        found
            .with_context(|| format!("the BPF object lacks the map {map}"))?
            .set_value_size(bytes);
        Ok(())
    }

    /// Creates all maps, with as many entries as `entries` says.
    pub(super) fn create_maps(&mut self, entries: impl Fn(&str) -> Option<u32>) -> Result<Maps> {
        let mut maps = HashMap::new();
        // In order, so that a refusal always names the same map.
        let objects: BTreeMap<_, _> = self.object.maps.drain().collect();
        for (name, mut map) in objects {
            if let Some(entries) = entries(&name) {
                map.set_max_entries(entries);
            }
            let btf = self.btf.as_ref().map(AsFd::as_fd);
            let made = MapData::create(map.clone(), &name, btf).map_err(explain)?;
            if map.section_kind() == EbpfSectionKind::Rodata {
                bpf_syscall::freeze_with(made.fd().as_fd(), map.data()).map_err(|error| {
                    let words = refusal::explain(&error, Action::CreateMap);
                    anyhow!(words).context(format!("cannot fill the BPF map {name}"))
                })?;
            }
            maps.insert(name, (made, map));
        }
        let code: HashSet<usize> = self.object.functions.keys().map(|key| key.0).collect();
        self.object
            .relocate_maps(
                maps.iter()
                    .map(|(name, (made, map))| (name.as_str(), made.fd().as_fd().as_raw_fd(), map)),
                &code,
            )
            .and_then(|()| self.object.relocate_calls(&code))
            .context("cannot link the BPF object to its maps")?;
        Ok(Maps(maps))
    }

    /// Loads one of the programs.
    pub(super) fn load_program(&self, name: &str) -> Result<OwnedFd> {
        let program = self
            .object
            .programs
            .get(name)
            .with_context(|| format!("the BPF object lacks {name}"))?;
        let function = &self.object.functions[&program.function_key()];
        program::load(name, program, function, self.btf.as_ref())
    }
}

/// The maps of an object, by name.
pub(super) struct Maps(HashMap<String, (MapData, aya_obj::Map)>);

impl Maps {
    /// A map as a table of our own.
    pub(super) fn table<K: Plain, V: Plain>(&self, name: &str) -> Result<Table<K, V>> {
        let (made, map) = self.0.get(name).with_context(|| {
            format!("the BPF object has no map {name}: rebuild it with `cargo xtask build-ebpf`")
        })?;
        let fd: BorrowedFd<'_> = made.fd().as_fd();
        let fd = fd.try_clone_to_owned();
        fd.and_then(|fd| Table::new(fd, map.key_size(), map.value_size()))
            .with_context(|| format!("cannot use the map {name}"))
    }
}

fn explain(error: MapError) -> anyhow::Error {
    match error {
        MapError::CreateError { name, io_error, .. } => {
            let words = refusal::explain(&io_error, Action::CreateMap);
            anyhow!(words).context(format!("cannot create the BPF map {name}"))
        }
        error => anyhow::Error::new(error).context("cannot create a BPF map"),
    }
}
