//! When a CA wants a certificate to be renewed (ARI, RFC 9773). It is asked here; what it says counts within the bounds of `plan`.

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::call::{Caller, Failure};
use super::plan::Window;
use crate::time::Timestamp;

/// What a CA says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is to be renewed within this.
    Window(Window),
    /// It says nothing of any certificate.
    Nothing,
    /// What makes no sense.
    Nonsense,
}

/// The one word of a directory (RFC 8555, section 7.1.1) that counts here.
#[derive(Deserialize)]
struct Directory {
    #[serde(rename = "renewalInfo")]
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "suggestedWindow")]
    window: Suggested,
}

#[derive(Deserialize)]
struct Suggested {
    start: String,
    end: String,
}

/// What the CA of this directory says of the certificate with this id. How long its word lasts is what `caller` was asked to wait.
pub(super) async fn ask(caller: &Caller, directory: &Url, id: &str) -> Result<Said, Failure> {
    let (status, body) = caller.get(directory.as_str()).await?;
    if !status.is_success() {
        return Err(Failure::Status(status));
    }
    let Ok(Directory { renewal_info }) = serde_json::from_slice(&body) else { return Ok(Said::Nonsense) };
    let Some(place) = renewal_info else { return Ok(Said::Nothing) };
    let (status, body) = caller.get(&format!("{}/{id}", place.trim_end_matches('/'))).await?;
    match status {
        StatusCode::OK => Ok(read(&body)),
        // It does not know the certificate, or not what it was asked.
        _ if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => Ok(Said::Nonsense),
        _ => Err(Failure::Status(status)),
    }
}

fn read(body: &[u8]) -> Said {
    let window = serde_json::from_slice(body).ok().and_then(|Info { window: Suggested { start, end } }| {
        let (from, until) = (Timestamp::parse_rfc3339(&start)?, Timestamp::parse_rfc3339(&end)?);
        (from < until).then_some(Window { from, until })
    });
    window.map_or(Said::Nonsense, Said::Window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_and_nonsense_is_none() {
        let at = |text| Timestamp::parse(text).unwrap();
        let said = |start: &str, end: &str| {
            let body = format!(
                r#"{{"suggestedWindow": {{"start": "{start}", "end": "{end}"}}, "explanationURL": "https://ca.example/"}}"#
            );
            read(body.as_bytes())
        };
        let window = Window { from: at("2026-01-02T04:00:00Z"), until: at("2026-01-03T04:00:00Z") };
        assert_eq!(said("2026-01-02T04:00:00Z", "2026-01-03T04:00:00Z"), Said::Window(window));
        assert_eq!(said("2026-01-02T05:00:00.000+01:00", "2026-01-03T04:00:00Z"), Said::Window(window));
        for (start, end) in [
            ("2026-01-03T04:00:00Z", "2026-01-02T04:00:00Z"),
            ("2026-01-03T04:00:00Z", "2026-01-03T04:00:00Z"),
            ("", ""),
            ("soon", "later"),
            ("1767326400", "1767412800"),
        ] {
            assert_eq!(said(start, end), Said::Nonsense, "{start} {end}");
        }
        for body in ["", "{}", "[]", r#"{"suggestedWindow": null}"#, r#"{"suggestedWindow": {"start": "2026-01-02T04:00:00Z"}}"#]
        {
            assert_eq!(read(body.as_bytes()), Said::Nonsense, "{body}");
        }
    }
}
