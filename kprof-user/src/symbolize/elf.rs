//! The little that has to be known about a vmlinux before it is used.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

/// Sections and two symbols of a 64-bit ELF file in the machine's byte order.
#[derive(Debug, Default)]
pub(super) struct Elf {
    /// It has DWARF line information.
    pub(super) has_lines: bool,
    /// Link-time address of `_text`.
    pub(super) text: Option<u64>,
    /// Link-time address of `start_kernel`.
    pub(super) start_kernel: Option<u64>,
    /// What the linker marked this build with.
    pub(super) build_id: Option<Vec<u8>>,
}

const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;

/// Type of a section of notes.
const SHT_NOTE: u32 = 7;

/// Larger tables than a kernel has are refused, not read.
const MAX_TABLE: u64 = 256 << 20;

/// So are more notes, which together are some KiB.
const MAX_NOTES: u64 = 1 << 20;

struct Section {
    name: u64,
    kind: u32,
    offset: u64,
    size: u64,
    link: usize,
}

impl Elf {
    /// Reads the headers, the symbol table and its names, not the rest.
    pub(super) fn read(path: &Path) -> Result<Elf> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        Self::parse(&file).with_context(|| format!("reading {} as an ELF file", path.display()))
    }

    pub(super) fn parse(file: &File) -> Result<Elf> {
        let header = bytes(file, 0, 64)?;
        ensure!(header.starts_with(b"\x7fELF\x02"), "not a 64-bit ELF file");
        let count = usize::from(u16_at(&header, 60)?);
        let names = usize::from(u16_at(&header, 62)?);
        ensure!(
            usize::from(u16_at(&header, 58)?) == SECTION_HEADER,
            "odd section headers"
        );
        let table = bytes(file, u64_at(&header, 40)?, (count * SECTION_HEADER) as u64)?;
        let sections: Vec<Section> = table
            .chunks_exact(SECTION_HEADER)
            .map(|section| {
                Ok(Section {
                    name: u32_at(section, 0)?.into(),
                    kind: u32_at(section, 4)?,
                    offset: u64_at(section, 24)?,
                    size: u64_at(section, 32)?,
                    link: u32_at(section, 40)? as usize,
                })
            })
            .collect::<Result<_>>()?;
        let names = contents(file, sections.get(names))?;
        let named = |name: &[u8]| {
            sections
                .iter()
                .find(|section| has_string(&names, section.name, name))
        };
        let mut elf = Elf {
            has_lines: named(b".debug_line\0").is_some_and(|s| s.size > 0),
            text: None,
            start_kernel: None,
            build_id: None,
        };
        let mut left = MAX_NOTES;
        for notes in sections.iter().filter(|section| section.kind == SHT_NOTE) {
            left = left
                .checked_sub(notes.size)
                .context("more notes than a kernel has")?;
            elf.build_id = build_id(&contents(file, Some(notes))?);
            if elf.build_id.is_some() {
                break;
            }
        }
        if let Some(symbols) = named(b".symtab\0") {
            let strings = contents(file, sections.get(symbols.link))?;
            for symbol in contents(file, Some(symbols))?.chunks_exact(SYMBOL) {
                let name = u32_at(symbol, 0)?.into();
                let place = if has_string(&strings, name, b"_text\0") {
                    &mut elf.text
                } else if has_string(&strings, name, b"start_kernel\0") {
                    &mut elf.start_kernel
                } else {
                    continue;
                };
                *place = Some(u64_at(symbol, 8)?);
            }
        }
        Ok(elf)
    }
}

/// The build id among notes: type 3 of the owner GNU. Kernels that run under Xen have a note of that
/// type whose owner is Xen before it.
pub(super) fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    let word = |notes: &[u8], at: usize| -> Option<usize> {
        Some(u32::from_ne_bytes(notes.get(at..at + 4)?.try_into().ok()?) as usize)
    };
    loop {
        let (name_size, size, kind) = (word(notes, 0)?, word(notes, 4)?, word(notes, 8)?);
        let start = 12usize.checked_add(name_size.checked_next_multiple_of(4)?)?;
        let content = notes.get(start..start.checked_add(size)?)?;
        if kind == 3 && notes.get(12..12 + name_size)? == b"GNU\0" {
            return Some(content.to_vec());
        }
        notes = notes.get(start.checked_add(size.checked_next_multiple_of(4)?)?..)?;
    }
}

