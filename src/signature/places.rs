//! Where a scheme's proofs stand in a request, so that nobody is shown them who need not see them.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::claim::Source;
use super::preset;
use super::scheme::{Check, Scheme};
use super::written::Place;

/// Of a header's name that stands for several.
const NUMBERED: char = '*';

impl Scheme {
    /// Whether signatures, tokens or the secret itself stand in this header field. `name`: lower case.
    pub fn proves_by(&self, name: &str) -> bool {
        self.proof_headers().any(|proof| is_named(&proof, name))
    }

    /// The header fields of its proofs: in lower case, with `*` at the end where a number follows.
    fn proof_headers(&self) -> impl Iterator<Item = String> {
        let headers = self.sources().filter(|(_, source)| matches!(source.place, Place::Header));
        headers.map(|(_, source)| if source.numbered { format!("{}{NUMBERED}", source.name) } else { source.name.clone() })
    }

    /// The JSON pointers at which the secret itself stands in a body.
    pub fn shown_secrets(&self) -> impl Iterator<Item = &str> {
        let shown = self.sources().filter(|(check, source)| *check == Check::Shown && matches!(source.place, Place::Json));
        shown.map(|(_, source)| source.name.as_str())
    }

    /// Whether the secret itself stands in a form.
    pub fn shows_secret_in_form(&self) -> bool {
        let mut sources = self.sources();
        sources.any(|(check, source)| check == Check::Shown && matches!(source.place, Place::Form | Place::FormLast))
    }

    fn sources(&self) -> impl Iterator<Item = (Check, &Source)> {
        self.ways().iter().flat_map(|way| way.sources.iter().map(|source| (way.check, source)))
    }
}

/// Whether this header field holds the proof of any preset: a source may be gone, and its events are still there.
pub fn is_proof_header(name: &str) -> bool {
    let (known, numbered) = known();
    known.contains(name) || numbered.iter().any(|proof| is_named(proof, name))
}

/// The header fields of all presets' proofs, and those of them where a number follows.
fn known() -> &'static (HashSet<String>, Vec<String>) {
    static KNOWN: OnceLock<(HashSet<String>, Vec<String>)> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let all = preset::all().iter().flat_map(|preset| preset.scheme.proof_headers());
        let (numbered, known): (Vec<_>, Vec<_>) = all.partition(|name| name.ends_with(NUMBERED));
        (known.into_iter().collect(), numbered)
    })
}

fn is_named(proof: &str, name: &str) -> bool {
    proof.strip_suffix(NUMBERED).map_or(proof == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_found_wherever_a_preset_has_them() {
        assert!(known().0.len() > 100, "{}", known().0.len());
        for name in ["stripe-signature", "x-trello-webhook", "verif-hash", "x-gitlab-token", "paypal-transmission-sig"] {
            assert!(is_proof_header(name), "{name}");
        }
        for name in ["content-type", "x-github-event", "user-agent", "webhook-id", "x-slack-request-timestamp"] {
            assert!(!is_proof_header(name), "{name}");
        }
    }

    #[test]
    fn a_secret_that_a_body_shows_is_found() {
        let scheme = |place: &str, name: &str| -> Scheme {
            toml::from_str(&format!("kind = \"token\"\nsignature = [{{ in = \"{place}\", name = \"{name}\" }}]")).unwrap()
        };
        let (header, json, form) = (scheme("header", "X-Own"), scheme("json", "/token"), scheme("form", "token"));
        assert!(header.proves_by("x-own") && !header.proves_by("x-other") && !json.proves_by("/token"));
        assert!(is_named("x-sig-*", "x-sig-1") && !is_named("x-sig-1", "x-sig-12"));
        assert_eq!(json.shown_secrets().collect::<Vec<_>>(), ["/token"]);
        assert!(!json.shows_secret_in_form() && form.shows_secret_in_form());
        assert_eq!(preset::find("stripe").unwrap().scheme.shown_secrets().count(), 0);
    }
}
