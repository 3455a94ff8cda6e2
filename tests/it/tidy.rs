//! The rules of the house that a program can check, checked on the source text: layers, lengths, headers, and what must not be
//! written where. Every rule has a test that breaks it, so that no rule can silently match nothing.

mod source;

use source::Source;

/// The layers, lowest first. A module may use the modules of lower layers, and of its own only what [`NEIGHBOURS`] allows.
const LAYERS: &[&[&str]] = &[
    &["time", "chance", "disk", "pointer", "record", "metrics", "telemetry"],
    &["signature", "route", "pace", "alarm"],
    &["config"],
    &["net", "store"],
    &["acme", "ingest", "delivery", "watch"],
    &["admin"],
    &["cli"],
];
/// Who may use whom within a layer.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("record", "time"),
    ("metrics", "time"),
    ("metrics", "record"),
    ("telemetry", "metrics"),
    ("telemetry", "record"),
    ("telemetry", "time"),
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// Files that may be longer: path and reason.
const LONG_FILES: &[(&str, &str)] = &[];
/// Functions that may be longer: path, name and reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Words of a comment that says why a call cannot fail.
const CANNOT_FAIL: &[&str] = &["cannot", "never", "always"];
/// A comment with any text is a reason to sleep; a test that sleeps without one is slow or flaky.
const ANY_WORD: &[&str] = &[" "];

/// Something that breaks a rule: the line from 0, and what is wrong.
type Problem = (usize, String);
type Rule = fn(&Source) -> Vec<Problem>;

fn layers(source: &Source) -> Vec<Problem> {
    let module = source.module();
    let Some(&from) = module.first().filter(|_| source.is_product()) else { return Vec::new() };
    let Some(own) = layer(from) else { return vec![(0, format!("`{from}` has no layer; add it to LAYERS"))] };
    let mut problems = Vec::new();
    for reference in source.references() {
        let depth = module.len() + source.inline_modules[reference.line];
        let Some(to) = top_module(&reference.path, depth).filter(|to| *to != from) else { continue };
        let allowed = match layer(to) {
            Some(other) if other == own => NEIGHBOURS.contains(&(from, to)),
            Some(other) => other < own,
            // An item of the crate's root, which has none but modules.
            None => false,
        };
        if !allowed {
            problems.push((reference.line, format!("`{from}` must not use `{to}` (`{}`)", reference.path)));
        }
    }
    problems
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|l| l.contains(&module))
}

/// The top-level module that a path leads to, seen from `depth` modules below the root; `None` where it stays below its own.
fn top_module(path: &str, depth: usize) -> Option<&str> {
    let parts: Vec<_> = path.split("::").collect();
    if parts[0] == "crate" {
        return parts.get(1).copied();
    }
    let ups = parts.iter().take_while(|p| **p == "super").count();
    if ups >= depth { parts.get(ups).copied() } else { None }
}

fn file_length(source: &Source) -> Vec<Problem> {
    let (lines, path) = (source.raw.len(), source.path.as_str());
    match (lines > FILE_LINES_MAX, LONG_FILES.iter().any(|(p, _)| *p == path)) {
        (true, false) => vec![(0, format!("{lines} lines, more than {FILE_LINES_MAX}"))],
        (false, true) => vec![(0, "not long; take it out of LONG_FILES".to_owned())],
        _ => Vec::new(),
    }
}

fn function_length(source: &Source) -> Vec<Problem> {
    let listed = |name: &str| LONG_FUNCTIONS.iter().any(|(p, n, _)| *p == source.path && *n == name);
    let long = source.functions().into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX && !listed(&f.name));
    long.map(|f| (f.line, format!("`{}` has {} lines, more than {FUNCTION_LINES_MAX}", f.name, f.lines))).collect()
}

fn header(source: &Source) -> Vec<Problem> {
    let good = source.raw.first().is_some_and(|l| l.starts_with("//! ") && l.len() > 10);
    if good { Vec::new() } else { vec![(0, "does not start with a `//!` header".to_owned())] }
}

fn no_unwrap(source: &Source) -> Vec<Problem> {
    let calls = [".unwrap()", ".unwrap_err()", ".expect(", ".expect_err("];
    let problems = found(source, &calls, "may panic: handle it, or say in a comment why it cannot fail");
    problems.into_iter().filter(|(n, _)| !source.is_test[*n] && !source.has_reason(*n, CANNOT_FAIL)).collect()
}

fn clock(source: &Source) -> Vec<Problem> {
    if !source.is_product() || source.path == "src/time.rs" {
        return Vec::new();
    }
    let reads = ["SystemTime::now", "Instant::now", "Utc::now", "Local::now", "Timestamp::now", "Zoned::now"];
    found(source, &reads, "reads a clock outside src/time.rs")
}

fn printing(source: &Source) -> Vec<Problem> {
    let may = ["src/cli/", "src/cli.rs", "src/main.rs"].iter().any(|p| source.path.starts_with(p));
    if may || !source.is_product() {
        return Vec::new();
    }
    found(source, &["println!", "eprintln!", "print!", "eprint!"], "prints outside src/cli; log it")
}

