//! Forms: a field is what another reader finds, and one that stands there twice is nothing.
#![no_main]

use hookhold_fuzz::id_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let fields = url::form_urlencoded::parse(data).filter(|(name, _)| name == "id").map(|(_, value)| value);
    let mut values: Vec<_> = fields.collect();
    let found = id_of("form:id", &[("content-type", b"application/x-www-form-urlencoded")], data);
    match values.pop().filter(|_| values.is_empty()) {
        // The other reader puts a sign in place of what is no text.
        Some(value) if value.contains('\u{fffd}') => {}
        Some(value) => assert_eq!(found.as_deref(), (1..=1024).contains(&value.len()).then_some(&*value)),
        None => assert_eq!(found, None),
    }
});
