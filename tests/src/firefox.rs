//! Firefox Profiler files against the definition of their format.
//!
//! The types are in `fixtures/firefox-profile-55.schema.json`. What a JSON Schema can't say is checked here:
//! columns have their table's length, indices point into their tables, a stack's prefix comes before it.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

const SCHEMA: &str = include_str!("../fixtures/firefox-profile-55.schema.json");

/// What a file breaks, one line each; nothing if it is a profile of version 55.
///
/// Indices are looked at only in a file that passes the schema.
pub fn faults(profile: &Value) -> Vec<String> {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| {
        let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("the schema is one")
    });
    let mut faults: Vec<String> = validator
        .iter_errors(profile)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if faults.is_empty() {
        references(profile, &mut faults);
    }
    faults
}

/// Panics with all faults unless the file is a profile of version 55.
pub fn check(profile: &Value) {
    let faults = faults(profile);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether an item is an index below `limit`, or stands for none: the schema says where null and -1 may.
fn points_into(item: &Value, limit: usize) -> bool {
    item.is_null()
        || item.as_i64() == Some(-1)
        || item.as_u64().is_some_and(|index| index < limit as u64)
}

fn references(profile: &Value, faults: &mut Vec<String>) {
    let meta = &profile["meta"];
    let threads = items(&profile["threads"]);
    for key in ["initialVisibleThreads", "initialSelectedThreads"] {
        for index in items(&meta[key]) {
            if !points_into(index, threads.len()) {
                faults.push(format!("/meta/{key}: no thread {index}"));
            }
        }
    }
    lengths("/meta", meta, faults);
    let (libs, categories) = (items(&profile["libs"]).len(), items(&meta["categories"]));
    for (at, thread) in threads.iter().enumerate() {
        let at = format!("/threads/{at}");
        lengths(&at, thread, faults);
        let strings = items(&thread["stringArray"]).len();
        let rows = |table: &str| thread[table]["length"].as_u64().unwrap_or_default() as usize;
        for (table, column, limit) in [
            ("samples", "stack", rows("stackTable")),
            ("stackTable", "frame", rows("frameTable")),
            ("stackTable", "prefix", rows("stackTable")),
            ("frameTable", "category", categories.len()),
            ("frameTable", "func", rows("funcTable")),
            ("frameTable", "nativeSymbol", rows("nativeSymbols")),
            ("funcTable", "name", strings),
            ("funcTable", "resource", rows("resourceTable")),
            ("funcTable", "fileName", strings),
            ("resourceTable", "lib", libs),
            ("resourceTable", "name", strings),
            ("resourceTable", "host", strings),
            ("nativeSymbols", "libIndex", libs),
            ("nativeSymbols", "name", strings),
            ("markers", "name", strings),
            ("markers", "category", categories.len()),
        ] {
            for (row, item) in items(&thread[table][column]).iter().enumerate() {
                if !points_into(item, limit) {
                    faults.push(format!("{at}/{table}/{column}/{row}: {item} of {limit}"));
                }
            }
        }
        for (stack, prefix) in items(&thread["stackTable"]["prefix"]).iter().enumerate() {
            if prefix.as_u64().is_some_and(|prefix| prefix >= stack as u64) {
                faults.push(format!(
                    "{at}/stackTable/prefix/{stack}: {prefix} is not before it"
                ));
            }
        }
        let frames = &thread["frameTable"];
        let pairs = items(&frames["category"])
            .iter()
            .zip(items(&frames["subcategory"]));
        for (row, (category, subcategory)) in pairs.enumerate() {
            let Some(category) = category.as_u64() else {
                continue;
            };
            let known = categories
                .get(category as usize)
                .map_or(&[][..], |category| items(&category["subcategories"]));
            if subcategory.is_null() || !points_into(subcategory, known.len()) {
                faults.push(format!(
                    "{at}/frameTable/subcategory/{row}: {subcategory} of {}",
                    known.len()
                ));
            }
        }
    }
}

/// All columns of all tables among an object's members have their table's length.
fn lengths(at: &str, object: &Value, faults: &mut Vec<String>) {
    for (name, table) in object.as_object().into_iter().flatten() {
        let Some(length) = table["length"].as_u64() else {
            continue;
        };
        for (column, items) in table.as_object().into_iter().flatten() {
            if let Some(items) = items.as_array()
                && items.len() as u64 != length
            {
                let is = items.len();
                faults.push(format!("{at}/{name}/{column}: {is} rows, not {length}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A thread with one sample of `main`.
    fn small() -> Value {
        let none = json!([null]);
        json!({
            "meta": {
                "interval": 1.0, "startTime": 0, "processType": 0, "product": "test", "stackwalk": 1,
                "version": 24, "preprocessedProfileVersion": 55, "markerSchema": [],
                "categories": [{ "name": "Other", "color": "grey", "subcategories": ["Other"] }],
                "initialSelectedThreads": [0],
            },
            "libs": [],
            "threads": [{
                "processType": "default", "processStartupTime": 0, "processShutdownTime": null,
                "registerTime": 0, "unregisterTime": null, "pausedRanges": [], "name": "t",
                "isMainThread": true, "pid": "1", "tid": 1, "stringArray": ["main"],
                "samples": {
                    "length": 1, "stack": [0], "timeDeltas": [0], "weight": [3], "weightType": "samples",
                },
                "markers": {
                    "length": 0, "data": [], "name": [], "startTime": [], "endTime": [], "phase": [],
                    "category": [],
                },
                "stackTable": { "length": 1, "frame": [0], "prefix": none },
                "frameTable": {
                    "length": 1, "address": [-1], "inlineDepth": [0], "category": [0],
                    "subcategory": [0], "func": [0], "nativeSymbol": none, "innerWindowID": [0],
                    "line": none, "column": none,
                },
                "funcTable": {
                    "length": 1, "name": [0], "isJS": [false], "relevantForJS": [false],
                    "resource": [-1], "fileName": none, "lineNumber": none, "columnNumber": none,
                },
                "resourceTable": { "length": 0, "lib": [], "name": [], "host": [], "type": [] },
                "nativeSymbols": {
                    "length": 0, "libIndex": [], "address": [], "name": [], "functionSize": [],
                },
            }],
        })
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        assert_eq!(faults(&small()), [""; 0]);
        for (pointer, value, words) in [
            ("/meta/interval", json!("1 ms"), "/meta/interval: "),
            ("/meta/preprocessedProfileVersion", json!(54), "55"),
            ("/meta/categories/0/color", json!("pink"), "pink"),
            ("/threads", json!([]), "/threads: "),
            ("/threads/0/pid", json!(1), "/threads/0/pid: "),
            ("/threads/0/samples/stack", json!([0.5]), "stack/0: 0.5"),
            ("/threads/0/samples/stack", json!([-1]), "stack/0: -1"),
            ("/threads/0/samples/timeDeltas", json!([-1]), "timeDeltas/0"),
            ("/meta/initialSelectedThreads", json!([1]), "no thread 1"),
            ("/threads/0/samples/stack", json!([1]), "stack/0: 1 of 1"),
            (
                "/threads/0/samples/weight",
                json!([1, 2]),
                "weight: 2 rows, not 1",
            ),
            (
                "/threads/0/funcTable/isJS",
                json!([]),
                "isJS: 0 rows, not 1",
            ),
            ("/threads/0/funcTable/name", json!([1]), "name/0: 1 of 1"),
            ("/threads/0/frameTable/func", json!([7]), "func/0: 7 of 1"),
            (
                "/threads/0/frameTable/category",
                json!([1]),
                "category/0: 1 of 1",
            ),
            (
                "/threads/0/frameTable/subcategory",
                json!([1]),
                "subcategory/0: 1 of 1",
            ),
            (
                "/threads/0/frameTable/subcategory",
                json!([null]),
                "subcategory/0: null of 1",
            ),
            (
                "/threads/0/stackTable/prefix",
                json!([0]),
                "prefix/0: 0 is not before it",
            ),
        ] {
            let mut profile = small();
            *profile.pointer_mut(pointer).expect(pointer) = value;
            let faults = faults(&profile);
            let found = faults.iter().any(|fault| fault.contains(words));
            assert!(found, "{pointer}: {faults:?}");
        }
    }

    #[test]
    fn no_column_may_be_missing() {
        let full = small();
        for table in [
            "samples",
            "markers",
            "stackTable",
            "frameTable",
            "funcTable",
            "resourceTable",
            "nativeSymbols",
        ] {
            let columns: Vec<String> = full["threads"][0][table]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect();
            for column in columns {
                let mut profile = full.clone();
                profile["threads"][0][table]
                    .as_object_mut()
                    .unwrap()
                    .remove(&column);
                let faults = faults(&profile);
                assert_eq!(faults.len(), 1, "{table}.{column}: {faults:?}");
            }
            let mut profile = full.clone();
            profile["threads"][0].as_object_mut().unwrap().remove(table);
            assert_eq!(faults(&profile).len(), 1, "{table}");
        }
    }
}