fn unfinished(source: &Source) -> Vec<Problem> {
    found(source, &["todo!", "unimplemented!", "dbg!"], "is not finished")
}

fn unsafe_code(source: &Source) -> Vec<Problem> {
    let uses = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern", "unsafe("];
    found(source, &uses, "is unsafe")
}

/// Programs find their way by the description, so nothing of the API may be outside of it.
fn described_routes(source: &Source) -> Vec<Problem> {
    if !source.path.starts_with("src/admin/api") {
        return Vec::new();
    }
    found(source, &[".route(", ".route_service(", ".nest_service("], "is a route without a description: use `routes!`")
}

fn ignored_tests(source: &Source) -> Vec<Problem> {
    found(source, &["#[ignore"], "is a test that does not run")
}

fn sleeping_tests(source: &Source) -> Vec<Problem> {
    let problems =
        found(source, &["sleep(", "sleep_ms("], "sleeps in a test: wait for what should happen, or say why in a comment");
    let is_method = |n: usize| source.code[n].contains(".sleep(");
    problems.into_iter().filter(|(n, _)| source.is_test[*n] && !is_method(*n) && !source.has_reason(*n, ANY_WORD)).collect()
}

fn found(source: &Source, patterns: &[&str], what: &str) -> Vec<Problem> {
    let lines = |p: &&str| source.lines_with(p).map(|n| (n, format!("{} {what}", p.trim_end_matches(['(', ' ', '{'])))).collect();
    patterns.iter().flat_map(|p| -> Vec<Problem> { lines(p) }).collect()
}

/// Runs a rule over every source file of the package.
#[track_caller]
fn holds(rule: Rule) {
    let sources = Source::all(&["src", "tests", "benches"]);
    assert!(sources.len() > 20, "only {} files were looked at", sources.len());
    let lines = |s: &Source| rule(s).into_iter().map(|(n, what)| format!("{}:{}: {what}", s.path, n + 1)).collect::<Vec<_>>();
    let problems: Vec<_> = sources.iter().flat_map(lines).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Runs a rule over a snippet at `path`; the numbers of the lines that break it, from 1.
fn broken(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let mut lines: Vec<_> = rule(&Source::new(path, text)).into_iter().map(|(n, _)| n + 1).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn imports_point_down() {
    holds(layers);
}

#[test]
fn imports_that_point_up_or_sideways_are_found() {
    assert_eq!(broken(layers, "src/store/commit.rs", "use crate::record::Name;\nuse crate::delivery::lane;\n"), [2]);
    assert_eq!(broken(layers, "src/ingest/mod.rs", "fn f() {\n    crate::delivery::go();\n}\n"), [2]);
    assert_eq!(broken(layers, "src/pace/retry.rs", "use super::super::{route, time};\n"), [1]);
    assert_eq!(broken(layers, "src/route/mod.rs", "use super::signature::Secret;\n"), [1]);
    assert_eq!(broken(layers, "src/net/tls.rs", "use crate::{\n    config::settings,\n    store::Store,\n};\n"), [1]);
    assert_eq!(broken(layers, "src/helpers/mod.rs", "\n"), [1]);
    assert_eq!(broken(layers, "src/record/id.rs", "use crate::metrics::Metrics;\n"), [1]);
    assert_eq!(broken(layers, "src/time.rs", "use crate::record::Name;\n"), [1]);
}

#[test]
fn imports_that_point_down_are_not_found() {
    let inside = "use super::Error;\nuse crate::store::handoff;\n#[cfg(test)]\nmod tests {\n    use super::super::Error;\n    use super::*;\n}\n";
    assert_eq!(broken(layers, "src/store/commit.rs", inside), [0usize; 0]);
    assert_eq!(broken(layers, "src/metrics.rs", "use crate::record::Name;\n"), [0usize; 0]);
    assert_eq!(broken(layers, "src/store/intake.rs", "use crate::signature::Verified; // crate::cli\n"), [0usize; 0]);
    assert_eq!(broken(layers, "src/cli/serve.rs", "use crate::{admin, ingest, time};\n"), [0usize; 0]);
}

#[test]
fn files_are_short() {
    holds(file_length);
    let dead = LONG_FILES.iter().map(|(p, _)| p).chain(LONG_FUNCTIONS.iter().map(|(p, _, _)| p));
    let paths: Vec<_> = Source::all(&["src", "tests", "benches"]).into_iter().map(|s| s.path).collect();
    dead.for_each(|p| assert!(paths.iter().any(|q| q == p), "{p} is listed and does not exist"));
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(broken(file_length, "src/a.rs", &"\n".repeat(501)), [1]);
    assert_eq!(broken(file_length, "src/a.rs", &"\n".repeat(500)), [0usize; 0]);
}

#[test]
fn functions_are_short() {
    holds(function_length);
}

#[test]
fn a_long_function_is_found() {
    let function =
        |inner: usize| format!("\nasync fn f<T>(a: [u8; 3])\nwhere\n    T: Copy,\n{{\n{}}}\n", "    // {\n".repeat(inner));
    assert_eq!(broken(function_length, "src/a.rs", &function(66)), [2]);
    assert_eq!(broken(function_length, "src/a.rs", &function(65)), [0usize; 0]);
}

#[test]
fn files_have_a_header() {
    holds(header);
}

#[test]
fn a_missing_header_is_found() {
    assert_eq!(broken(header, "src/a.rs", "use std::fmt;\n//! Too late.\n"), [1]);
    assert_eq!(broken(header, "src/a.rs", "//!\n"), [1]);
    assert_eq!(broken(header, "src/a.rs", ""), [1]);
    assert_eq!(broken(header, "src/a.rs", "//! Tells what this is.\n"), [0usize; 0]);
}

#[test]
fn nothing_unwraps() {
    holds(no_unwrap);
}

#[test]
fn an_unwrap_without_a_reason_is_found() {
    let text = "fn f() {\n    a.unwrap();\n    b\n        .expect(\"b\");\n    c.unwrap_or_default();\n}\n";
    assert_eq!(broken(no_unwrap, "src/a.rs", text), [2, 4]);
    assert_eq!(broken(no_unwrap, "src/a.rs", "/// It cannot fail.\na.unwrap();\n"), [2]);
    assert_eq!(broken(no_unwrap, "src/a.rs", "let s = \"// cannot\"; a.unwrap();\n"), [1]);
    assert_eq!(broken(no_unwrap, "src/a.rs", "// It cannot fail: 16 bytes.\na.unwrap();\n"), [0usize; 0]);
    assert_eq!(broken(no_unwrap, "src/a.rs", "a.unwrap(); // cannot fail: 16 bytes\n"), [0usize; 0]);
    assert_eq!(broken(no_unwrap, "src/a.rs", "#[cfg(test)]\nmod tests {\n    fn f() { a.unwrap() }\n}\n"), [0usize; 0]);
}

#[test]
fn only_time_reads_clocks() {
    holds(clock);
}

#[test]
fn a_clock_that_is_read_elsewhere_is_found() {
    let text = "let a = SystemTime::now();\nlet b = std::time::Instant::now();\nlet c = chrono::Utc::now();\n// Instant::now\n";
    assert_eq!(broken(clock, "src/pace/retry.rs", text), [1, 2, 3]);
    assert_eq!(broken(clock, "src/time.rs", text), [0usize; 0]);
}

#[test]
fn only_the_command_line_prints() {
    holds(printing);
}

#[test]
fn printing_elsewhere_is_found() {
    let text = "println!(\"a\");\neprintln!(\"b\");\nprint!(\"c\");\nlet s = \"println!\";\n";
    assert_eq!(broken(printing, "src/store/mod.rs", text), [1, 2, 3]);
    assert_eq!(broken(printing, "src/cli/send.rs", text), [0usize; 0]);
}

#[test]
fn everything_is_finished() {
    holds(unfinished);
}

#[test]
fn unfinished_code_is_found() {
    assert_eq!(broken(unfinished, "src/a.rs", "todo!()\nunimplemented!()\ndbg!(x)\n// todo!()\n"), [1, 2, 3]);
}

#[test]
fn nothing_is_unsafe() {
    holds(unsafe_code);
}

#[test]
fn unsafe_code_is_found() {
    assert_eq!(
        broken(unsafe_code, "src/a.rs", "let a = unsafe { f() };\nunsafe impl Send for A {}\n#![deny(unsafe_code)]\n"),
        [1, 2]
    );
}

#[test]
fn each_route_is_described() {
    holds(described_routes);
}

#[test]
fn a_route_without_a_description_is_found() {
    let text = "Router::new()\n    .route(\"/a\", get(a))\n    .routes(routes!(b))\n";
    assert_eq!(broken(described_routes, "src/admin/api/a.rs", text), [2]);
    assert_eq!(broken(described_routes, "src/admin/dashboard/mod.rs", text), [0usize; 0]);
}

#[test]
fn every_test_runs() {
    holds(ignored_tests);
}

#[test]
fn an_ignored_test_is_found() {
    assert_eq!(broken(ignored_tests, "tests/it/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n"), [2]);
}

#[test]
fn tests_do_not_sleep() {
    holds(sleeping_tests);
}

#[test]
fn a_test_that_sleeps_is_found() {
    let text = "std::thread::sleep(A);\ntokio::time::sleep(A).await;\nsleep(A).await;\n// The kernel gives no signal for it.\nsleep(A);\n";
    assert_eq!(broken(sleeping_tests, "tests/it/a.rs", text), [1, 2, 3]);
    assert_eq!(broken(sleeping_tests, "src/a.rs", "#[cfg(test)]\nmod tests {\n    fn f() { sleep(A) }\n}\n"), [3]);
    assert_eq!(broken(sleeping_tests, "src/a.rs", "fn f() { sleep(A) }\n"), [0usize; 0]);
}
