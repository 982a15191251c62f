//! The format of `/proc/kallsyms`: `ffffffff81000000 T _stext`, with a tab and `[module]` behind the
//! names of modules, BPF programs and trampolines (kernel/kallsyms.c, `s_show`).

use std::io::{self, Read};

use memchr::memchr;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// 0 where the kernel hides it.
    pub(super) address: u64,
    /// As `nm` prints it: `T` and `t` are code, `D` is data.
    pub(super) kind: u8,
    /// Never empty.
    pub(super) name: &'a [u8],
    /// What is between the brackets.
    pub(super) module: Option<&'a [u8]>,
}

impl<'a> Line<'a> {
    /// Takes a line apart; `None` for anything that the kernel would not print.
    pub(super) fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let digits = memchr(b' ', line.get(..17).unwrap_or(line))?;
        if digits == 0 {
            return None;
        }
        let mut address = 0u64;
        for &byte in &line[..digits] {
            address = address << 4 | u64::from(hex_digit(byte)?);
        }
        let &[kind, b' ', ref rest @ ..] = &line[digits + 1..] else {
            return None;
        };
        let tab = memchr(b'\t', rest);
        let name = &rest[..tab.unwrap_or(rest.len())];
        let module = match tab {
            None => None,
            Some(tab) => {
                let module = rest[tab + 1..].trim_ascii();
                Some(module.strip_prefix(b"[")?.strip_suffix(b"]")?)
            }
        };
        // The NUL ends a name in the table.
        let garbage = name.is_empty() || !kind.is_ascii_alphabetic() || memchr(0, name).is_some();
        (!garbage).then_some(Line {
            address,
            kind,
            name,
            module,
        })
    }

    /// Whether this names code. Weak functions are `W` or `w`.
    pub(super) fn is_code(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Longest line that is looked at; the kernel's names end at 512 bytes (`KSYM_NAME_LEN`).
const BUFFER: usize = 16 * 1024;

/// Calls `each` for every well-formed line. Others are skipped, however long.
pub(super) fn for_each_line(
    mut reader: impl Read,
    mut each: impl FnMut(Line<'_>),
) -> io::Result<()> {
    let mut buffer = vec![0u8; BUFFER];
    let mut filled = 0;
    let mut skipping = false;
    loop {
        let n = match reader.read(&mut buffer[filled..]) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = filled + n;
        let mut start = 0;
        // Only the new bytes can hold a line's end.
        let mut from = filled;
        while let Some(length) = memchr(b'\n', &buffer[from..end]) {
            let newline = from + length;
            if !std::mem::take(&mut skipping)
                && let Some(line) = Line::parse(&buffer[start..newline])
            {
                each(line);
            }
            start = newline + 1;
            from = start;
        }
        if n == 0 {
            if !skipping && let Some(line) = Line::parse(&buffer[start..end]) {
                each(line);
            }
            return Ok(());
        }
        buffer.copy_within(start..end, 0);
        filled = end - start;
        if filled == buffer.len() {
            skipping = true;
            filled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: impl Read) -> Vec<(u64, String, Option<String>)> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for_each_line(input, |line| {
            all.push((line.address, text(line.name), line.module.map(text)))
        })
        .unwrap();
        all
    }

    #[test]
    fn parses_functions_modules_and_bpf_programs() {
        let line = Line::parse(b"ffffffff81000010 T __entry_text_start").unwrap();
        assert_eq!(line.address, 0xffff_ffff_8100_0010);
        assert_eq!(
            (line.kind, line.name, line.module),
            (b'T', &b"__entry_text_start"[..], None)
        );
        assert!(line.is_code());
        let line = Line::parse(b"ffffffffc0201000 t nf_hook\t[nf_conntrack]").unwrap();
        assert_eq!(line.module, Some(&b"nf_conntrack"[..]));
        assert!(
            !Line::parse(b"ffffffff83783000 B __init_begin")
                .unwrap()
                .is_code()
        );
    }

    #[test]
    fn garbage_is_skipped() {
        let garbage: [&[u8]; 10] = [
            b"",
            b" ",
            b"ffffffff81000000",
            b"ffffffff81000000 T",
            b"ffffffff81000000 T ",
            b"fffffffff81000000 T too_long",
            b"xyz T name",
            b"1 T name\t[unclosed",
            b"1 T name\t",
            b"1 T na\0me",
        ];
        for line in garbage {
            assert_eq!(Line::parse(line), None, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn lines_are_found_across_reads_of_any_size() {
        struct Trickle<'a>(&'a [u8], usize);
        impl Read for Trickle<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let n = self.1.min(buffer.len()).min(self.0.len());
                buffer[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let text = b"1000 T one\n\xff\xfe junk\n2000 t two\t[mod]\n3000 W last";
        let expected = lines(&text[..]);
        assert_eq!(expected.len(), 3);
        assert_eq!(expected[1], (0x2000, "two".into(), Some("mod".into())));
        for size in 1..text.len() {
            assert_eq!(
                lines(Trickle(text, size)),
                expected,
                "reads of {size} bytes"
            );
        }
    }

    #[test]
    fn an_endless_line_is_skipped_and_the_next_one_read() {
        let mut text = b"1000 T one\n2000 T ".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * BUFFER));
        text.extend(b"\n3000 T three\n");
        let found = lines(&text[..]);
        assert_eq!(
            found.iter().map(|line| line.0).collect::<Vec<_>>(),
            [0x1000, 0x3000]
        );
        assert!(lines(&[b'7'; 5 * BUFFER][..]).is_empty());
    }
}
