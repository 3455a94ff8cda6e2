//! What an accepted request signs, read off its scheme's own text and the request: which of its tokens are signatures, and whether
//! a changed body says the same. The verifier is asked for one thing only: which of several tokens count.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookhold::signature::{Captured, Judgement, verify_captured};
use serde_json::Value;

use crate::hmac::Vector;

/// Shorter runs of letters and digits are labels and times.
const TOKEN_BYTES_MIN: usize = 12;
/// Shorter texts beside a key are its type, its name and its address.
const KEY_BYTES_MIN: usize = 40;
/// What Amazon SNS signs of a message.
const SNS_MEMBERS: [&str; 8] = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
/// The words that sign what a form says, and not its bytes. Of some, names and values follow each other without anything between.
const OF_FORMS: [&str; 3] = ["{sorted_form:", "{plivo_v3}", "{php_form:"];

/// An accepted request, and what is known of it.
pub(crate) struct Base {
    pub(crate) captured: Captured,
    pub(crate) body: Vec<u8>,
    pub(crate) covers_body: bool,
    /// The runs of characters that prove it: any of them alone, or all together.
    pub(crate) tokens: Vec<Token>,
    pub(crate) any_is_enough: bool,
    /// The numbers of the headers whose value is signed.
    pub(crate) covered: Vec<usize>,
    /// Its secrets and keys, as far as they are long enough to be one.
    pub(crate) keys: BTreeSet<String>,
    /// What stands right before a signature in a scheme that has one way to write it: `v1=`, `sha256=`.
    pub(crate) label: Option<String>,
    /// The scheme's ways to sign, as written.
    ways: Vec<Value>,
}

/// A run of a signature's characters.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) at: Site,
    pub(crate) range: Range<usize>,
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    Header(usize),
    Body,
    Url,
}

