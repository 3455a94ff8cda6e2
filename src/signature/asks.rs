//! What a scheme asks of a source, beside what every scheme does: secrets or keys, and that the source says who it is.

use super::scheme::Check;
use super::signed::{Keys, Setting, Signed};
use super::{Scheme, Terms, Without};

impl Scheme {
    /// Whether it can be used with secrets: with a keyed hash, a token that is shown, or a token that a secret signs.
    pub fn takes_secrets(&self) -> bool {
        self.ways().iter().any(|way| way.signed.as_ref().is_none_or(Signed::by_secret))
    }

    /// Whether a secret alone signs as the provider does.
    pub fn is_signable(&self) -> bool {
        self.ways().iter().any(|way| way.signed.as_ref().is_none_or(|signed| signed.by_secret() && signed.is_token()))
    }

    /// Whether it can be used with keys of the source: public ones, or those of RFC 9421.
    pub fn takes_keys(&self) -> bool {
        self.signed().any(|signed| !signed.by_secret())
    }

    /// Whether the source may say where keys are published.
    pub fn takes_key_url(&self) -> bool {
        self.signed().any(|signed| signed.source.takes_address())
    }

    /// Where keys are published, as far as the scheme says it itself.
    pub fn key_addresses(&self) -> Vec<&str> {
        self.signed().filter_map(|signed| signed.source.own_address()).collect()
    }

    /// Which of `keys`, `key_url` and `roots` a source must have.
    pub fn key_needs(&self) -> Vec<&'static str> {
        let by_key = self.signed().filter(|signed| !signed.by_secret());
        let mut needs: Vec<_> = by_key.filter_map(|signed| signed.source.lacks(&Keys::default())).collect();
        needs.dedup();
        needs
    }

    /// Whether the provider signs for others with the same keys, and no setting says what is ours: its events do not tell.
    pub fn is_open_to_all(&self) -> bool {
        let told = self.settings().iter().any(|setting| setting.without != Without::Usable);
        !told && self.signed().any(|signed| signed.source.is_for_all())
    }

    /// The members that a source must post for a key.
    pub fn key_members(&self) -> Vec<&str> {
        self.signed().flat_map(|signed| signed.source.members()).map(String::as_str).collect()
    }

    /// Whether the source may say which roots count.
    pub fn takes_roots(&self) -> bool {
        self.signed().any(|signed| signed.source.takes_roots())
    }

    /// Whether it is RFC 9421, where source and sender agree on what is covered.
    pub fn takes_components(&self) -> bool {
        self.signed().any(Signed::names_makers)
    }

    /// Whether a source may say how old a timestamp may be.
    pub fn takes_tolerance(&self) -> bool {
        self.ways().iter().any(|way| way.stamp.is_some()) || self.takes_components()
    }

    /// The settings of which a source says nothing, neither by their name nor by a rule of its own.
    pub fn unsaid(&self, terms: &Terms) -> Vec<&Setting> {
        let ruled = |name: &str| {
            let mut rules = self.signed().flat_map(|signed| &signed.rules).chain(self.ways().iter().flat_map(|way| &way.rules));
            rules.any(|rule| {
                rule.setting().is_some_and(|(n, _)| n == name) && terms.requirements.iter().any(|r| rule.is_met_by(r))
            })
        };
        self.settings().into_iter().filter(|setting| !terms.settings.says(&setting.name) && !ruled(&setting.name)).collect()
    }

    /// The settings that a source can say of itself, by name.
    pub fn settings(&self) -> Vec<&Setting> {
        let mut settings: Vec<&Setting> = Vec::new();
        for setting in self.ways().iter().flat_map(|way| &way.settings).chain(self.signed().flat_map(Signed::settings)) {
            if settings.iter().all(|known| known.name != setting.name) {
                settings.push(setting);
            }
        }
        settings
    }
}

impl Scheme {
    /// Whether a request is signed in some way, rather than showing the secret itself.
    pub fn is_signed(&self) -> bool {
        self.ways().iter().any(|way| way.check != Check::Shown)
    }
}
