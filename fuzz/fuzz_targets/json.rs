//! JSON pointers into a body: what they find is what a whole reader finds, and what stands there twice is nothing.
#![no_main]

use hookhold_fuzz::id_of;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

const POINTERS: [&str; 5] = ["/id", "/a/id", "/a/0", "/a/1/id", "/~0~1"];

fuzz_target!(|data: &[u8]| {
    let is_json = serde_json::from_slice::<IgnoredAny>(data).is_ok();
    let whole = serde_json::from_slice::<Value>(data).ok();
    for pointer in POINTERS {
        let Some(found) = id_of(&format!("json:{pointer}"), &[], data) else { continue };
        assert!(is_json, "{found:?} is found in what is no JSON");
        // The whole reader refuses numbers beyond a double, half a surrogate, and what is very deep, wherever it stands.
        let Some(whole) = &whole else { continue };
        let value = whole.pointer(pointer).unwrap_or_else(|| panic!("{found:?} is nowhere"));
        match value {
            Value::String(text) => assert_eq!(*text, found),
            // A number stays as it is written.
            Value::Number(number) => assert_eq!(number.as_f64(), found.parse::<f64>().ok()),
            other => panic!("{other} became {found:?}"),
        }
    }
});