impl Base {
    /// Of a request that is accepted; `keys`: what it says of them.
    pub(crate) fn new(vector: &Vector, keys: &Value) -> Option<Self> {
        let captured = vector.captured.clone();
        let scheme = match captured.provider.as_str() {
            "custom" => captured.config.verify.clone()?,
            "none" => return None,
            _ => vector.preset().scheme.clone(),
        };
        let written = serde_json::to_value(&scheme).unwrap();
        let mut base = Self {
            body: vector.body(),
            // The examples of RFC 9421 cover what each says, and none the whole body. Of a GET, Plivo signs the address only.
            covers_body: scheme.covers_body()
                && captured.provider != "rfc9421"
                && !(captured.provider == "plivo-v3" && captured.method == "GET"),
            tokens: Vec::new(),
            any_is_enough: false,
            covered: Vec::new(),
            keys: BTreeSet::new(),
            label: None,
            ways: written.get("any").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![written]),
            captured,
        };
        if !base.is_accepted() {
            return None;
        }
        add_long_texts(keys, &mut base.keys);
        base.covered = base.covered_headers();
        base.label = base.label();
        base.find_tokens();
        Some(base)
    }

    /// Whether a text is in what all ways sign.
    pub(crate) fn signs(&self, word: &str) -> bool {
        self.ways.iter().all(|way| payloads(way).all(|payload| payload.contains(word)) && payloads(way).next().is_some())
    }

    /// The `{ts}` of the signature's own header, where it is signed: the header's number, and where its digits are.
    pub(crate) fn stamp_in_header(&self) -> Option<Token> {
        let [way] = &self.ways[..] else { return None };
        let stamp = &way["timestamp"];
        if stamp["in"] != "field" || !self.signs("{ts}") {
            return None;
        }
        let item = format!("{}{}", stamp["name"].as_str()?, way["signature"][0]["kv"].as_str()?);
        self.signature_headers().into_iter().find_map(|i| {
            let value = &self.captured.headers[i].1;
            let at = value.find(&item).filter(|_| value.matches(&item).count() == 1)? + item.len();
            let digits = value[at..].bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then(|| Token { at: Site::Header(i), range: at..at + digits })
        })
    }

    /// Whether another body says the same to one who reads what the scheme signs.
    pub(crate) fn says_the_same(&self, body: &[u8]) -> bool {
        let body = &self.with_case_of_signature(body)[..];
        let json = |body: &[u8]| serde_json::from_slice::<Value>(body).ok();
        let any_way = |word: &str| self.ways.iter().any(|way| payloads(way).any(|payload| payload.contains(word)));
        let fields = |body: &[u8]| -> Vec<(String, String)> { url::form_urlencoded::parse(body).into_owned().collect() };
        // Some pack the body; of what is packed, not every byte counts.
        let is_packed = self.body.starts_with(&[0x1f, 0x8b]);
        is_packed
            || self.body == body
            || (OF_FORMS.into_iter().any(any_way) && run_together(fields(&self.body)) == run_together(fields(body)))
            || ((any_way("|jcs}") || any_way("{body_without:"))
                && json(&self.body).zip(json(body)).is_some_and(|(a, b)| same_json(&a, &b)))
            || (any_way("{aws_sns}")
                && json(&self.body).zip(json(body)).is_some_and(|(a, b)| SNS_MEMBERS.iter().all(|name| a[name] == b[name])))
            || self.ways.iter().filter_map(|way| way["body_field"].as_str()).any(|name| {
                let only = |body| fields(body).into_iter().filter(|(known, _)| known == name).collect::<Vec<_>>();
                only(&self.body) == only(body)
            })
    }

    /// The body with the signature in it as it was, where only the case of its hexadecimal differs.
    fn with_case_of_signature(&self, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        for Token { range, .. } in self.tokens.iter().filter(|token| token.at == Site::Body) {
            let before = &self.body[range.clone()];
            if let Some(now) = body.get_mut(range.clone())
                && before.iter().all(u8::is_ascii_hexdigit)
                && now.eq_ignore_ascii_case(before)
            {
                now.copy_from_slice(before);
            }
        }
        body
    }

    /// Whether one of its keys is one of the other's: each may stand in another form, and beside others.
    pub(crate) fn shares_keys(&self, other: &Self) -> bool {
        let mut pairs = self.keys.iter().flat_map(|mine| other.keys.iter().map(move |theirs| (mine, theirs)));
        pairs.any(|(mine, theirs)| mine.contains(theirs.as_str()) || theirs.contains(mine.as_str()))
    }

    pub(crate) fn is_accepted(&self) -> bool {
        verify_captured(&self.captured).judgement == Judgement::Accept
    }

    /// The numbers of the headers in which signatures stand.
    pub(crate) fn signature_headers(&self) -> Vec<usize> {
        let sources = self.ways.iter().flat_map(|way| way["signature"].as_array().into_iter().flatten());
        let names: Vec<String> =
            sources.filter(|s| s["in"] == "header").filter_map(|s| s["name"].as_str()).map(str::to_lowercase).collect();
        let is_message = self.ways.iter().any(|way| way["kind"] == "http-message-signature");
        let holds = |name: &str| {
            let numbered = |known: &String| known.strip_suffix('*').is_some_and(|front| name.starts_with(front));
            names.iter().any(|known| known == name || numbered(known)) || (is_message && name == "signature")
        };
        let headers = self.captured.headers.iter().enumerate();
        headers.filter(|(_, (name, _))| holds(&name.to_lowercase())).map(|(i, _)| i).collect()
    }

    /// Of keyed hashes alone: in other schemes it can be a word of HTTP, which has no case.
    fn label(&self) -> Option<String> {
        let [way] = &self.ways[..] else { return None };
        let [source] = &way["signature"].as_array()?[..] else { return None };
        if way["kind"].as_str().unwrap_or("hmac") != "hmac" || source["in"] != "header" || source["name"].as_str()?.ends_with('*')
        {
            return None;
        }
        let kv = source["kv"].as_str().map(|kv| Some(format!("{}{kv}", source["key"].as_str()?)));
        let label = format!("{}{}", kv.unwrap_or_else(|| Some(String::new()))?, source["prefix"].as_str().unwrap_or_default());
        label.bytes().any(|b| b.is_ascii_alphanumeric()).then_some(label)
    }

    fn covered_headers(&self) -> Vec<usize> {
        let stamp = |way: &Value| -> Option<String> {
            let stamp = &way["timestamp"];
            (stamp["in"] == "header").then(|| stamp["name"].as_str().unwrap().to_lowercase())
        };
        let covers = |name: &str| {
            self.signs(&format!("{{header:{name}}}"))
                || (self.signs("{ts}") && self.ways.iter().all(|way| stamp(way).as_deref() == Some(name)))
        };
        // Names have no case; in the schemes they stand as their providers write them.
        let written: BTreeMap<String, String> = self
            .ways
            .iter()
            .flat_map(payloads)
            .flat_map(|payload| payload.split("{header:").skip(1))
            .filter_map(|part| part.split_once('}'))
            .map(|(name, _)| (name.to_lowercase(), name.to_owned()))
            .collect();
        let headers = self.captured.headers.iter().enumerate();
        let covered = headers.filter(|(_, (name, value))| {
            let name = name.to_lowercase();
            !value.is_empty() && (covers(&name) || written.get(&name).is_some_and(|name| covers(name)))
        });
        covered.map(|(i, _)| i).collect()
    }

    fn find_tokens(&mut self) {
        let mut tokens: Vec<Token> = Vec::new();
        for i in self.signature_headers() {
            tokens.extend(runs(self.captured.headers[i].1.as_bytes(), 0).map(|range| Token { at: Site::Header(i), range }));
        }
        let sources = self.ways.iter().flat_map(|way| way["signature"].as_array().into_iter().flatten());
        for source in sources {
            let name = source["name"].as_str().unwrap();
            let found = match source["in"].as_str().unwrap() {
                "json" => self.string_at(name).map(|range| (Site::Body, range)),
                "form" | "form-last" => field_at(&self.body, name).map(|range| (Site::Body, range)),
                "query" => {
                    let at = self.captured.url.find('?').map_or(self.captured.url.len(), |at| at + 1);
                    let range = field_at(&self.captured.url.as_bytes()[at..], name);
                    range.map(|range| (Site::Url, range.start + at..range.end + at))
                }
                _ => None,
            };
            if let Some((at, range)) = found {
                let text = at.text(&self.captured);
                tokens.extend(runs(&text[range.clone()], range.start).map(|range| Token { at, range }));
            }
        }
        // Those without which the request is refused; if none is, those of which one is enough.
        let without = |broken: &dyn Fn(usize) -> bool| {
            let broken: Vec<_> = tokens.iter().enumerate().filter(|(i, _)| broken(*i)).map(|(_, token)| token.clone()).collect();
            verify_captured(&self.broken(&broken)).judgement == Judgement::Accept
        };
        let needed: Vec<usize> = (0..tokens.len()).filter(|&i| !without(&|other| other == i)).collect();
        let enough: Vec<usize> = (0..tokens.len()).filter(|&i| without(&|other| other != i)).collect();
        self.any_is_enough = needed.is_empty();
        let counts = if needed.is_empty() { enough } else { needed };
        self.tokens = counts.into_iter().map(|i| tokens[i].clone()).collect();
    }

    /// The request with the first character of each of these changed.
    fn broken(&self, tokens: &[Token]) -> Captured {
        tokens.iter().fold(self.captured.clone(), |captured, token| {
            let mut text = token.at.text(&captured);
            let first = &mut text[token.range.start];
            *first = if *first == b'a' { b'b' } else { b'a' };
            token.at.with_text(&captured, text).unwrap()
        })
    }

    /// Where the text is that a JSON pointer into the body leads to, if it stands there as it is, and once.
    fn string_at(&self, pointer: &str) -> Option<Range<usize>> {
        let json: Value = serde_json::from_slice(&self.body).ok()?;
        let text = json.pointer(pointer)?.as_str()?.to_owned();
        let body = std::str::from_utf8(&self.body).ok()?;
        let at = body.find(&text).filter(|_| body.matches(&text).count() == 1)?;
        Some(at..at + text.len())
    }
}

