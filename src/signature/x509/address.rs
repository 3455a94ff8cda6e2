//! Addresses that a request names and the relay then fetches from. A rule is the whole address, with placeholders for what differs;
//! an address counts where it fits one of a scheme's rules, and only as rebuilt from its parsed parts. So a sender can choose among
//! what the rules allow, and nothing else.

use url::{Host, Url};

/// The longest address that is looked at.
const ADDRESS_BYTES_MAX: usize = 512;

/// One rule, proved.
#[derive(Clone, Debug)]
pub(in crate::signature) struct Rule(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// A region of Amazon: `us-east-1`.
    Region,
    /// 32 hexadecimal digits in lower case.
    Hex32,
    /// One segment of a path: letters, digits, `-`, `_` and `.`, the latter not first.
    Name,
}

impl Rule {
    /// From its text; `None` where it is no rule for an address of https.
    pub(in crate::signature) fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((plain, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            parts.push(Part::Text(plain.to_owned()));
            parts.push(match name {
                "region" => Part::Region,
                "hex32" => Part::Hex32,
                "name" => Part::Name,
                _ => return None,
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let with_path = text.strip_prefix("https://").is_some_and(|rest| rest.contains('/') && !rest.starts_with('/'));
        with_path.then_some(Self(parts))
    }

    /// Its text up to the end of the host; `None` where that is not written out.
    pub(in crate::signature) fn host(&self) -> Option<&str> {
        let Some(Part::Text(text)) = self.0.first() else { return None };
        let end = text.strip_prefix("https://")?.find('/')?;
        text.get(..=end + "https://".len())
    }

    fn fits(&self, address: &str) -> bool {
        let mut rest = address;
        for part in &self.0 {
            let Some(after) = part.strip(rest) else { return false };
            rest = after;
        }
        rest.is_empty()
    }
}

impl Part {
    /// What follows it.
    fn strip<'a>(&self, text: &'a str) -> Option<&'a str> {
        let run = |legal: fn(u8) -> bool| text.split_at(text.bytes().take_while(|&b| legal(b)).count());
        match self {
            Self::Text(plain) => text.strip_prefix(plain.as_str()),
            Self::Region => {
                let (region, rest) = run(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                is_region(region).then_some(rest)
            }
            Self::Hex32 => {
                let (digits, rest) = run(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                (digits.len() == 32).then_some(rest)
            }
            Self::Name => {
                let (name, rest) = run(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
                (!name.is_empty() && !name.starts_with('.')).then_some(rest)
            }
        }
    }
}

/// Two letters, words, one digit: no bucket and no other service of Amazon is named so.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match &parts[..] {
        [country, words @ .., number] if !words.is_empty() => {
            country.len() == 2
                && letters(country)
                && words.iter().all(|word| letters(word))
                && number.len() == 1
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

/// The address that `text` means, rebuilt, if one of `rules` allows it.
pub(in crate::signature) fn allowed(rules: &[Rule], text: &str) -> Option<String> {
    // Parsers drop line ends and take `\` for `/`: what two of them could read differently is refused before either does.
    let plain = text.len() <= ADDRESS_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let url = plain.then(|| Url::parse(text).ok()).flatten()?;
    let bare = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let Some(Host::Domain(host)) = url.host().filter(|_| bare) else { return None };
    // No placeholder holds a colon, so that only a rule that names a port allows one.
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let rebuilt = format!("https://{host}{port}{}", url.path());
    rules.iter().any(|rule| rule.fits(&rebuilt)).then_some(rebuilt)
}

/// Whether the address that `text` means is one of `rules` when its query is left aside.
pub(in crate::signature) fn allows(rules: &[Rule], text: &str) -> bool {
    allowed_with_query(rules, text).is_some()
}

/// The address that `text` means, if one of `rules` allows it when its query is left aside: rebuilt, and the query as it is.
pub(in crate::signature) fn allowed_with_query(rules: &[Rule], text: &str) -> Option<String> {
    let (front, query) = text.split_once('?').map_or((text, None), |(front, query)| (front, Some(query)));
    let plain = |b: u8| b.is_ascii_graphic() && b != b'\\' && b != b'#';
    let rebuilt = allowed(rules, front).filter(|_| query.is_none_or(|query| query.bytes().all(plain)))?;
    Some(query.map_or(rebuilt.clone(), |query| format!("{rebuilt}?{query}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SNS: &str = "https://sns.{region}.amazonaws.com/SimpleNotificationService-{hex32}.pem";
    const FILE: &str = "SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem";

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| Rule::parse(text).unwrap()).collect()
    }

    #[test]
    fn only_what_a_rule_says_is_fetched() {
        let rules = rules(&[SNS]);
        let good = format!("https://sns.us-gov-west-1.amazonaws.com/{FILE}");
        assert_eq!(allowed(&rules, &good), Some(good.clone()));
        assert_eq!(allowed(&rules, &format!("HTTPS://SNS.us-gov-west-1.AMAZONAWS.com:443/a/../{FILE}")), Some(good.clone()));
        for host in [
            "sns.us-east-1.amazonaws.com.attacker.test",
            "sns.s3.amazonaws.com",
            "sns.s3-us-west-2.amazonaws.com",
            "sns-us-east-1.amazonaws.com",
            "evilsns.us-east-1.amazonaws.com",
            "sns.us-east-1.amazonaws.com@attacker.test",
            "user@sns.us-east-1.amazonaws.com",
            "attacker.test\\@sns.us-east-1.amazonaws.com",
            "sns.us-east-1.amazonaws.com:8443",
            "sns.us-east-1.amazonaws.com.",
            "sns.us-east-1.\u{430}mazonaws.com",
            "sns.us-east-1.amazonaws.com\n.attacker.test",
            "sns.execute-api.amazonaws.com",
            "sns.-.amazonaws.com",
            "sns..amazonaws.com",
            "169.254.169.254",
            "[::1]",
        ] {
            assert_eq!(allowed(&rules, &format!("https://{host}/{FILE}")), None, "{host}");
        }
        for end in ["?x", "#x", "/x", "\n", " "] {
            assert_eq!(allowed(&rules, &format!("{good}{end}")), None, "{end:?}");
        }
        assert_eq!(allowed(&rules, &good.replace("https:", "http:")), None);
    }

    #[test]
    fn a_path_is_left_by_no_way() {
        let rules = rules(&["https://s3.amazonaws.com/echo.api/{name}"]);
        let check = |path: &str| allowed(&rules, &format!("https://s3.amazonaws.com{path}"));
        assert!(check("/echo.api/echo-api-cert-15.pem").is_some());
        assert!(check("/echo.api/../echo.api/echo-api-cert-15.pem").is_some());
        for bad in [
            "/EcHo.aPi/x.pem",
            "/echo.api/../bucket/x.pem",
            "/echo.api/%2e%2e/bucket/x.pem",
            "/echo.api/a/x.pem",
            "/echo.api/a%2fx.pem",
            "/echo.api-evil/x.pem",
            "/echo.api/",
            "/echo.api/.x",
        ] {
            assert_eq!(check(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_query_can_be_left_aside() {
        let rules = rules(&["https://sns.{region}.amazonaws.com/"]);
        let check = |rest: &str| allows(&rules, &format!("https://sns.us-east-1.amazonaws.com{rest}"));
        assert!(check("/?Action=ConfirmSubscription&Token=a%2Fb") && check("/"));
        for bad in ["/x?a=1", ".attacker.test/?a=1", "@attacker.test/?a", "/?a=\n", "/?a#b", "/?a\\b"] {
            assert!(!check(bad), "{bad:?}");
        }
        assert!(!allows(&rules, "http://169.254.169.254/?https://sns.us-east-1.amazonaws.com/"));
    }

    #[test]
    fn a_port_counts_where_a_rule_names_it() {
        let rules = rules(&["https://confirm.example:8443/a", "https://sns.{region}.amazonaws.com/"]);
        assert_eq!([rules[0].host(), rules[1].host()], [Some("https://confirm.example:8443/"), None]);
        let check = |text: &str| allowed_with_query(&rules, text);
        assert_eq!(check("https://CONFIRM.example:8443/a?b=c").as_deref(), Some("https://confirm.example:8443/a?b=c"));
        for bad in ["https://confirm.example/a", "https://confirm.example:8444/a", "https://sns.us-east-1.amazonaws.com:8443/"] {
            assert_eq!(check(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_rule_is_a_whole_address() {
        for bad in ["", "http://a/b", "https://a", "https:///b", "https://a/{b", "https://a/{what}"] {
            assert!(Rule::parse(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text: String) {
            let _ = allowed(&rules(&[SNS]), &text);
        }

        #[test]
        fn what_is_allowed_stays_on_its_host(middle in "[ -~]{0,30}") {
            if let Some(address) = allowed(&rules(&[SNS]), &format!("https://sns.{middle}.amazonaws.com/{FILE}")) {
                let url = Url::parse(&address).unwrap();
                prop_assert!(url.host_str().unwrap().ends_with(".amazonaws.com"));
                prop_assert_eq!(url.as_str(), address);
            }
        }
    }
}
