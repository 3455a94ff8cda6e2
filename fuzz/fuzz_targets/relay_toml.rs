//! relay.toml: any text is settings, or problems that stand somewhere in it.
#![no_main]

use std::ffi::OsString;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Files that it names would be looked for outside of it.
    if text.contains("/dev") || text.contains("..") {
        return;
    }
    let env = |name: &str| (name == "SECRET").then(|| OsString::from("secret"));
    let Err(problems) = hookhold::config::parse(text, Path::new("/nonexistent"), "relay.toml", &env) else { return };
    assert!(problems.iter().len() > 0);
    for problem in problems.iter() {
        let lines = text.split('\n').count();
        assert!(problem.line >= 1 && problem.line <= lines + 1, "line {} of {lines}: {problem}", problem.line);
        assert!(!problem.to_string().contains(char::is_control), "{problem}");
    }
});