impl Site {
    /// The text there.
    pub(crate) fn text(self, captured: &Captured) -> Vec<u8> {
        match self {
            Self::Header(i) => captured.headers[i].1.clone().into_bytes(),
            Self::Body => STANDARD.decode(&captured.body_base64).unwrap(),
            Self::Url => captured.url.clone().into_bytes(),
        }
    }

    /// The request with another text there; `None` where it could not be captured.
    pub(crate) fn with_text(self, captured: &Captured, text: Vec<u8>) -> Option<Captured> {
        let mut captured = captured.clone();
        match self {
            Self::Header(i) => captured.headers[i].1 = String::from_utf8(text).ok()?,
            Self::Body => captured.body_base64 = STANDARD.encode(text),
            Self::Url => captured.url = String::from_utf8(text).ok()?,
        }
        Some(captured)
    }
}

fn payloads(way: &Value) -> impl Iterator<Item = &str> {
    let more = way["payload_alternatives"].as_array().into_iter().flatten();
    way["payload"].as_str().into_iter().chain(more.filter_map(Value::as_str))
}

/// The runs of characters of hexadecimal and base64 that are long enough, without padding and without what stands as `%XX`.
fn runs(text: &[u8], from: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    let pieces = text.split(|&b| !(b.is_ascii_alphanumeric() || b"+/-_.".contains(&b))).map(move |piece| {
        let escaped = if at > 0 && text[at - 1] == b'%' { piece.len().min(2) } else { 0 };
        let range = from + at + escaped..from + at + piece.len();
        at += piece.len() + 1;
        range
    });
    pieces.filter(|range| range.len() >= TOKEN_BYTES_MIN)
}

/// Where the value of the last field of that name is, not decoded.
fn field_at(text: &[u8], name: &str) -> Option<Range<usize>> {
    let mut at = 0;
    let mut found = None;
    for field in text.split(|&b| b == b'&') {
        if let Some(value) = field.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
            found = Some(at + field.len() - value.len()..at + field.len());
        }
        at += field.len() + 1;
    }
    found
}

fn run_together(mut fields: Vec<(String, String)>) -> String {
    fields.sort();
    fields.dedup();
    fields.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

/// JSON has one kind of number there.
fn same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same_json(a, b)))
        }
        _ => a == b,
    }
}

fn add_long_texts(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            // The same key can be written in both alphabets of base64, and beside others.
            let runs = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/-_".contains(c));
            texts.extend(runs.filter(|run| run.len() >= KEY_BYTES_MIN).map(|run| run.replace('-', "+").replace('_', "/")));
        }
        Value::Array(list) => list.iter().for_each(|value| add_long_texts(value, texts)),
        Value::Object(members) => members.values().for_each(|value| add_long_texts(value, texts)),
        _ => {}
    }
}