fn contents(file: &File, section: Option<&Section>) -> Result<Vec<u8>> {
    let section = section.context("a section is missing")?;
    bytes(file, section.offset, section.size)
}

fn bytes(file: &File, offset: u64, size: u64) -> Result<Vec<u8>> {
    if size > MAX_TABLE {
        bail!("a table of {size} bytes is too large for a kernel");
    }
    // Before room is made for it.
    let end = offset.checked_add(size).context("the file is cut off")?;
    let len = file.metadata().context("asking for its size")?.len();
    ensure!(end <= len, "the file is cut off");
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset)
        .context("the file is cut off")?;
    Ok(bytes)
}

/// Whether a string with its NUL is at an offset of a string table. Looks at no more of it: strings may be long and
/// without end.
fn has_string(strings: &[u8], offset: u64, string: &[u8]) -> bool {
    usize::try_from(offset)
        .ok()
        .and_then(|offset| strings.get(offset..))
        .is_some_and(|rest| rest.starts_with(string))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let slice = bytes.get(at..at + N).context("a header is cut off")?;
    Ok(slice.try_into()?)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array(bytes, at).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_has_lines_and_no_kernel_text() {
        let elf = Elf::read(Path::new("/proc/self/exe")).unwrap();
        assert!(elf.has_lines, "tests are built with debug information");
        assert_eq!((elf.text, elf.start_kernel), (None, None));
    }

    #[test]
    fn other_files_and_cut_off_ones_are_refused() {
        let refused = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            format!("{:#}", Elf::read(file.path()).unwrap_err())
        };
        assert!(refused(b"").contains("cut off"));
        assert!(refused(&[b'x'; 100]).contains("not a 64-bit ELF"));
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(refused(&own[..4096]).contains("cut off"));
        let mut huge = own[..64].to_vec();
        huge[40..48].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert!(refused(&huge).contains("cut off"));
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let mut notes = Vec::new();
        for (kind, name, content) in [
            (0x100u32, &b"Linux\0"[..], &b"x"[..]),
            (3, b"Xen\0", b"\0\0\0\x80\xff\xff\xff\xff"),
            (3, b"GNU\0", b"\x01\x02\x03"),
        ] {
            for word in [name.len() as u32, content.len() as u32, kind] {
                notes.extend(word.to_ne_bytes());
            }
            for part in [name, content] {
                notes.extend(part);
                notes.resize(notes.len().next_multiple_of(4), 0);
            }
        }
        assert_eq!(build_id(&notes), Some(vec![1, 2, 3]));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), elf_with_notes(&notes)).unwrap();
        let elf = Elf::read(file.path()).unwrap();
        assert_eq!(elf.build_id, Some(vec![1, 2, 3]));
        for end in 0..notes.len() - 4 {
            assert_eq!(build_id(&notes[..end]), None);
        }
        // More than a kernel has are not looked through.
        notes.resize(MAX_NOTES as usize + 1, 0);
        std::fs::write(file.path(), elf_with_notes(&notes)).unwrap();
        let error = format!("{:#}", Elf::read(file.path()).unwrap_err());
        assert!(error.contains("more notes"), "{error}");
        let endless = [0xff; 64];
        assert_eq!(build_id(&endless), None);
    }

    /// An ELF file of two section headers: the empty first one and one of notes, which follow.
    fn elf_with_notes(notes: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64 + 2 * SECTION_HEADER];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02");
        put(40, &64u64.to_ne_bytes());
        put(58, &(SECTION_HEADER as u16).to_ne_bytes());
        put(60, &2u16.to_ne_bytes());
        let section = 64 + SECTION_HEADER;
        put(section + 4, &SHT_NOTE.to_ne_bytes());
        put(section + 24, &192u64.to_ne_bytes());
        put(section + 32, &(notes.len() as u64).to_ne_bytes());
        file.extend(notes);
        file
    }
}
