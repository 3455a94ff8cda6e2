//! What is sent to a receiver: Slack's form, or a typed document that is signed. Text and names only.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;
use url::Position;

use crate::alarm::{Notice, Word};
use crate::config::settings::{Form, Receiver};
use crate::net::client::Payload;
use crate::record::Headers;
use crate::signature::Unsigned;
use crate::time::Timestamp;

/// What is told: several notices in a line each, or that this is a test.
pub(super) enum Message<'a> {
    Notices(&'a [&'a Notice]),
    Test,
}

/// A typed document. `type` is `hookhold.alert.began`, `.lasts`, `.ended` or `.test`.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    /// What the relay is called.
    relay: &'a str,
    /// All of it in a line.
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Alert<'a>>,
}

#[derive(Serialize)]
struct Alert<'a> {
    /// The same for all that is told of one alarm.
    id: String,
    kind: &'static str,
    /// `{"source": "NAME"}`, `{"destination": "NAME"}`, `{"certificate": "FILE"}`, `{"host": "NAME"}` or `{"part": "store"}`.
    subject: serde_json::Value,
    state: &'static str,
    since: Timestamp,
    began_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    detail: &'a str,
    advice: String,
}

impl Message<'_> {
    /// The request that tells it. `relay`: what the relay is called. `id`: of this message, the same each time that it is tried.
    pub(super) fn request(
        &self,
        receiver: &Receiver,
        authority: &str,
        relay: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Request<Payload>, String> {
        let body = match &receiver.form {
            Form::Slack => json!({ "text": self.slack(relay) }).to_string(),
            Form::StandardWebhooks(_) => self.document(relay, now),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&receiver.url[Position::BeforePath..Position::AfterQuery])
            .header(HOST, authority)
            .header(USER_AGENT, concat!("hookhold/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json");
        if let Form::StandardWebhooks(resigner) = &receiver.form {
            let (url, headers) = (receiver.url.as_str(), Headers::default());
            let body = body.as_bytes();
            let unsigned = Unsigned { method: "POST", url, headers: &headers, body, now, event_id: Some(id), kind: None };
            for (name, value) in resigner.sign(&unsigned).map_err(|error| error.to_string())? {
                request = request.header(name, value);
            }
        }
        if let Some(value) = &receiver.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        request.body(Full::new(Bytes::from(body))).map_err(|_| "its address cannot be asked for".to_owned())
    }

    /// One line for each, in Slack's text: what would be a link, a mention or a command there is only text.
    fn slack(&self, relay: &str) -> String {
        let lines = match self {
            Self::Notices(notices) => notices.iter().map(|notice| notice.text()).collect(),
            Self::Test => vec![test_text()],
        };
        let lines = lines.iter().map(|line| format!("[{relay}] {line}")).collect::<Vec<_>>().join("\n");
        lines.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }

    /// Of the first notice: a document has one.
    fn document(&self, relay: &str, now: Timestamp) -> String {
        let notice = match self {
            Self::Notices(notices) => notices.first(),
            Self::Test => None,
        };
        let document = match notice {
            Some(notice) => Document {
                r#type: format!("hookhold.alert.{}", notice.word.as_str()),
                timestamp: notice.at,
                data: Data { relay, text: notice.text(), alert: Some(alert(notice)) },
            },
            None => Document {
                r#type: "hookhold.alert.test".to_owned(),
                timestamp: now,
                data: Data { relay, text: test_text(), alert: None },
            },
        };
        // Text, numbers and times: it cannot fail.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

fn alert(notice: &Notice) -> Alert<'_> {
    let alarm = &notice.alarm;
    let advice = if notice.word == Word::Ended { String::new() } else { alarm.kind.advice(&alarm.subject) };
    Alert {
        id: alarm.number.to_string(),
        kind: alarm.kind.as_str(),
        subject: json!({ alarm.subject.field(): alarm.subject.to_string() }),
        state: alarm.state.as_str(),
        since: alarm.since,
        began_at: alarm.began_at,
        ended_at: alarm.ended_at,
        detail: &alarm.detail,
        advice,
    }
}

fn test_text() -> String {
    "TEST: this is a test; nothing is wrong. Alarms of this relay arrive here.".to_owned()
}
