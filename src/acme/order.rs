//! One certificate for one host: the order, what shows that the host leads here, the key, and the chain (RFC 8555 §7.4).

use std::io;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order, OrderState,
    OrderStatus,
};
use zeroize::Zeroizing;

use super::call::{Caller, Failure};
use crate::config::settings::Challenge;
use crate::net::challenges::{Answer, Challenges, Open, Unanswerable};
use crate::net::tls;

/// A CA is asked first after so long whether it has come further, then after twice that, and so on.
const POLL_FIRST: Duration = Duration::from_millis(250);
const POLL_MAX: Duration = Duration::from_secs(8);
/// The words that a CA's problem may have in a log line.
const SAID_CHARS_MAX: usize = 400;
/// What a CA says that forgot an account, or lost its memory (RFC 8555 §6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// What it says of an order whose `replaces` it does not take (RFC 9773, section 5).
const REPLACING: [&str; 2] = ["urn:ietf:params:acme:error:alreadyReplaced", "urn:ietf:params:acme:error:malformed"];

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The CA cannot be reached, refuses, or makes no sense.
    #[error("{}", said(.0))]
    Ca(Error),
    /// It looked, and did not see what it wanted.
    #[error("the CA did not find the answer to its challenge ({how}): {why}")]
    Refused { how: &'static str, why: String },
    /// It does not offer what is possible here.
    #[error("the CA offers no challenge {0} for this name")]
    NotOffered(&'static str),
    /// Its answer makes no sense.
    #[error("the CA's order makes no sense: {0}")]
    Senseless(&'static str),
    /// It takes too long.
    #[error("the order is not done in time")]
    Time,
    /// Its challenge makes no sense.
    #[error(transparent)]
    Unanswerable(#[from] Unanswerable),
    /// What came is not what was ordered.
    #[error("the CA's certificate cannot be used: {0}")]
    Certificate(#[from] tls::Error),
    /// What came has ended already.
    #[error("the CA's certificate has ended already: is the clock right?")]
    Ended,
    /// The account's file cannot be read or written.
    #[error("the account at the CA cannot be kept: {0}")]
    Account(io::Error),
}

impl Trouble {
    /// Whether the CA does not know the account.
    pub(super) fn is_unknown_account(&self) -> bool {
        matches!(self, Self::Ca(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT))
    }
}

/// What a CA says, fit for one line.
fn said(error: &Error) -> String {
    let text = match error {
        Error::Api(problem) => {
            let kind = problem.r#type.as_deref().unwrap_or_default();
            let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
            let more = problem.subproblems.iter().filter_map(|sub| sub.detail.as_deref()).map(|detail| format!("; {detail}"));
            let detail = problem.detail.as_deref().unwrap_or("no reason was given");
            format!("the CA refuses ({kind}): {detail}{}", more.collect::<String>())
        }
        Error::Json(_) => "the CA's answer makes no sense: it is not what ACME says".to_owned(),
        other => other.to_string(),
    };
    one_line(&text)
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect()
}

/// What is wanted of a CA.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// For which host.
    pub(super) host: &'a str,
    /// What shows that it leads here.
    pub(super) how: Challenge,
    /// As what the CA knows the certificate that this one is for, where it wants to know that.
    pub(super) replaces: Option<(&'a str, &'a str)>,
}

/// The key and the chain, as PEM.
pub(super) async fn order(
    (account, caller): (&Account, &Caller),
    wanted: Wanted<'_>,
    challenges: &Challenges,
) -> Result<Zeroizing<String>, Trouble> {
    let Wanted { host, how, .. } = wanted;
    let mut order = begin(account, wanted).await.map_err(Trouble::Ca)?;
    if order.state().status == OrderStatus::Pending {
        let open = prove(&mut order, host, how, challenges).await?;
        until(&mut order, caller, |state| !matches!(state.status, OrderStatus::Pending)).await?;
        drop(open);
    }
    match order.state().status {
        OrderStatus::Invalid => return Err(Trouble::Refused { how: word(how), why: why(&mut order).await }),
        OrderStatus::Ready => {}
        // A CA may give again what was ordered just before, but its key is not known any more.
        _ => return Err(Trouble::Senseless("it is done before a key was given")),
    }
    let mut pem = Zeroizing::new(order.finalize().await.map_err(Trouble::Ca)?);
    until(&mut order, caller, |state| matches!(state.status, OrderStatus::Valid | OrderStatus::Invalid)).await?;
    let chain = order.certificate().await.map_err(Trouble::Ca)?;
    pem.push_str(&chain.ok_or(Trouble::Senseless("it is done and has no certificate"))?);
    Ok(pem)
}

/// Where a CA is told what its certificate is for and does not take that, it is not told: what counts is the certificate.
async fn begin(account: &Account, Wanted { host, replaces, .. }: Wanted<'_>) -> Result<Order, Error> {
    let names = [Identifier::Dns(host.to_owned())];
    if let Some((key, serial)) = replaces {
        let replaced = CertificateIdentifier { authority_key_identifier: key.into(), serial: serial.into() };
        match account.new_order(&NewOrder::new(&names).replaces(replaced)).await {
            Err(error) if is_about_replacing(&error) => {
                tracing::info!(host, said = said(&error), "the CA does not take what a certificate is for");
            }
            came => return came,
        }
    }
    account.new_order(&NewOrder::new(&names)).await
}

/// Whether a CA may take the same order where it does not say what is replaced: it was replaced already, or is not known, or the CA
/// does not say it again as it should.
fn is_about_replacing(error: &Error) -> bool {
    match error {
        Error::Api(problem) => problem.r#type.as_deref().is_some_and(|kind| REPLACING.contains(&kind)),
        Error::Other(other) => !other.is::<Failure>(),
        Error::Unsupported(_) => true,
        _ => false,
    }
}

/// Answers the challenge of an order for one name; it is answered until what comes back is dropped.
async fn prove<'a>(order: &mut Order, host: &str, how: Challenge, to: &'a Challenges) -> Result<Option<Open<'a>>, Trouble> {
    let mut authorizations = order.authorizations();
    let mut open = None;
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(Trouble::Ca)?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(Trouble::Senseless("it waits for what was refused before")),
        }
        if *authorization.identifier().identifier != Identifier::Dns(host.to_owned()) || open.is_some() {
            return Err(Trouble::Senseless("it is for other names"));
        }
        let kind = match how {
            Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
            Challenge::Http => ChallengeType::Http01,
        };
        let mut challenge = authorization.challenge(kind).ok_or(Trouble::NotOffered(word(how)))?;
        let key_authorization = challenge.key_authorization();
        let answer = match how {
            Challenge::TlsAlpn => Answer::tls_alpn(host, key_authorization.digest().as_ref())?,
            Challenge::Http => Answer::http(&challenge.token, key_authorization.as_str())?,
        };
        // The CA may come before it says so: what it looks for is there first.
        open = Some(to.open(answer));
        challenge.set_ready().await.map_err(Trouble::Ca)?;
    }
    Ok(open)
}

