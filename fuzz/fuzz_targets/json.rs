//! JSON pointers into a body: what they find is what a whole reader finds, and what stands there twice is nothing.
#![no_main]

use hookhold_fuzz::id_of;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const POINTERS: [&str; 5] = ["/id", "/a/id", "/a/0", "/a/1/id", "/~0~1"];

fuzz_target!(|data: &[u8]| {
    let whole = serde_json::from_slice::<Value>(data);
    for pointer in POINTERS {
        let Some(found) = id_of(&format!("json:{pointer}"), &[], data) else { continue };
        let value = whole.as_ref().ok().and_then(|whole| whole.pointer(pointer)).unwrap_or_else(|| panic!("{found:?} is nowhere"));
        match value {
            Value::String(text) => assert_eq!(*text, found),
            // A number stays as it is written.
            Value::Number(number) => assert_eq!(number.as_f64(), found.parse::<f64>().ok()),
            other => panic!("{other} became {found:?}"),
        }
    }
});
