//! When a token counts (RFC 7519, section 4.1). A time must be a number; one that is text is refused, not read.

use serde_json::Value;

use crate::signature::Reason;
use crate::signature::signed::written::WrittenToken;
use crate::time::Timestamp;

/// Seconds beyond which a number is no time (the year 5138).
const SECONDS_MAX: f64 = 1e11;

/// Whether claims that hold a time hold at `at`.
pub(super) fn judge(claims: &Value, rules: &WrittenToken, at: Timestamp) -> Result<(), Reason> {
    let (now, leeway) = (at.ms() as f64 / 1000.0, f64::from(rules.leeway));
    let expires = time(claims, "exp")?;
    if rules.expires && expires.is_none() {
        return Err(Reason::MissingTimestamp);
    }
    if expires.is_some_and(|end| end + leeway <= now) {
        return Err(Reason::TimestampTooOld);
    }
    for start in ["nbf", "iat"] {
        if time(claims, start)?.is_some_and(|start| start > now + leeway) {
            return Err(Reason::TimestampInFuture);
        }
    }
    Ok(())
}

fn time(claims: &Value, name: &str) -> Result<Option<f64>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let second = value.as_f64().filter(|second| (0.0..SECONDS_MAX).contains(second));
    second.map(Some).ok_or(Reason::BadTimestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_790_000_000;

    fn judged(claims: Value, expires: bool) -> Result<(), Reason> {
        let rules = WrittenToken { leeway: 60, expires, ..WrittenToken::default() };
        judge(&claims, &rules, Timestamp::from_ms(NOW * 1000))
    }

    #[test]
    fn the_edges_are_sharp() {
        assert_eq!(judged(json!({}), false), Ok(()));
        assert_eq!(judged(json!({}), true), Err(Reason::MissingTimestamp));
        assert_eq!(judged(json!({ "exp": NOW - 59 }), true), Ok(()));
        assert_eq!(judged(json!({ "exp": NOW - 60 }), true), Err(Reason::TimestampTooOld));
        for start in ["nbf", "iat"] {
            assert_eq!(judged(json!({ start: NOW + 60 }), false), Ok(()));
            assert_eq!(judged(json!({ start: NOW as f64 + 60.5 }), false), Err(Reason::TimestampInFuture));
        }
    }

    #[test]
    fn only_numbers_are_times() {
        for bad in [json!("1790000060"), json!(null), json!(1e300), json!(-1), json!([NOW]), json!(true)] {
            assert_eq!(judged(json!({ "exp": bad }), true), Err(Reason::BadTimestamp), "{bad}");
        }
    }
}
