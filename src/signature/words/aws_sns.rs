//! The text that Amazon SNS signs: some members of the body, by name, as JSON decodes them.

use serde_json::Value;

use crate::signature::{Reason, json};

/// Of a message.
const NOTIFICATION: [&str; 6] = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
/// Of a question whether a subscription shall begin, and of the news that it ended.
const CONFIRMATION: [&str; 7] = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
/// The only one that may be missing.
const SUBJECT: &str = "Subject";

/// Bytes of a body: a message has at most 256 KiB, which JSON can make six times as long.
const BODY_BYTES_MAX: usize = 2 << 20;

/// Gives the text of a body.
pub(in crate::signature) fn feed(body: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Reason::BadEncoding);
    }
    let message = json::strict_object(body).map_err(|_| Reason::BadEncoding)?;
    let members: &[&str] = match message.get("Type").and_then(Value::as_str) {
        Some("Notification") => &NOTIFICATION,
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => &CONFIRMATION,
        Some(_) => return Err(Reason::UnknownVersion),
        None => return Err(Reason::MissingPart),
    };
    for name in members {
        match message.get(name) {
            Some(Value::String(text)) => [name, "\n", text, "\n"].iter().for_each(|piece| sink(piece.as_bytes())),
            None | Some(Value::Null) if *name == SUBJECT => {}
            None => return Err(Reason::MissingPart),
            Some(_) => return Err(Reason::BadEncoding),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(body: &str) -> Result<String, Reason> {
        let mut out = Vec::new();
        feed(body.as_bytes(), &mut |piece| out.extend_from_slice(piece))?;
        Ok(String::from_utf8(out).unwrap())
    }

    const BODY: &str = r#"{"Type":"Notification","MessageId":"1","TopicArn":"a","Message":"x\ny","Timestamp":"t","Extra":[1]}"#;

    #[test]
    fn members_are_in_order_and_decoded() {
        assert_eq!(text(BODY).unwrap(), "Message\nx\ny\nMessageId\n1\nTimestamp\nt\nTopicArn\na\nType\nNotification\n");
        let subject = BODY.replace("\"Extra\":[1]", "\"Subject\":\"s\"");
        assert!(text(&subject).unwrap().contains("MessageId\n1\nSubject\ns\nTimestamp"));
        let confirmation = subject.replace("Notification", "SubscriptionConfirmation");
        assert_eq!(text(&confirmation), Err(Reason::MissingPart));
        let whole = confirmation.replace("\"Subject\":\"s\"", "\"Token\":\"k\",\"SubscribeURL\":\"u\"");
        assert!(text(&whole).unwrap().contains("SubscribeURL\nu\nTimestamp\nt\nToken\nk\nTopicArn"));
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        assert_eq!(text("hello"), Err(Reason::BadEncoding));
        assert_eq!(text("{}"), Err(Reason::MissingPart));
        assert_eq!(text(&BODY.replace("Notification", "Other")), Err(Reason::UnknownVersion));
        assert_eq!(text(&BODY.replace("\"x\\ny\"", "1")), Err(Reason::BadEncoding));
        assert_eq!(text(&BODY.replace("\"Extra\":[1]", "\"Message\":\"z\"")), Err(Reason::BadEncoding));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = feed(&bytes, &mut |_| ());
        }
    }
}
