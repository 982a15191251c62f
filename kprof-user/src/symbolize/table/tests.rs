use super::*;
use crate::symbolize::kallsyms::for_each_line;

fn table(text: &str, dense: bool, end: impl Fn(Symbol<'_>) -> Option<u64>) -> Table {
    let mut builder = Builder::new(dense);
    for_each_line(text.as_bytes(), |line| builder.add(line)).unwrap();
    builder.finish(end)
}

fn name(table: &Table, address: u64) -> Option<String> {
    table
        .find(address)
        .map(|symbol| String::from_utf8_lossy(symbol.name).into_owned())
}

#[test]
fn a_symbol_ends_where_the_next_one_or_its_section_does() {
    let text = "1000 T _text\n1000 T first\n1100 t second\n1200 T _etext\n\
                1300 D data\n1400 d more\n1500 t init\n1600 T _einittext\n";
    for dense in [true, false] {
        let table = table(text, dense, |_| None);
        assert_eq!(name(&table, 0xfff), None);
        assert_eq!(name(&table, 0x1000).as_deref(), Some("first"));
        assert_eq!(name(&table, 0x10ff).as_deref(), Some("first"));
        assert_eq!(name(&table, 0x11ff).as_deref(), Some("second"));
        for gap in [0x1200, 0x12ff, 0x1300, 0x14ff, 0x1600, u64::MAX] {
            assert_eq!(name(&table, gap), None, "{gap:#x}");
        }
        assert_eq!(name(&table, 0x15ff).as_deref(), Some("init"));
        assert_eq!(table.len(), 3);
    }
}

#[test]
fn the_last_symbol_reaches_one_page_at_most() {
    let table = table("1000 T only\n", true, |_| None);
    assert_eq!(name(&table, 0x1fff).as_deref(), Some("only"));
    assert_eq!(name(&table, 0x2000), None);
}

#[test]
fn modules_and_programs_end_where_they_say() {
    let text =
        "9000 t f\t[mod]\n8000 t bpf_prog_1\t[bpf]\n9800 t g\t[mod]\n8800 t unsized\t[bpf]\n";
    let table = table(text, false, |symbol| match symbol.module {
        "mod" => Some(0x9900),
        _ if symbol.name == b"bpf_prog_1" => Some(0x8080),
        _ => None,
    });
    assert_eq!(table.find(0x9100).map(|symbol| symbol.module), Some("mod"));
    assert_eq!(name(&table, 0x807f).as_deref(), Some("bpf_prog_1"));
    assert_eq!(name(&table, 0x8080), None);
    assert_eq!(name(&table, 0x8fff).as_deref(), Some("unsized"));
    assert_eq!(name(&table, 0x98ff).as_deref(), Some("g"));
    assert_eq!(name(&table, 0x9900), None);
}

#[test]
fn a_functions_name_is_preferred_to_a_sections_and_a_global_one_to_a_local_one() {
    let text = "1000 T __softirqentry_text_start\n1000 T __do_softirq\n1000 t do_softirq_local\n\
                2000 t __do_sys_fork\n2000 T __ia32_sys_fork\n2000 T __x64_sys_fork\n\
                3000 T __memcpy\n3000 W memcpy\n4000 T _etext\n";
    for dense in [true, false] {
        let table = table(text, dense, |_| None);
        assert_eq!(name(&table, 0x1001).as_deref(), Some("__do_softirq"));
        assert_eq!(name(&table, 0x2001).as_deref(), Some("__x64_sys_fork"));
        assert_eq!(name(&table, 0x3001).as_deref(), Some("memcpy"));
    }
}

#[test]
fn code_out_of_order_has_no_name_where_its_end_may_have_been_dropped() {
    let text = "1000 D data\n3000 d dropped\n2000 t late\n2800 t later\n3000 T there\n";
    let found = |dense| {
        let table = table(text, dense, |_| None);
        [0x2000, 0x2fff, 0x3000].map(|address| name(&table, address))
    };
    let there = Some("there".to_owned());
    assert_eq!(found(true), [None, None, there.clone()]);
    assert_eq!(
        found(false),
        [Some("late".into()), Some("later".into()), there]
    );

    let table = table("9 T code\n5 d data\ne d end\n", true, |_| None);
    assert_eq!(name(&table, 0xd).as_deref(), Some("code"));
    assert_eq!(name(&table, 0xe), None);
}

#[test]
fn names_share_their_tails() {
    let table = table(
        "1000 t __pfx_vfs_read\n1010 T vfs_read\n2000 T ead\n",
        true,
        |_| None,
    );
    assert_eq!(name(&table, 0x1000).as_deref(), Some("__pfx_vfs_read"));
    assert_eq!(name(&table, 0x1010).as_deref(), Some("vfs_read"));
    assert_eq!(name(&table, 0x2000).as_deref(), Some("ead"));
    assert_eq!(table.names.len(), "__pfx_vfs_read\0".len());
}

/// xorshift64, so that the inputs below are the same every time.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn finds_what_a_plain_scan_finds() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for round in 0..100 {
        let mut symbols: Vec<(u64, bool, u64)> = (0..random(&mut state) % 60)
            .map(|id| {
                (
                    random(&mut state) % 512 + 1,
                    !random(&mut state).is_multiple_of(4),
                    id,
                )
            })
            .collect();
        let sorted = round % 2 == 0;
        if sorted {
            symbols.sort();
        }
        let mut text = String::new();
        for (address, code, id) in &symbols {
            let kind = if *code { 't' } else { 'd' };
            text += &format!("{address:x} {kind} name{id:02}\n");
        }
        let table = table(&text, sorted, |_| None);
        for address in (0..530).chain(4096..4626) {
            // The greatest address at or below; of its code names the first of the file.
            let start = symbols
                .iter()
                .map(|s| s.0)
                .filter(|&start| start <= address)
                .max();
            let expected = start.and_then(|start| {
                let last = symbols.iter().all(|s| s.0 <= start);
                let found = symbols.iter().find(|s| s.0 == start && s.1)?;
                (!last || address - start < UNKNOWN_SIZE).then(|| format!("name{:02}", found.2))
            });
            assert_eq!(name(&table, address), expected, "{address:#x} in\n{text}");
        }
    }
}