/// Asks the CA until the order has come so far. Whoever calls bounds the time.
async fn until(order: &mut Order, caller: &Caller, is_done: impl Fn(&OrderState) -> bool) -> Result<(), Trouble> {
    let mut wait = POLL_FIRST;
    while !is_done(order.state()) {
        tokio::time::sleep(caller.asked().unwrap_or_default().clamp(wait, POLL_MAX)).await;
        wait = (wait * 2).min(POLL_MAX);
        order.refresh().await.map_err(Trouble::Ca)?;
    }
    Ok(())
}

/// What the CA says of an order that came to nothing.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(detail) = problem.and_then(|problem| problem.detail.as_deref()) {
            return one_line(detail);
        }
    }
    let said = order.state().error.as_ref().and_then(|problem| problem.detail.as_deref());
    said.map_or_else(|| "it does not say why".to_owned(), one_line)
}

/// The word for it in ACME, and in relay.toml.
pub(super) const fn word(how: Challenge) -> &'static str {
    match how {
        Challenge::TlsAlpn => "tls-alpn-01",
        Challenge::Http => "http-01",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ca_says_is_one_line_of_bounded_length() {
        let problem = |json: &str| Trouble::Ca(Error::Api(serde_json::from_str(json).unwrap()));
        let refused = problem(r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too\nmany","status":429}"#);
        assert_eq!(refused.to_string(), "the CA refuses (rateLimited): too many");
        assert!(!refused.is_unknown_account());
        let unknown = problem(r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#);
        assert_eq!(unknown.to_string(), "the CA refuses (accountDoesNotExist): no reason was given");
        assert!(unknown.is_unknown_account());
        let long = problem(&format!(r#"{{"detail":"{}"}}"#, "x".repeat(9000)));
        assert_eq!(long.to_string().chars().count(), SAID_CHARS_MAX);
    }
}
