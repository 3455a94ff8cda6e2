//! What `[sources.NAME]` can say.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::key::{Key, Kind, Others, Table};
use crate::config::{ack, answer, handshake, identity, limits, mask, secret};

/// Providers redeliver for days, people for weeks.
const DEDUPE_MAX: Duration = Duration::from_secs(90 * 86_400);
/// What is expected less often is no silence that anybody would notice by a clock.
pub(super) const EXPECT_EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(90 * 86_400);
pub(super) const DEDUPE: RangeInclusive<Duration> = Duration::from_secs(1)..=DEDUPE_MAX;

pub(in crate::config) static KEYS: Table = Table {
    name: "[sources.NAME]",
    tells: "Where one provider's webhooks enter, and how they are verified. `hookhold providers NAME` tells what a provider needs.",
    example: r#"
[sources.stripe]
path = "/in/stripe"
provider = "stripe"
secrets = [{ env = "STRIPE_WEBHOOK_SECRET" }]
body = "1MiB"
dedupe = "72h"
per_second = 50

[sources.alerts]
path = "/in/alerts"
provider = "aws-sns"
topic_arns = ["arn:aws:sns:us-east-1:123456789012:MyTopic"]
"#,
    keys: &[
        Key::needed(
            "path",
            Kind::Text,
            "The path of its URL, such as `/in/stripe`; with `/*` at its end, everything below, too.",
        ),
        Key::new("host", Kind::Text, "The host of its URL, without a port.").or_else("any"),
        Key::needed(
            "provider",
            Kind::Text,
            "A name of `hookhold providers`, `\"custom\"` with a table `verify`, or `\"none\"` to accept what nobody signed.",
        ),
        Key::new(
            "secrets",
            Kind::List(&Kind::Table(&secret::KEYS)),
            "What the provider signs with. Each of them counts, until its end.",
        ),
        Key::new(
            "keys",
            Kind::List(&Kind::Either(&[Kind::Text, Kind::Table(&identity::KEY)])),
            "Public keys, where the provider signs with one.",
        ),
        Key::new("key_url", Kind::Text, "Where the provider publishes its keys: an address of `https`.")
            .or_else("the provider's own"),
        Key::new("key_fetch", Kind::Table(&identity::KEY_FETCH), "How published keys are fetched."),
        Key::new("roots", Kind::OneOrMany(&Kind::Text), "Files with the root certificates that the provider's must lead to."),
        Key::new("require", Kind::List(&Kind::Table(&identity::REQUIRE)), "Rules of your own on what was signed."),
        Key::new("tolerance", Kind::Duration(identity::TOLERANCE), "How old an event may be.").or_else("the provider's rule"),
        Key::new("tag", Kind::Text, "The tag that signatures have (RFC 9421)."),
        Key::new("required_components", Kind::List(&Kind::Text), "What signatures must cover (RFC 9421).")
            .or_else("the provider's rule"),
        Key::new("public_key", Kind::Text, "The name of the key that signatures stand beside, or that a challenge shows."),
        Key::new("public_url", Kind::Text, "What the provider calls, up to the request's path, where it signs the address.")
            .or_else("`https` and the request's host"),
        Key::new(
            "verify",
            Kind::Scheme,
            "With `provider = \"custom\"`: how the sender signs, in the words of [PROVIDERS.md](PROVIDERS.md#one-that-is-not-listed-or-is-different).",
        ),
        Key::new("verify_decoded", Kind::Choice(&["gzip"]), "The signature is over what is packed in the body.")
            .or_else("over the body as it came"),
        Key::new(
            "handshake",
            Kind::List(&Kind::Handshake),
            "Challenges that are answered, in the words of [PROVIDERS.md](PROVIDERS.md#challenges). `[]`: none.",
        )
        .or_else("the provider's"),
        Key::new(
            "verify_token",
            Kind::Table(&secret::LASTING),
            "What a provider's challenge must show (Meta, Strava and others).",
        ),
        Key::new("confirm_fetch", Kind::Table(&handshake::CONFIRM_FETCH), "How what confirms a subscription is visited."),
        Key::new(
            "on_bad_signature",
            Kind::Choice(&["quarantine", "reject"]),
            "Whether what is not believed is kept aside. Both answer 401.",
        )
        .or_else("`quarantine` where the provider signs, else `reject`"),
        Key::new(
            "dedupe",
            Kind::Either(&[Kind::Duration(DEDUPE), Kind::Choice(&["off"]), Kind::Table(&DEDUPE_BY)]),
            "How long a repeat is known: a time, `\"off\"`, or a table that says where the event's id is.",
        )
        .or_else("72h or longer, as the provider retries"),
        Key::new("ack", Kind::Either(&[ack::WORDS, Kind::Table(&ack::KEYS)]), "What the answer waits for.").or("\"stored\""),
        Key::new("answer", Kind::Table(&answer::KEYS), "What the provider hears when an event is durable.")
            .or_else("what the provider wants"),
        Key::new("body", Kind::Size(limits::BODY_BYTES), "Bytes of one body.").or_else("`limits.body`"),
        Key::new("methods", Kind::List(&Kind::Choice(&METHODS)), "Methods that are taken.").or("[\"POST\"]"),
        Key::new(
            "allow",
            Kind::List(&Kind::Text),
            "Addresses and networks that may send, such as `\"203.0.113.0/24\"`; `\"provider\"` stands for those that the provider \
             publishes. [EDGE.md](EDGE.md#who-may-send) tells more.",
        )
        .or_else("all"),
        Key::new("deny", Kind::List(&Kind::Text), "Addresses and networks that may not, whatever `allow` says.").or_else("none"),
        Key::new(
            "client_ca",
            Kind::Text,
            "A file with root certificates: senders must show a certificate that these vouch for, and nobody else is taken. \
             [EDGE.md](EDGE.md#certificates-of-senders) tells more.",
        ),
        Key::new(
            "per_second",
            limits::METER,
            "Events in a second: a number, or a [rate](#rate) with its burst. More are refused with 429 until there is room again.",
        )
        .or_else("as many as come"),
        Key::new("paused", Kind::Boolean, "Answers 503 until `hookhold sources resume NAME`. What a person said last counts.")
            .or("false"),
        Key::new(
            "expect_every",
            Kind::Either(&[Kind::Duration(EXPECT_EVERY), Kind::Choice(&["off"])]),
            "It has an event at least so often: `[alerts]` tells when it is silent for longer.",
        )
        .or("\"off\""),
        Key::new(
            "mask",
            Kind::Table(&mask::KEYS),
            "What of its events is hidden from those who need not see it, beside what `[admin]` says.",
        ),
    ],
    later: &[],
    others: Others::Settings,
};

static DEDUPE_BY: Table = Table {
    name: "dedupe",
    tells: "In a source: where the event's id is. One of `header` and `pointer`.",
    example: r#"
[sources.own]
path = "/in/own"
provider = "github"
secrets = [{ env = "GITHUB_WEBHOOK_SECRET" }]
dedupe = { header = "X-Id", for = "24h" }
"#,
    keys: &[
        Key::new("header", Kind::Text, "A header's name."),
        Key::new("pointer", Kind::Text, "A JSON pointer into the body, such as `/data/id`."),
        Key::new("for", Kind::Duration(DEDUPE), "How long a repeat is known.").or("\"72h\""),
    ],
    later: &[],
    others: Others::None,
};

/// Methods that a source can take.
const METHODS: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"];
