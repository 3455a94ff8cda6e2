//! The state of a destination's breaker, in the words of the API and of metrics. `pace::breaker` has the rule.

/// Whether attempts are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts are made.
    #[default]
    Closed,
    /// None is made: the application does not answer.
    Open,
    /// One is made, to see whether it answers again.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word for it in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}
